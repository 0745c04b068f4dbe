#!/bin/sh
# Makes the work pools that are not there and declares the deployments of prefect.yaml; it may run again at any time.
set -eu
cd "$(dirname "$0")"
# In one process: each call of Prefect's command takes seconds to start.
python - << 'PYTHON'
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists
from prefect.workers.process import ProcessWorker

# How many runs at a time; training takes a whole machine.
POOLS = {"ingest": None, "train": 1, "infer": None, "search": None, "flows": None}
template = ProcessWorker.get_default_base_job_template()
with get_client(sync_client=True) as client:
    for name, limit in POOLS.items():
        pool = WorkPoolCreate(
            name=f"earthfield-{name}", type="process", base_job_template=template, concurrency_limit=limit
        )
        try:
            client.create_work_pool(pool)
        except ObjectAlreadyExists:
            pass  # what a person has changed of it stays
PYTHON
prefect --no-prompt deploy --all
