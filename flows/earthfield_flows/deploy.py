"""Serves the flows: runs that others ask for through Prefect's API, or that a schedule of the root asks for.

Run as `python -m earthfield_flows.deploy`, with PREFECT_API_URL set.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx

from earthfield.catalog import Catalog
from earthfield.hosts import certificates
from earthfield_flows.logs import settings_of_runs
from earthfield_flows.orphans import LOOKED_EVERY_S, Orphans
from earthfield_flows.registry import REBUILD, REFRESH, Follower, entries

log = logging.getLogger(__name__)

_FOLLOWED_EVERY_S = 2.0
"""Seconds between two looks at the schedules' files."""


def deployments(catalog: Catalog) -> Iterator[Any]:
    """Yields what is served: each flow once by its own name, and the two that keep a root's schedules."""
    from prefect.schedules import Cron
    from prefect.types.entrypoint import EntrypointType

    from earthfield_flows.embed import embed_flow
    from earthfield_flows.evaluate import evaluate_flow
    from earthfield_flows.index import index_flow
    from earthfield_flows.ingest import ingest_flow
    from earthfield_flows.map import map_flow
    from earthfield_flows.refresh import refresh_flow
    from earthfield_flows.train import train_flow

    # By its module, not with `flow.serve`: that pickles the flow, and a fresh import in each run is cleaner.
    how: dict[str, Any] = {"entrypoint_type": EntrypointType.MODULE_PATH}
    for flow in (map_flow, ingest_flow, train_flow, embed_flow, index_flow, evaluate_flow):
        yield flow.to_deployment(name=flow.name, **how)
    for name in (REFRESH, REBUILD):
        schedules = [
            Cron(one.cron, timezone="UTC", parameters=one.parameters, slug=one.slug, active=one.active)
            for one in entries(catalog, name)
        ]
        yield refresh_flow.to_deployment(
            name=name, schedules=schedules, parameters={"request": request_of(catalog, name)}, **how
        )


def request_of(catalog: Catalog, name: str) -> dict[str, Any]:
    """Gives what a run of a deployment does when nobody says which schedule: all of them."""
    return {"root": str(catalog.root), "whole": name == REBUILD}


def main() -> None:
    """Serves until it is ended; one run at a time, because a run takes every core.

    It waits for a server that is not there yet, or no more, and settles what runs an earlier worker has left.
    """
    os.environ.update(settings_of_runs())  # Prefect reads them when it is first imported
    from prefect import serve

    from earthfield.settings import Settings
    from earthfield_flows.exporter import exported

    settings = Settings()
    catalog, api = Catalog(settings.folder.absolute()), os.environ["PREFECT_API_URL"]
    orphans, follower = Orphans(api), Follower(catalog)
    follower.look()
    # This imports all that flows need, while a server that was just started starts.
    served = list(deployments(catalog))
    _wait_for(api)
    orphans.settle(at_once=True)
    threading.Thread(target=_watch, args=(orphans, follower), daemon=True).start()
    try:
        with exported(settings):
            serve(*served, limit=1, pause_on_shutdown=False, print_starting_message=False)
    except* (RuntimeError, httpx.HTTPError):
        # Prefect gives up on a server that is away for minutes. We keep our id, and begin again.
        log.warning("the Prefect server at %s is away: waiting for it", api)
        os.execv(sys.executable, [sys.executable, "-m", "earthfield_flows.deploy"])


def _watch(orphans: Orphans, follower: Follower) -> None:
    """Follows changes of the schedules, and looks after runs that have lost their process, until all ends."""
    looked = time.monotonic()
    while True:
        time.sleep(_FOLLOWED_EVERY_S)
        follower.look()
        if time.monotonic() - looked >= LOOKED_EVERY_S:
            looked = time.monotonic()
            try:
                orphans.settle()
            except httpx.HTTPError as error:
                log.info("what is running cannot be asked now (%s)", type(error).__name__)


def _wait_for(api: str) -> None:
    while True:
        with suppress(httpx.HTTPError):
            if httpx.get(f"{api}/health", verify=certificates(), timeout=2.0).is_success:
                return
        time.sleep(0.25)


if __name__ == "__main__":  # a run is a child that imports this module, and must not serve again
    main()
