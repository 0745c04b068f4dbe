"""Remote files: pieces and texts of any server, asked for with patience, limits and signatures."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

from earthfield.errors import BrokenArtefact
from earthfield_ingest.access import BUCKETS, Access, shown
from earthfield_ingest.fetch.limits import Limits, Traffic
from earthfield_ingest.fetch.patience import Patience, Trouble, host_of
from earthfield_ingest.fetch.pieces import Piece, Pieces
from earthfield_ingest.fetch.stores import Stores
from earthfield_ingest.fetch.web import Answer, Refused, Web, text_of
from earthfield_ingest.providers import provider_of

_SPAN = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_SIGNATURES_KEPT = 1024
_UNTOLD_LIFE = timedelta(minutes=5)
_SAFETY = timedelta(minutes=1)


class Remote:
    """Everything that a job reads over the network; shared by its threads."""

    def __init__(self, access: Access, limits: Limits, traffic: Traffic) -> None:
        """Args: what may be reached; how patient to be; where it is counted."""
        self._limits, self._traffic = limits, traffic
        self._patience = Patience(limits, traffic)
        self._web = Web(access, limits)
        self._stores = Stores(limits)
        self._signatures = _Signatures()

    def pieces(self, address: str) -> Pieces:
        """Gives the bytes of a file, for one thread; nothing is fetched yet."""
        fetch = self._store_piece if _in_store(address) else self._web_piece
        return Pieces(address, lambda start, stop: fetch(address, start, stop), self._limits)

    def text(self, address: str) -> str:
        """Fetches a whole text.

        Raises:
            BrokenArtefact: the server refuses, or it is no text.
            Unavailable: the network fails, also after some tries.
        """
        most = self._limits.whole_bytes
        if _in_store(address):
            data = self._patience.ask(address, lambda _: self._stores.whole(address, most=most))
            self._traffic.count(whose(address), received=len(data))
            return text_of(Answer(200, {}, data), address, most=most)
        answer = self._patience.ask(address, lambda deadline: self._asked(address, "", deadline))
        return text_of(answer, address, most=most)

    def close(self) -> None:
        """Closes the connections; what is read later opens new ones."""
        self._web.close()

    def _store_piece(self, address: str, start: int, stop: int) -> Piece:
        piece = self._patience.ask(address, lambda _: self._stores.piece(address, start, stop))
        self._traffic.count(whose(address), received=len(piece.data))
        return piece

    def _web_piece(self, address: str, start: int, stop: int) -> Piece:
        def once(deadline: float) -> Piece:
            return _piece_of(self._asked(address, f"bytes={start}-{stop - 1}", deadline), address, start)

        return self._patience.ask(address, once)

    def _asked(self, address: str, span: str, deadline: float) -> Answer:
        """Sends one request, signed where the provider wants it; a signature that is refused is made anew once."""
        sign, most = provider_of(address).sign, self._limits.whole_bytes
        signed = self._signatures.of(address, sign) if sign else address
        try:
            answer = self._web.get(signed, span=span, deadline=deadline, most=most)
        except Refused as error:
            if sign is None or error.status != 403:
                raise
            signed = self._signatures.of(address, sign, anew=True)
            answer = self._web.get(signed, span=span, deadline=deadline, most=most)
        self._traffic.count(whose(address), received=len(answer.body))
        return answer


class _Signatures:
    """Signed addresses, kept until they expire."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[str, datetime]] = OrderedDict()

    def of(self, address: str, sign: Callable[[str], str], *, anew: bool = False) -> str:
        """Gives an address signed; errors as the provider's `sign`."""
        with self._lock:
            signed, until = self._kept.get(address, ("", datetime.now(UTC)))
        if not anew and until > datetime.now(UTC):
            return signed
        signed = sign(address)
        with self._lock:
            self._kept[address] = (signed, _expiry(signed) - _SAFETY)
            if len(self._kept) > _SIGNATURES_KEPT:
                self._kept.popitem(last=False)
        return signed


def whose(address: str) -> str:
    """Names the provider of an address, or its host."""
    return provider_of(address).name or host_of(address)


def _in_store(address: str) -> bool:
    return urlsplit(address).scheme.lower() in BUCKETS


def _expiry(signed: str) -> datetime:
    """Reads from a signed address (Azure's `se`) until when it holds."""
    told = parse_qs(urlsplit(signed).query).get("se", [""])[0]
    try:
        until = datetime.fromisoformat(told)
    except ValueError:
        return datetime.now(UTC) + _UNTOLD_LIFE
    return until if until.tzinfo else until.replace(tzinfo=UTC)


def _piece_of(answer: Answer, address: str, start: int) -> Piece:
    """Reads an answer as a piece; a server that gives no parts gives the whole."""
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        raise BrokenArtefact(f"{shown(address)} comes compressed, so that no part of it can be asked for")
    tag = answer.headers.get("etag", "")
    version = "" if tag.startswith("W/") else tag
    if answer.status == 200:
        return Piece(0, answer.body, len(answer.body), version)
    span = _SPAN.match(answer.headers.get("content-range", ""))
    if span is None:
        raise BrokenArtefact(f"{shown(address)} does not tell which part it gives: fetch it to this machine")
    first, last, size = (int(number) for number in span.groups())
    if first != start or len(answer.body) != last - first + 1:
        raise Trouble("its answer was cut short")
    return Piece(first, answer.body, size, version)
