"""Lanes: which questions share which number of turns, so that long ones never hold up short ones."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import Depends, Request
from fastapi.params import Depends as Dependency

from earthfield_search.api.limits import Lane, Limits

Lanes = dict[str, Lane]


def lanes_for(limits: Limits) -> Lanes:
    """Gives the lanes of a service: `pictures`, short `questions`, long `jobs`.

    All run in the same 40 threads; what they leave is for everything else.
    """
    return {
        "pictures": Lane("pictures", running=4, waiting=1000),
        "questions": Lane("questions", running=8, waiting=500),
        "jobs": Lane("jobs", running=limits.jobs, waiting=8 * limits.jobs),
    }


def turn_in(name: str) -> Dependency:
    """Gives what routes depend on that wait for their turn in a lane."""

    async def turn(request: Request) -> AsyncIterator[None]:
        lane: Lane = request.app.state.lanes[name]
        async with lane.slot(request.scope.setdefault("state", {})):
            yield

    return Depends(turn, scope="function")
