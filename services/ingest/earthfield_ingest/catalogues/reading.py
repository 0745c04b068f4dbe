"""Reading: documents of catalogues and answers of STAC APIs, patiently and only from where the user allows."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, BinaryIO

import httpx
from tenacity import (
    RetryCallState,
    retry,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential_jitter,
)

from earthfield.errors import BrokenArtefact, InvalidInput, NotFound, Unavailable
from earthfield_ingest.access import Access
from earthfield_ingest.fetch import Fetcher
from earthfield_ingest.fetch.patience import retry_after_s

TIMEOUT_S = 60.0
"""How long a server may keep silent."""
MAX_CONNECTIONS = 8
"""Connections held at a time while a catalogue is read."""
_LONGEST_WAIT_S = 60.0
_ATTEMPTS = 4
_MAX_HOPS = 6
_WEB = ("http", "https")
_NOT_TRANSIENT = {501, 505}
_backoff = wait_exponential_jitter(initial=0.5, max=8)


class Refused(InvalidInput):
    """A server understood a question and will not answer it."""

    status: int
    """Its HTTP status."""


class Busy(Unavailable):
    """A server asks for patience."""

    wait_s: float = 0.0
    """For how long, seconds."""


def _patience(state: RetryCallState) -> float:
    """Seconds before the next try: what the server asks for, or longer from try to try."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.wait_s if isinstance(error, Busy) else 0.0
    return min(max(asked, _backoff(state)), _LONGEST_WAIT_S)


patiently = retry(
    retry=retry_if_exception_type(Unavailable),
    stop=stop_after_attempt(_ATTEMPTS),
    wait=_patience,
    sleep=lambda seconds: time.sleep(seconds),  # looked up late, so that tests need not wait
    reraise=True,
)
"""Tries again what fails with `Unavailable`, and honours `Retry-After`."""


class Reader:
    """Reads what one catalogue consists of, and follows it only where the user allows."""

    def __init__(self, home: str, allow: Sequence[str] = ()) -> None:
        """Args: address of the catalogue; folders and hosts beyond its own that it may lead to."""
        self._home = home
        self._access = Access(allow, home=home)
        self._fetcher = Fetcher(allow, home=home)

    def may_lead_to(self, place: str) -> None:
        """Makes sure that a link of the catalogue may be followed.

        Raises:
            BrokenArtefact: it leads where the user did not allow.
        """
        self._access.place(place)

    def json(self, place: str) -> Any:
        """Reads JSON from wherever it lies; errors as `text`, and InvalidInput where it is none."""
        return json_of(self.text(place), place)

    def text(self, place: str) -> str:
        """Reads a document; errors as `Fetcher.text`."""
        return self._fetcher.text(place)

    @contextmanager
    def file(self, place: str) -> Iterator[BinaryIO]:
        """Opens a file for reading bytes, with `seek`; errors as `Fetcher.file`."""
        with self._fetcher.file(place) as file:
            yield file

    @patiently
    def ask(self, url: str, **request: Any) -> str:
        """Asks a web server and gives its answer's text; transient failures are tried again.

        Args:
            url: the address.
            request: what `ask_once` takes.

        Raises:
            NotFound: nothing is there.
            Refused: the server will not answer this.
            BrokenArtefact: it leads to a private network that the user did not allow.
            Unavailable: the network or the server does not answer.
        """
        return self.ask_once(url, **request)

    def ask_once(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
    ) -> str:
        """Asks a web server once; errors as `ask`."""
        try:
            request = _client().build_request(
                method, url, headers=dict(headers or {}), params=params or None, json=json, timeout=TIMEOUT_S
            )
            for _ in range(_MAX_HOPS):
                self._check_host(request.url)
                answer = _client().send(request)
                if answer.next_request is None:
                    _check(answer, url)
                    return answer.text
                request = answer.next_request
        except httpx.InvalidURL as error:
            raise InvalidInput(f"{url} is no web address ({error}): check the address") from error
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise Unavailable(
                f"{url} does not answer ({error or type(error).__name__}): "
                "check the address and the network, then run again"
            ) from error
        raise InvalidInput(f"{url} leads from address to address without an end: check the address")

    def _check_host(self, url: httpx.URL) -> None:
        """Makes sure that a server may be asked, wherever a link or a redirection comes from."""
        if url.scheme not in _WEB:
            raise BrokenArtefact(f"{self._home} leads to {url}, which is no web address")
        try:
            self._access.addresses(url.host, url.port or {"http": 80, "https": 443}[url.scheme])
        except OSError:
            return  # a name that only a proxy can resolve; without one asking fails by itself


def json_of(text: str, place: str) -> Any:
    """Reads JSON.

    Raises:
        InvalidInput: it is none; the place is named.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"{place} is not readable JSON ({error}): repair or replace it") from error


def _check(answer: httpx.Response, url: str) -> None:
    status = answer.status_code
    if status in (404, 410):
        raise NotFound(f"there is nothing at {url}: check the address of the catalogue")
    if status == 429 or (status >= 500 and status not in _NOT_TRANSIENT):
        busy = Busy(f"{url} answers {status}: try again later")
        busy.wait_s = retry_after_s(answer.headers.get("Retry-After")) or 0.0
        raise busy
    if answer.is_error:
        refused = Refused(
            f"{url} refuses to be read ({status}: {answer.text[:200].strip() or answer.reason_phrase}): "
            "check the address and your rights"
        )
        refused.status = status
        raise refused


@cache
def _client() -> httpx.Client:
    """One client for the process: connections to a server are kept between its documents."""
    limits = httpx.Limits(max_connections=4 * MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS)
    return httpx.Client(limits=limits, timeout=TIMEOUT_S)
