"""How a service is asked: again where it is busy, errors as errors, files whole or not at all."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from earthfield import errors, traces
from earthfield.errors import EarthfieldError, InvalidInput, Unavailable
from earthfield.hosts import HERE, certificates
from earthfield.storage import whole_file

_KINDS: Mapping[str, type[EarthfieldError]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, EarthfieldError)
}
_BY_STATUS = {401: errors.NotAllowed, 403: errors.NotAllowed, 404: errors.NotFound, 409: errors.Conflict}
_LONGEST_PAUSE_S = 60.0
_CHUNK = 2**20


class Connection:
    """A way to one service."""

    def __init__(
        self, url: str, key: str, *, timeout_s: float, tries: int, transport: httpx.BaseTransport | None
    ) -> None:
        """Nothing is asked before the first call; arguments as in `Client`."""
        self.url = url.rstrip("/")
        self._tries = max(1, tries)
        self._http = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(timeout_s, connect=10.0),
            transport=transport,
            verify=certificates(),
            trust_env=urlsplit(self.url).hostname not in HERE,  # no proxy to this machine
        )

    def close(self) -> None:
        """Ends it."""
        self._http.close()

    def json(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        """Gives an answer's JSON; what is sent along as httpx has it (`params`, `json`)."""
        answer = self.ask(method, path, **content)
        try:
            found: dict[str, Any] = answer.json()
        except ValueError as error:
            raise Unavailable(f"{self.url} gave no JSON: is it a search service of Earthfield?") from error
        return found

    def pages(self, path: str, name: str, params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yields the entries `name` of page after page, along the links `next`."""
        asked = {key: value for key, value in params.items() if value is not None}
        while True:
            page = self.json("GET", path, params=asked)
            yield from page[name]
            following = next((one["href"] for one in page.get("links", []) if one["rel"] == "next"), None)
            if following is None:
                return
            asked = dict(httpx.URL(following).params)

    def ask(self, method: str, path: str, **content: Any) -> httpx.Response:
        """Gives an answer, read; errors as in `Client`."""
        with closing(self._open(method, path, **content)) as answer:
            self._read(answer)
            return answer

    def save(self, method: str, path: str, target: Path, **content: Any) -> Path:
        """Writes an answer's body to a file, whole or not at all."""
        with (
            closing(self._open(method, path, **content)) as answer,
            whole_file(target) as temporary,
            temporary.open("wb") as file,
        ):
            try:
                for chunk in answer.iter_bytes(_CHUNK):
                    file.write(chunk)
            except httpx.HTTPError as error:
                raise Unavailable(f"{self.url} broke off while sending {path}: ask again") from error
        return target

    def _open(self, method: str, path: str, **content: Any) -> httpx.Response:
        """Gives an answer whose body is still to be read; asks again where the service is busy."""
        with traces.span(f"{method} {_first(path)}", kind="client", url__path=path):
            return self._answered(self._http.build_request(method, path, headers=traces.carried(), **content))

    def _answered(self, request: httpx.Request) -> httpx.Response:
        for number in range(1, self._tries + 1):
            try:
                answer = self._http.send(request, stream=True)
            except httpx.ConnectError as error:
                raise Unavailable(f"no search service answers at {self.url} ({error}): start it") from error
            except httpx.HTTPError as error:
                raise Unavailable(f"the search service at {self.url} did not answer ({error!r})") from error
            if answer.is_success:
                return answer
            self._read(answer)
            if answer.status_code not in (429, 503) or number == self._tries:
                raise _error_of(answer)
            time.sleep(_pause_s(number, answer.headers.get("retry-after", "")))
        raise AssertionError("unreachable")

    def _read(self, answer: httpx.Response) -> None:
        try:
            answer.read()
        except httpx.HTTPError as error:
            raise Unavailable(f"the search service at {self.url} broke off ({error!r}): ask again") from error
        finally:
            answer.close()


def _first(path: str) -> str:
    """First part of a path, for names of which there are few."""
    return f"/{path.lstrip('/').partition('/')[0]}"


def _pause_s(number: int, told: str = "") -> float:
    return min(_LONGEST_PAUSE_S, float(told) if told.isdigit() else 0.25 * 2**number)


def _error_of(answer: httpx.Response) -> EarthfieldError:
    try:
        content = answer.json()
        kind, message = str(content["error"]), str(content["message"])
    except (ValueError, KeyError, TypeError):
        kind, message = "", f"the search service answered {answer.status_code} {answer.reason_phrase}"
    default = InvalidInput if answer.status_code < 500 else Unavailable
    return _KINDS.get(kind, _BY_STATUS.get(answer.status_code, default))(message)
