"""Schedules: areas that keep themselves up to date; kept here, run by the flows, which look for them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from earthfield.catalog import Catalog
from earthfield.errors import EarthfieldError
from earthfield.schedules import (
    check_cron,
    checked_schedule,
    forget_schedule,
    news_of,
    schedule_named,
    store_schedule,
)
from earthfield_search.api.deps import AreaInBody, Served, inline_area_text
from earthfield_search.api.gate import needs

router = APIRouter()

ScheduleName = Annotated[str, Path(max_length=64, description="Name of a schedule.")]
_MANAGING = [needs("admin")]


class ScheduleAsked(BaseModel):
    """What is to be kept up to date."""

    catalog: str = Field(
        min_length=1, max_length=2000, description="Where scenes are looked for, by whoever runs it."
    )
    area: AreaInBody = None
    period_of: list[str] = Field(
        ["year"], min_length=1, max_length=3, description="Periods that roll on: year, season, month."
    )
    since: str | None = Field(None, max_length=40, description="The first period that belongs to it.")
    late_days: int = Field(
        30, ge=0, le=3660, description="Days after its end that a period is still looked at."
    )
    cron: str | None = Field(None, max_length=100, description="When it looks for what is new, UTC.")
    rebuild_cron: str | None = Field(
        None, max_length=100, description="When it looks at every period since the first, UTC."
    )
    model: str = Field("starter", max_length=64, description="Name of a model.")
    sources: list[str] | None = Field(
        None, max_length=50, description="Sources to read; those that models are given if absent."
    )
    agreement: bool = Field(True, description="Whether the layer `agreement` is made.")
    skip_unreadable: bool = Field(
        False, description="Whether steps are made without scenes that cannot be read."
    )
    active: bool = Field(True, description="Whether it runs by itself.")


class ScheduleTold(BaseModel):
    """A schedule."""

    name: str
    active: bool = Field(description="Whether it runs by itself; one that is paused is kept.")
    catalog: str
    area: str | None = Field(description="WKT, degrees.")
    period_of: list[str]
    since: str | None
    late_days: int
    cron: str
    rebuild_cron: str
    model: str
    sources: list[str]
    agreement: bool
    skip_unreadable: bool
    periods: list[str] = Field(description="The periods that it looks at today.")
    news: dict[str, Any] | None = Field(description="What was last new; null where nothing was yet.")
    broken: str = Field(description="Why it cannot run; empty where it can.")


class Schedules(BaseModel):
    """The schedules of the installation."""

    schedules: list[ScheduleTold]


@router.get("/schedules", response_model=Schedules)
def schedules(catalog: Served) -> dict[str, Any]:
    """Lists the schedules, by name, with what was last new in each."""
    return {"schedules": [_told(catalog, name) for name in catalog.schedule_names()]}


@router.put("/schedules/{name}", response_model=ScheduleTold, dependencies=_MANAGING)
def save_schedule(catalog: Served, name: ScheduleName, asked: ScheduleAsked) -> dict[str, Any]:
    """Keeps a schedule, in place of what had the name before. Whoever runs the flows follows within seconds."""
    content = {key: value for key, value in asked.model_dump().items() if value is not None}
    for key in ("cron", "rebuild_cron"):
        if key in content:
            check_cron(content[key])
    content["area"] = inline_area_text(asked.area)
    made = checked_schedule(**{**_hidden(catalog, name), **content, "name": name})
    made.request(catalog, datetime.now(UTC), whole=True)  # what cannot be asked for is told now, not at night
    store_schedule(catalog, made, overwrite=True)
    return _told(catalog, name)


@router.delete("/schedules/{name}", status_code=204, dependencies=_MANAGING)
def remove_schedule(catalog: Served, name: ScheduleName) -> None:
    """Forgets a schedule; what it made stays."""
    forget_schedule(catalog, name)


def _hidden(catalog: Catalog, name: str) -> dict[str, Any]:
    """What only the command sets of a schedule (where it may read, who encodes): it stays as it is."""
    if name not in catalog.schedule_names():
        return {}
    return schedule_named(catalog, name).model_dump(include={"allow", "encoder", "coregister", "dtype"})


def _told(catalog: Catalog, name: str) -> dict[str, Any]:
    try:
        own = schedule_named(catalog, name)
        periods = [str(one) for one in own.periods(datetime.now(UTC))]
    except EarthfieldError as error:
        blank = checked_schedule(name=name, catalog="?", active=False).model_dump(mode="json")
        return {**blank, "periods": [], "news": None, "broken": str(error)}
    return {
        **own.model_dump(mode="json"),
        "periods": periods,
        "news": news_of(catalog, name),
        "broken": "",
    }
