"""The client of served encoders without a server: what travels, whose turn it is, and what is given back."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from training_land import SOURCES, Land, made_frames
from tritonclient.utils import InferenceServerException

from earthfield.errors import BrokenArtefact, Conflict, InvalidInput, Unavailable
from earthfield.timeline import Period
from earthfield_infer.serving import regions
from earthfield_infer.serving.connection import Connection, Replaced, checked_address
from earthfield_infer.serving.leftovers import backend_prefix, remove_leftovers
from earthfield_infer.serving.regions import Region, RegionPool, TensorSpec, owner_of, places_of
from earthfield_infer.serving.wire import Served, ServedSource, periods_of, periods_tensor, read_frames
from earthfield_infer.triton import TritonEncoder, request_of

YEAR = Period.parse("2018")
SERVED = Served(
    "made-up", 4,
    tuple(ServedSource(one.name, one.band_names, one.nodata, one.dtype) for _, one in sorted(SOURCES.items())),
)  # fmt: skip


def carried(frames):
    """Sends frames through tensors and reads them again."""
    request = request_of(frames, [YEAR], SERVED)
    tensors = {one.name: np.full(one.shape, 7, one.dtype) for one in request.specs}
    request.fill(tensors)
    return tensors, {
        one.name: found for one in SERVED.sources if (found := read_frames(tensors, one)) is not None
    }


def test_frames_travel_unchanged_and_those_that_show_nothing_stay() -> None:
    frames = made_frames(Land(size=16))
    name = "landsat-c2-l2"
    blind = frames[name].valid.copy()
    blind[1:] = False
    frames[name] = replace(frames[name], valid=blind)
    tensors, found = carried(frames)
    assert periods_of(tensors["periods"]) == [YEAR]
    assert set(found) == set(frames)
    assert found[name].values.dtype == np.uint16
    for source, one in frames.items():
        shows = one.valid.any(axis=(1, 2))
        for part in ("values", "valid", "acquired"):
            assert np.array_equal(getattr(found[source], part), getattr(one, part)[shows]), (source, part)
    assert len(found[name].acquired) == 1


def test_a_source_that_shows_nothing_does_not_travel_and_nothing_at_all_needs_no_server() -> None:
    frames = made_frames(Land(size=16))
    nothing = {name: replace(one, valid=np.zeros_like(one.valid)) for name, one in frames.items()}
    tensors, found = carried(frames | {"sentinel-1-rtc": nothing["sentinel-1-rtc"]})
    assert "sentinel-1-rtc" not in found and "sentinel-1-rtc.values" not in tensors
    assert request_of(nothing, [YEAR], SERVED) is None


def test_values_that_do_not_fit_what_travels_are_refused() -> None:
    frames = made_frames(Land(size=16))
    name = "sentinel-2-l2a"
    wide = frames[name].values.astype(np.int32)
    assert np.array_equal(
        carried(frames | {name: replace(frames[name], values=wide)})[0][f"{name}.values"][0], wide
    )
    wide[0, 0, 0, 0] = 40_000
    with pytest.raises(InvalidInput, match=r"sentinel-2-l2a B04 lie between .* and 40000.*int16"):
        carried(frames | {name: replace(frames[name], values=wide)})
    with pytest.raises(InvalidInput, match=r"sentinel-2-l2a are float32"):
        carried(frames | {name: replace(frames[name], values=wide.astype(np.float32))})  # type: ignore[arg-type]


def test_instants_of_periods_are_exact() -> None:
    odd = Period.parse("2018-03-01T01:02:03.000004/2018-09-15")
    assert periods_of(periods_tensor([odd, YEAR])) == [odd, YEAR]


def test_an_account_of_another_protocol_or_none_is_told() -> None:
    assert Served.from_json(SERVED.to_json()) == SERVED
    with pytest.raises(BrokenArtefact, match=r"protocol 99 and this program speaks 1: export it again"):
        Served.from_json(SERVED.to_json().replace('"protocol": 1', '"protocol": 99'))
    for text in ("", "[]", "{}", '{"protocol": 1, "sources": [{}]}'):
        with pytest.raises(BrokenArtefact, match="no account"):
            Served.from_json(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("grpc://host:1234", ("host:1234", False)), ("grpcs://host", ("host:8001", True)),
        ("host:9", ("host:9", False)), (" grpc://[::1]:5 ", ("[::1]:5", False)),
    ],
)  # fmt: skip
def test_addresses_are_read(text: str, found: tuple[str, bool]) -> None:
    assert checked_address(text) == found


@pytest.mark.parametrize(
    "text", ["http://host:8000", "grpc://", "grpc://host:port", "grpc://host:1/model", "grpc://h:0"]
)
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="no address of an encoder"):
        checked_address(text)


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of /dev/shm."""
    monkeypatch.setattr(regions, "FOLDER", tmp_path)
    return tmp_path


def test_a_region_has_a_name_until_the_server_knows_it_and_is_used_again(shared: Path) -> None:
    seen: list[str] = []
    gone: list[str] = []
    pool = RegionPool(lambda region: seen.append(region.name), gone.append)
    specs = [TensorSpec("a", np.dtype(np.int16), (3, 5)), TensorSpec("b", np.dtype(np.float32), (7,))]
    places, size = places_of(specs)
    for value in (1, 2):
        with pool.region(size) as region:
            assert list(shared.iterdir()) == []
            arrays = region.arrays(specs, places)
            arrays["a"][...], arrays["b"][...] = value, value + 0.5
            assert (arrays["a"] == value).all() and (arrays["b"] == value + 0.5).all()
    assert len(seen) == 1 and gone == []
    assert owner_of(seen[0]) == os.getpid()
    with pool.region(5 << 20):
        pass
    assert (len(seen), gone) == (2, seen[:1]), "one that is too small makes room for a larger one"
    with pytest.raises(RuntimeError), pool.region(size):
        raise RuntimeError
    with pool.region(size):
        assert len(seen) == 3, "after an error memory is not used again"
        pool.close()
    assert seen[2] in gone, "what is lent is given back after the end"


def test_a_server_that_refuses_a_region_leaves_no_file(shared: Path) -> None:
    def refuse(region: Region) -> None:
        assert [path.name for path in shared.iterdir()] == [region.name]
        raise OSError("on another host")

    with pytest.raises(OSError, match="another host"), RegionPool(refuse, lambda name: None).region(100):
        pass
    assert list(shared.iterdir()) == []


def test_only_what_dead_processes_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("earthfield_infer.serving.leftovers.FOLDER", tmp_path)
    dead = os.spawnv(os.P_NOWAIT, "/bin/true", ["true"])
    os.waitpid(dead, 0)
    mine, ended = backend_prefix(), backend_prefix()
    stay = [f"{mine}1", f"earthfield-{os.getpid()}-ab", "psm_other", "earthfield-notes"]
    go = [f"earthfield_backend_{dead}_ab_1", f"earthfield-{dead}-ab", f"{ended}1"]
    for name in stay + go:
        (tmp_path / name).touch()
    remove_leftovers(ended)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(stay)


class Peer:
    """A server that does what the test says."""

    def __init__(self, *answers: object) -> None:
        self.answers, self.asked, self.rests, self.is_replaced, self.closed = (
            list(answers),
            0,
            False,
            False,
            False,
        )

    def encode(self, request, fingerprint: str):
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            self.is_replaced = isinstance(answer, Replaced)
            raise answer
        return answer

    def rest(self) -> None:
        self.rests = True

    def close(self) -> None:
        self.closed = True


FIELD = np.zeros((1, 16, 16, 4), np.float32)


def test_servers_take_turns_and_one_that_fails_is_left_out() -> None:
    good, bad, other = Peer(FIELD), Peer(Unavailable("gone")), Peer(FIELD)
    frames = made_frames(Land(size=16))
    with TritonEncoder([good, bad, other], SERVED, "f") as encoder:  # type: ignore[list-item]
        assert encoder.num_parallel == 6
        for _ in range(6):
            assert encoder.encode(frames, [YEAR]) is FIELD
    assert bad.asked == 1
    assert good.asked + other.asked == 6 and min(good.asked, other.asked) >= 2
    assert good.closed and bad.closed and other.closed


def test_a_server_that_comes_back_is_waited_for_and_one_that_does_not_is_told() -> None:
    frames = made_frames(Land(size=16))
    back = Peer(Unavailable("gone"), Unavailable("gone"), FIELD)
    assert TritonEncoder([back], SERVED, "f").encode(frames, [YEAR]) is FIELD  # type: ignore[list-item]
    assert back.asked == 3
    with pytest.raises(Unavailable, match="gone"):
        TritonEncoder([Peer(Unavailable("gone"))], SERVED, "f", patience_s=0.3).encode(frames, [YEAR])  # type: ignore[list-item]


def test_other_weights_are_a_conflict_only_when_no_server_has_the_first_ones() -> None:
    frames = made_frames(Land(size=16))
    new, old = Peer(Replaced("runs others")), Peer(FIELD)
    assert TritonEncoder([new, old], SERVED, "f").encode(frames, [YEAR]) is FIELD  # type: ignore[list-item]
    with pytest.raises(
        Conflict, match=r"began with made-up of f, and runs others: run the same command again"
    ):
        TritonEncoder([new, Peer(Replaced("runs others"))], SERVED, "f").encode(frames, [YEAR])  # type: ignore[list-item]
    wrong = Peer(InvalidInput("no"))
    with pytest.raises(InvalidInput):
        TritonEncoder([wrong, old], SERVED, "f").encode(frames, [YEAR])  # type: ignore[list-item]
    assert wrong.asked == 1, "what is wrong is not tried again"


def test_memory_that_the_server_still_counts_as_used_is_given_back_a_moment_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection = Connection("grpc://127.0.0.1:1", "made-up", timeout_s=1.0, shared_memory=True)
    refusals = ["Cannot unregister shared memory region 'it', it is currently in use."] * 2
    asked: list[str] = []

    def unregister(name: str, **_: object) -> None:
        asked.append(name)
        if refusals:
            raise InferenceServerException(refusals.pop())

    monkeypatch.setattr(connection._client, "unregister_system_shared_memory", unregister)
    connection._unregister("it")
    assert asked == ["it"] * 3
    refusals += ["the server is gone"]
    connection._unregister("it")
    assert len(asked) == 4, "anything else is not asked again"
    connection.close()


def test_an_answer_of_other_weights_is_never_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = Connection("grpc://127.0.0.1:1", "made-up", timeout_s=1.0, shared_memory=True)
    monkeypatch.setattr(connection, "_versions", {"first": "1"})
    monkeypatch.setattr(connection, "_sent", lambda request, version: (FIELD[0], "second"))
    request = request_of(made_frames(Land(size=16)), [YEAR], SERVED)
    assert request is not None
    with pytest.raises(Replaced, match=r"version 1 of made-up .* was replaced in its place"):
        connection.encode(request, "first")
    connection.close()
