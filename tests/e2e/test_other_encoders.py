"""Other people's encoders, from a package on the path to an answer, as its users run it."""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from command import Run

from earthfield.catalog import Catalog
from earthfield.field import Field

DOCS = Path(__file__).parents[2] / "docs/other-encoders.md"
MONTHS = ("2018-04", "2018-05")


@pytest.fixture(scope="module")
def cubes(spring: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root that holds the spring of flanders_a as cubes, over two tiles."""
    return Path(shutil.copytree(spring, tmp_path_factory.mktemp("others") / "root"))


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which the example of the docs is installed."""
    folder = tmp_path_factory.mktemp("package")
    blocks = dict(re.findall(r"```(toml|python)\n(.*?)```", DOCS.read_text(), re.DOTALL))
    (folder / "colour_encoder.py").write_text(blocks["python"])
    project = tomllib.loads(blocks["toml"])["project"]
    info = folder / "colour_encoder-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1.0\n")
    offers = project["entry-points"]["earthfield.encoders"]
    (info / "entry_points.txt").write_text(
        "[earthfield.encoders]\n" + "".join(f"{name} = {what}\n" for name, what in offers.items())
    )
    before = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(folder), before)))}


def test_the_example_of_the_docs_goes_the_whole_way(
    run: Run, cubes: Path, environment: dict[str, str]
) -> None:
    where = ("--model", "colour", "--root", cubes, "--json")
    told = run("embed", "--period", MONTHS[0], "--period", MONTHS[1], *where, env=environment)
    assert told.code == 0, told.err
    fields = [Field(Catalog(str(cubes)), key) for key in Catalog(str(cubes)).fields("colour")]
    assert [one.dim for one in fields] == [8] * len(fields) == [8] * 4
    vectors = fields[0].vectors(fields[0].window)
    lengths = np.linalg.norm(vectors, axis=-1)
    assert np.nanmin(lengths) > 0.99
    assert np.nanmax(lengths) < 1.01

    told = run("index", *where, env=environment)
    assert told.code == 0, told.err
    assert told.report["written"] > 0
    told = run("search", "--at", "3.0222", "50.8160", "--period", MONTHS[0], "-k", 5, *where, env=environment)
    assert told.code == 0, told.err
    assert len(told.report["hits"]) == 5
    told = run("change", "--periods", *MONTHS, *where, env=environment)
    assert told.code == 0, told.err


def test_a_name_that_its_package_no_longer_offers_is_told(run: Run, cubes: Path) -> None:
    told = run("embed", "--period", MONTHS[0], "--model", "colour", "--root", cubes)
    assert told.code == 3
    assert "no model 'colour'" in told.err
    assert "Traceback" not in told.err


@pytest.mark.skipif(find_spec("betaearth") is None, reason="the package betaearth is not installed")
def test_betaearth_makes_a_field_of_real_scenes_with_the_weights_of_a_folder(run: Run, cubes: Path) -> None:
    import torch
    from safetensors.torch import save_file

    from earthfield_infer.adapters import betaearth_weights as weights

    package = weights.betaearth_package()
    torch.manual_seed(1)
    with weights._without_download(package):
        network = package.SegFormerEncoder(encoder_name="mit_b0", fusion_dim=16)
    catalog = Catalog(str(cubes))
    catalog.model("betaearth").mkdir(parents=True)
    save_file(network.state_dict(), catalog.model("betaearth") / "model.safetensors")

    told = run(
        "embed", "--model", "betaearth", "--period", MONTHS[0], "--no-agreement", "--root", cubes, "--json"
    )
    assert told.code == 0, told.err
    assert sum(one["pixels"] for one in told.report["fields"]) == 64 * 64
    first = Field(catalog, next(iter(catalog.fields("betaearth"))))
    assert first.manifest["model"]["name"] == "betaearth"
    assert set(first.manifest["sources"]) == {"sentinel-1-rtc", "sentinel-2-l2a"}
