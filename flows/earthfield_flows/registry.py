"""What Prefect knows of the schedules of a root: two deployments, `refresh` and `rebuild`, with a cron for each."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx

from earthfield.catalog import Catalog
from earthfield.errors import EarthfieldError, Unavailable
from earthfield.hosts import certificates
from earthfield.schedules import check_cron, schedule_named
from earthfield.storage import make_folder, one_at_a_time

log = logging.getLogger(__name__)

REFRESH, REBUILD = "refresh", "rebuild"
"""Names of the deployments of the flow `refresh`: what may still change, and every period since the first."""

_TIMEOUT_S = 10.0
_WAITS_S = (0.5, 1.0, 2.0, 4.0)
"""Before a server that is busy is asked again: SQLite lets one writer in at a time."""


@dataclass(frozen=True)
class Entry:
    """When one schedule of the root runs."""

    slug: str
    """Its name."""
    cron: str
    """When, UTC."""
    parameters: dict[str, Any]
    """What the flow is asked for."""
    active: bool = True
    """Whether it fires by itself."""

    def as_json(self) -> dict[str, Any]:
        """As Prefect's API takes it."""
        when = {"cron": self.cron, "timezone": "UTC", "day_or": True}
        return {"schedule": when, "active": self.active, "parameters": self.parameters, "slug": self.slug}

    def is_same(self, told: dict[str, Any]) -> bool:
        """Tells whether a schedule that the server tells of is this one."""
        cron = told["schedule"].get("cron")
        return bool(
            cron == self.cron and told["parameters"] == self.parameters and told["active"] == self.active
        )


def entries(catalog: Catalog, deployment: str) -> Iterator[Entry]:
    """Yields when the schedules of a root run; one whose file is broken holds up only itself.

    Args:
        catalog: the root.
        deployment: `refresh` or `rebuild`.
    """
    for name in catalog.schedule_names():
        whole = deployment == REBUILD
        try:
            schedule = schedule_named(catalog, name)
            cron = check_cron(schedule.rebuild_cron if whole else schedule.cron)
        except EarthfieldError as error:
            log.error("the schedule %s does not run: %s", name, error)
            continue
        request = {"root": str(catalog.root), "name": name, "whole": whole}
        yield Entry(name, cron, {"request": request}, schedule.active)


def register(catalog: Catalog) -> bool:
    """Tells the server that serves a root of its schedules, so that they hold from now on.

    Returns:
        Whether it was told. No server may be running, or one that serves another root; `earthfield up` tells it of
        everything when it starts.

    Raises:
        Unavailable: the server refuses.
    """
    from earthfield.settings import Settings

    address = os.environ.get("PREFECT_API_URL") or Settings().prefect_url
    try:
        with (
            # Whoever changes a schedule tells the server at once, and whoever follows the changes a moment later.
            one_at_a_time(make_folder(catalog.folder / "refresh")),
            httpx.Client(base_url=address, verify=certificates(), timeout=_TIMEOUT_S) as client,
        ):
            kept = [_patiently(partial(_keep, client, catalog, name)) for name in (REFRESH, REBUILD)]
            return all(kept)
    except httpx.TransportError:
        return False
    except httpx.HTTPStatusError as error:
        raise Unavailable(
            f"the Prefect server at {address} did not take the schedules ({error.response.status_code}), which are "
            "stored: `earthfield down` and `earthfield up` bring them into force"
        ) from error


@dataclass
class Follower:
    """Tells the server of schedules that others add, change and remove while it runs."""

    catalog: Catalog
    """The root."""
    seen: tuple[tuple[str, int], ...] | None = None
    """Names of the schedules that the server knows of, and when each was written."""

    def look(self) -> bool:
        """Tells the server where something has changed since the last look; gives whether it has.

        A server that is away or refuses is told at the next look.
        """
        now = tuple(self._written())
        if self.seen is None or now == self.seen:
            self.seen = now
            return False
        try:
            is_told = register(self.catalog)
        except Unavailable as error:
            log.warning("%s", error)
            is_told = False
        if is_told:
            self.seen = now
        return is_told

    def _written(self) -> Iterator[tuple[str, int]]:
        for name in self.catalog.schedule_names():
            with suppress(OSError):  # it is being removed
                yield name, self.catalog.schedule(name).stat().st_mtime_ns


def _patiently(ask: Callable[[], bool]) -> bool:
    """Asks again where the server is busy; a question that was half answered can be put once more."""
    for wait_s in _WAITS_S:
        try:
            return ask()
        except httpx.HTTPStatusError as error:
            if error.response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                raise
            time.sleep(wait_s)
    return ask()


def _keep(client: httpx.Client, catalog: Catalog, name: str) -> bool:
    answer = client.get(f"/deployments/name/refresh/{name}")
    if answer.status_code == httpx.codes.NOT_FOUND:
        return False
    deployment = answer.raise_for_status().json()
    served = (deployment["parameters"].get("request") or {}).get("root")
    if served != str(catalog.root):
        return False
    there = f"/deployments/{deployment['id']}/schedules"
    wanted = {one.slug: one for one in entries(catalog, name)}
    kept = set()
    for told in deployment["schedules"]:
        entry = wanted.get(told["slug"] or "")
        if entry is not None and entry.is_same(told):
            kept.add(entry.slug)
        else:
            client.delete(f"{there}/{told['id']}").raise_for_status()
    new = [one.as_json() for one in wanted.values() if one.slug not in kept]
    if new:
        client.post(there, json=new).raise_for_status()
    return True
