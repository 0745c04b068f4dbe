"""What is kept in memory stays within its bounds, is made once, and is never older than its file."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from smooth_fields import TILE, smooth_vectors, write_smooth_field

from earthfield.catalog import Catalog, FieldKey
from earthfield.codec import normalised, quantise, values_of
from earthfield.errors import BrokenArtefact
from earthfield.field import Field, blocks, keep_blocks
from earthfield.grid import Window
from earthfield.kept import Kept
from earthfield_search.api.palette import principal

LOCAL = Window(192, 320, 256, 540)
"""Over four blocks of the file."""


@pytest.fixture
def keeping() -> Iterator[None]:
    before = blocks._kept.most_bytes
    keep_blocks(64 << 20)
    yield
    keep_blocks(before)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path)


def local(y0: int, y1: int, x0: int, x1: int) -> Window:
    """A window of the tile as one of the zone's grid."""
    return Window(y0, y1, x0, x1).shifted(TILE.window.y0, TILE.window.x0)


def test_the_last_used_are_kept_up_to_so_many_bytes() -> None:
    made: list[str] = []

    def make(name: str) -> bytes:
        made.append(name)
        return b"x" * 40

    kept: Kept[bytes] = Kept(100, size_of=len)
    for name in ("a", "b", "a", "c", "a", "b"):
        assert kept.get(name, lambda name=name: make(name)) == b"x" * 40
        assert kept.num_bytes <= 100
    assert made == ["a", "b", "c", "b"], "b was not used for longest when c came"
    kept.get("large", lambda: b"x" * 101)
    assert kept.num_bytes == 0 and "large" not in kept


def test_many_who_ask_at_once_get_one_thing() -> None:
    kept: Kept[bytes] = Kept(100, size_of=len)
    begun, go, made = threading.Event(), threading.Event(), []

    def make() -> bytes:
        begun.set()
        assert go.wait(20)
        made.append(1)
        return b"x"

    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(kept.get("a", make))) for _ in range(4)]
    threads[0].start()
    assert begun.wait(20)
    for thread in threads[1:]:
        thread.start()
    go.set()
    for thread in threads:
        thread.join(20)
    assert found == [b"x"] * 4 and len(made) == 1


def test_what_could_not_be_made_is_made_when_it_is_asked_for_again() -> None:
    kept: Kept[bytes] = Kept(100, size_of=len)

    def fail() -> bytes:
        raise BrokenArtefact("not now")

    with pytest.raises(BrokenArtefact):
        kept.get("a", fail)
    assert kept.get("a", lambda: b"x") == b"x"


@pytest.mark.usefixtures("keeping")
def test_a_field_reads_the_same_whether_its_blocks_are_kept_or_not(catalog: Catalog) -> None:
    field = Field(catalog, write_smooth_field(catalog, local=LOCAL))
    windows = [local(200, 210, 260, 300), local(200, 300, 300, 320), field.window, local(192, 193, 256, 257)]
    kept = [field.codes(one) for one in windows for _ in range(2)][::2]
    assert blocks._kept.num_bytes == 64 * 256 * 256, "of windows inside one block, that block"
    kept[0][:] = 0  # what is given away is a copy
    again = field.codes(windows[0])
    keep_blocks(0)
    for one, found in zip(windows[1:], kept[1:], strict=True):
        assert (found == field.codes(one)).all() and found.flags.c_contiguous
    assert again.any() and (again == field.codes(windows[0])).all()


@pytest.mark.usefixtures("keeping")
def test_a_field_that_was_made_again_is_read_again(catalog: Catalog) -> None:
    window = local(200, 210, 260, 300)
    key: FieldKey = write_smooth_field(catalog, local=LOCAL, seed=1)
    field = Field(catalog, key)
    before = field.codes(window)
    write_smooth_field(catalog, local=LOCAL, seed=2)
    for one in (field, Field(catalog, key)):
        after = one.codes(window)
        assert (after != before).mean() > 0.5
        assert (field.block(0, 0, 1)[:, 200:210, 4:44] == after).all()
    bands = field.block(0, 0, 1, bands=(3, 1))
    assert bands.shape == (2, 256, 256) and (bands[0, 200:210, 4:44] == after[3]).all()


def test_colours_of_codes_are_those_of_the_vectors_they_stand_for() -> None:
    vectors = smooth_vectors(64, 64, seed=3)
    vectors[:4, :4] = np.nan
    codes = np.ascontiguousarray(np.moveaxis(quantise(vectors), -1, 0))
    paint = principal(normalised(vectors[8:].reshape(-1, 64)))
    found, told = paint.colours(codes), paint.colours(values_of(codes))
    assert (np.abs(found.astype(int) - told) <= 1).all()
    assert not found[:4, :4].any() and (found[4:, :, 3] == 255).all() and found[..., 0].std() > 20
