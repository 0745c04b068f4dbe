# Two commands: `make demo` and `make test`. Both set everything up in .venv first; nothing but Python 3.11-3.13,
# make and the package registries is needed.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# uv does not read pip's settings; hand on what is set.
UV_ENV := $(if $(PIP_FIND_LINKS),UV_FIND_LINKS="$(PIP_FIND_LINKS)") \
          $(if $(PIP_CERT),SSL_CERT_FILE="$(PIP_CERT)") \
          $(if $(PIP_INDEX_URL),UV_DEFAULT_INDEX="$(PIP_INDEX_URL)")

# Hundreds of processes import the same libraries: what Python compiles once is kept, whatever the machine says.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test test-fast check bench format clean

setup: $(READY)

$(READY): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "earthfield needs Python 3.11 to 3.13: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 2; }
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@echo "setting up $(VENV) from constraints.txt"
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt uv
	@$(UV_ENV) $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[all,dev]' \
	  || { echo "uv could not install; trying pip, which is slower"; \
	       $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all,dev]'; }
	@touch $@

demo: $(READY)  ## set up, simulate, map, search, cluster, change
	@$(BIN)/python examples/demo.py

test: $(READY)  ## set up and run every test, at the end those with servers beside those of pages
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadscope --no-loadscope-reorder \
	  $(if $(CI),--verbose) tests

test-fast: $(READY)  ## most unit tests, on every core
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadscope -m 'not slow' tests/unit

check: $(READY)  ## floors, lint, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy packages services flows apps

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)  ## measure the main job; figures go to docs/experiments.md
	$(BIN)/python benchmarks/main_job.py

clean:
	rm -rf $(VENV) earthfield-demo
