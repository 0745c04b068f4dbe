"""A remote file is fetched once, in few pieces; signatures are kept, and pauses are what servers ask for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earthfield.errors import BrokenArtefact, Unavailable
from earthfield_ingest.access import Access
from earthfield_ingest.fetch import Limits
from earthfield_ingest.fetch.limits import Traffic
from earthfield_ingest.fetch.patience import Patience, Trouble, retry_after_s
from earthfield_ingest.fetch.pieces import Piece, PieceFile, Pieces
from earthfield_ingest.fetch.remote import Remote
from earthfield_ingest.fetch.web import Answer, Refused
from earthfield_ingest.providers import UNKNOWN

DATA = np.random.default_rng(0).bytes(20_000)
SMALL = Limits(header_bytes=500, piece_bytes=4_000, held_bytes=6_000)


class Store:
    """Gives pieces of DATA and remembers what was asked."""

    def __init__(self, data: bytes = DATA) -> None:
        self.data = data
        self.asked: list[tuple[int, int]] = []

    def __call__(self, start: int, stop: int) -> Piece:
        self.asked.append((start, stop))
        return Piece(start, self.data[start:stop], len(self.data))

    def pieces(self, limits: Limits = SMALL) -> Pieces:
        return Pieces("http://h/a", self, limits)


@settings(max_examples=60, deadline=None)
@given(reads=st.lists(st.tuples(st.integers(0, 21_000), st.integers(0, 9_000)), max_size=25))
def test_any_reads_give_the_file_s_bytes_whatever_is_forgotten_between(reads: list[tuple[int, int]]) -> None:
    store = Store()
    pieces = store.pieces()
    for start, length in reads:
        assert pieces.read(start, start + length) == DATA[start : start + length]
    assert all(stop - start <= SMALL.piece_bytes for start, stop in store.asked)


@settings(max_examples=60, deadline=None)
@given(reads=st.lists(st.tuples(st.integers(0, 21_000), st.integers(0, 9_000)), max_size=25))
def test_no_byte_is_fetched_twice_while_it_is_held(reads: list[tuple[int, int]]) -> None:
    store = Store()
    pieces = store.pieces(replace(SMALL, held_bytes=1 << 20))
    for start, length in reads:
        pieces.read(start, start + length)
    fetched = np.zeros(len(DATA), int)
    for start, stop in store.asked:
        fetched[start:stop] += 1
    assert fetched.max(initial=0) <= 1


def test_a_small_file_is_one_request_and_neighbours_are_fetched_together() -> None:
    store = Store(DATA[:400])
    assert store.pieces().read(0, 400) == DATA[:400]
    assert store.asked == [(0, 500)]
    store = Store()
    pieces = store.pieces(replace(SMALL, piece_bytes=20_000))
    pieces.expect([(5_000, 6_000), (6_010, 7_000), (4_000, 4_500)])
    assert store.asked == [(0, 500), (4_000, 7_000)]
    assert pieces.read(6_500, 7_000) == DATA[6_500:7_000]
    assert len(store.asked) == 2


def test_what_comes_short_is_told_and_never_filled_up() -> None:
    def short(start: int, stop: int) -> Piece:
        return Piece(start, DATA[start : stop - 1] if start else DATA[start:stop], len(DATA))

    with pytest.raises(Unavailable, match="another part"):
        Pieces("http://h/a", short, SMALL).read(1_000, 2_000)
    with pytest.raises(BrokenArtefact, match="empty"):
        Store(b"").pieces().read(0, 1)


def test_a_remote_file_seeks_and_ends_like_any_other() -> None:
    file = PieceFile(Store().pieces())
    assert (file.seek(-10, 2), file.read(), file.read()) == (len(DATA) - 10, DATA[-10:], b"")
    assert (file.seek(5), file.seek(5, 1), file.read(3)) == (5, 10, DATA[10:13])


@pytest.mark.parametrize(
    ("text", "seconds"), [("7", 7), (" 0 ", 0), ("soon", None), ("", None), (None, None)]
)
def test_pauses_asked_for_in_seconds(text: str | None, seconds: float | None) -> None:
    assert retry_after_s(text) == seconds


def test_pauses_asked_for_as_dates() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 25 < (retry_after_s(soon) or 0) <= 30
    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0


def test_a_pause_is_no_longer_than_allowed_and_the_time_for_all_tries_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", slept.append)
    patience = Patience(Limits(tries=4, pause_s=0.1, retry_after_max_s=9, budget_s=100), Traffic())

    def busy(_: float) -> None:
        raise Trouble("it answers 429", after_s=3600)

    with pytest.raises(Unavailable, match="answers 429"):
        patience.ask("http://h/a", busy)
    assert slept == [9, 9, 9]
    slept.clear()
    with pytest.raises(Unavailable):
        Patience(Limits(tries=4, retry_after_max_s=60, budget_s=50), Traffic()).ask("http://h/a", busy)
    assert slept == []  # it would take longer than there is time


class Web:
    """Plays the provider: a signature is refused once it is out of date."""

    def __init__(self) -> None:
        self.valid = "1"
        self.signed: list[str] = []
        self.life = timedelta(hours=1)

    def sign(self, address: str) -> str:
        self.signed.append(address)
        until = (datetime.now(UTC) + self.life).strftime("%Y-%m-%dT%H:%M:%SZ")
        return f"{address}?se={until}&sig={len(self.signed)}"

    def get(self, address: str, **_: object) -> Answer:
        if f"sig={self.valid}" not in address:
            raise Refused("answers 403", 403)
        return Answer(206, {"content-range": "bytes 0-3/4"}, b"data")


@pytest.fixture
def signing(monkeypatch: pytest.MonkeyPatch) -> tuple[Web, Remote]:
    web = Web()
    provider = replace(UNKNOWN, name="signing", sign=web.sign)
    monkeypatch.setattr("earthfield_ingest.fetch.remote.provider_of", lambda _: provider)
    remote = Remote(Access(home="/data"), Limits(), Traffic())
    monkeypatch.setattr(remote, "_web", web)
    return web, remote


def test_a_signature_is_kept_until_it_expires(signing: tuple[Web, Remote]) -> None:
    web, remote = signing
    for _ in range(3):
        assert remote.pieces("https://h/a").read(0, 4) == b"data"
    assert web.signed == ["https://h/a"]
    web.life, web.valid = timedelta(seconds=30), "2"
    remote.pieces("https://h/b").read(0, 4)
    web.valid = "3"
    remote.pieces("https://h/b").read(0, 4)  # too near its end to be used again
    assert web.signed == ["https://h/a", "https://h/b", "https://h/b"]


def test_a_refused_signature_is_made_anew_once(signing: tuple[Web, Remote]) -> None:
    web, remote = signing
    remote.pieces("https://h/a").read(0, 4)
    web.valid = "2"
    assert remote.pieces("https://h/a").read(0, 4) == b"data"
    web.valid = "never"
    with pytest.raises(BrokenArtefact, match="403"):
        remote.pieces("https://h/a").read(0, 4)
    assert len(web.signed) == 3
