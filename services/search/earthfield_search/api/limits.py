"""Limits of the service: how often, how much, how long, and how many questions at a time."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from earthfield.errors import Unavailable
from earthfield.settings import Settings
from earthfield_search.api.refusals import refusal

_MOST_CALLERS = 10_000


@dataclass(frozen=True)
class Limits:
    """What a service allows."""

    rate: float = 0.0
    """Requests a second for each key or address; 0 for any number."""
    body_bytes: int = 16_000_000
    """Largest body of a request."""
    seconds: float = 300.0
    """Longest that a request may take until its answer begins."""
    jobs: int = 2
    """Long questions (classes, clusters, change ...) at a time."""
    answers: int = 200
    """Answers kept as files for each owner."""
    cache_bytes: int = 384_000_000
    """Of decoded fields that are kept in memory."""

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """Reads the settings."""
        return cls(
            rate=settings.api_rate, body_bytes=int(settings.api_body_mb * 1e6), seconds=settings.api_seconds,
            jobs=settings.api_jobs, answers=settings.api_answers, cache_bytes=int(settings.api_cache_mb * 1e6),
        )  # fmt: skip


class Buckets:
    """A bucket of tokens for each caller: filled at the rate, emptied by requests, as deep as two seconds."""

    def __init__(self, rate: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Args: requests a second, 0 for any number; what tells the time, in seconds."""
        self._rate, self._depth, self._clock = rate, max(1.0, 2 * rate), clock
        self._callers: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, caller: str) -> float:
        """Takes a token; gives 0, or the seconds after which there is one again."""
        if self._rate <= 0:
            return 0.0
        now = self._clock()
        tokens, then = self._callers.pop(caller, (self._depth, now))
        tokens = min(self._depth, tokens + (now - then) * self._rate)
        short = max(0.0, 1.0 - tokens)
        self._callers[caller] = (tokens if short else tokens - 1.0, now)
        if len(self._callers) > _MOST_CALLERS:  # whoever was silent longest has a full bucket again
            self._callers.popitem(last=False)
        return short / self._rate


class Lane:
    """A number of requests at a time, and a queue of limited length behind them."""

    def __init__(self, name: str, *, running: int, waiting: int) -> None:
        """Args: its name, for metrics and messages; how many at a time; how many may wait."""
        self.name = name
        self.running = 0
        self.waiting = 0
        self._most_waiting = waiting
        self._slots = asyncio.Semaphore(running)

    @asynccontextmanager
    async def slot(self, state: dict[str, Any]) -> AsyncIterator[None]:
        """Waits for its turn; `state` tells the time limit that it may still end it.

        Raises:
            Unavailable: too many wait already.
        """
        if self.waiting >= self._most_waiting:
            raise Unavailable(
                f"the service is busy: {self.waiting} {self.name} wait already; ask again later"
            )
        self.waiting, state["idle"] = self.waiting + 1, True
        try:
            await self._slots.acquire()
        finally:
            self.waiting, state["idle"] = self.waiting - 1, False
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
            self._slots.release()


class SizeLimit:
    """Refuses bodies that are larger than allowed, before they are in memory; chunked ones too."""

    def __init__(self, app: ASGIApp, *, most: int) -> None:
        """Args: what is guarded; bytes."""
        self._app, self._most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        words = f"the request is larger than {self._most / 1e6:g} MB: send less at once"
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or int(declared[:18]) > self._most or len(declared) > 18:
            await refusal(413, "InvalidInput", words)(scope, receive, send)
            return
        seen, state = 0, scope.setdefault("state", {})

        async def counted() -> Message:
            nonlocal seen
            state["idle"] = True
            try:
                message = await receive()
            finally:
                state["idle"] = False
            seen += len(message.get("body", b""))
            if seen > self._most:
                raise HTTPException(413, words)
            return message

        await self._app(scope, counted, send)


class TimeLimit:
    """Answers when a request takes too long. Its thread cannot be ended: it goes on, counted, and is unheard."""

    def __init__(self, app: ASGIApp, *, seconds: float, unheard: set[Any]) -> None:
        """Args: what is guarded; the longest until an answer begins; where tasks stand that nobody waits for."""
        self._app, self._seconds, self._unheard = app, seconds, unheard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = muted = False

        async def heard(message: Message) -> None:
            nonlocal begun
            if muted:
                return
            begun = True
            await send(message)

        task = asyncio.ensure_future(self._app(scope, receive, heard))
        try:
            await asyncio.wait({task}, timeout=self._seconds)
            if task.done() or begun:
                await task
                return
        except asyncio.CancelledError:
            task.cancel()
            raise
        muted = True
        self._leave(task, scope)
        words = (
            f"this took longer than the {self._seconds:g} s that the service allows: ask for a smaller area"
        )
        await refusal(504, "Unavailable", words)(scope, receive, send)

    def _leave(self, task: asyncio.Task[None], scope: Scope) -> None:
        if scope.get("state", {}).get("idle"):
            task.cancel()  # still waiting for its body or its turn: no thread works for it
        self._unheard.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._unheard.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not complain; nobody waits for it any more


def retry_after(seconds: float) -> str:
    """Gives a header's whole seconds, at least one."""
    return str(max(1, math.ceil(seconds)))
