"""An acquisition that lies off its reference is moved onto it, and left alone where that cannot be known."""

from __future__ import annotations

import json
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from ingest_catalogue import TinyCatalogue, area_text, write_tif
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import gaussian_filter
from scipy.spatial import KDTree

from earthfield.catalog import Catalog
from earthfield.cube import Cube
from earthfield.errors import Conflict
from earthfield.grid import Tile, Window
from earthfield.schemas import IngestReport, IngestRequest
from earthfield_ingest import jobs
from earthfield_ingest.coregister import (
    MAX_SHIFT_PX,
    NO_PEAK,
    TOO_FAR,
    TOO_FEW_PIXELS,
    TOO_LITTLE_TEXTURE,
    Shift,
    Template,
    estimate,
    shifted,
)

NODATA = -32768
S2 = "sentinel-2-l2a"


def land(side: int, seed: int) -> NDArray[np.float32]:
    """Fields with sharp borders and some grain, as reflectance x 10,000."""
    rng = np.random.default_rng(seed)
    seeds = rng.uniform(0, side, (side * side // 150, 2))
    nearest = KDTree(seeds).query(np.indices((side, side)).reshape(2, -1).T)[1].reshape(side, side)
    fields = rng.uniform(500, 4500, len(seeds))[nearest]
    return gaussian_filter(fields + rng.normal(0, 60, fields.shape), 0.6).astype(np.float32)


def moved(image: NDArray[Any], dy: float, dx: float) -> NDArray[np.float32]:
    """Moves an image in Fourier space, an independent way to shift by a part of a pixel."""
    wide = np.pad(image, 16, mode="reflect")
    fy, fx = fft.fftfreq(wide.shape[0])[:, None], fft.fftfreq(wide.shape[1])
    turned = fft.fft2(wide) * np.exp(-2j * np.pi * (fy * dy + fx * dx))
    return np.real(fft.ifft2(turned))[16:-16, 16:-16].astype(np.float32)


def clouds(side: int, share: float, seed: int) -> NDArray[np.bool_]:
    blobs = gaussian_filter(np.random.default_rng(seed).normal(size=(side, side)), 6)
    return blobs > np.quantile(blobs, 1 - share)


@pytest.mark.parametrize("side", [64, 101, 160])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_known_shift_is_found_under_clouds(side: int, seed: int) -> None:
    reference = land(side, seed)
    rng = np.random.default_rng(seed)
    dy, dx = rng.uniform(-2.5, 2.5, 2)
    clear = ~clouds(side, 0.3, seed + 10)
    # Brighter, with less contrast, noisy, and clouds that would decide if they could.
    seen = np.where(clear, 0.6 * moved(reference, -dy, -dx) + 800 + rng.normal(0, 40, reference.shape), 9000)
    found = estimate(seen.astype(np.int16), reference, clear)
    assert found.reason == ""
    assert np.hypot(found.dy_px - dy, found.dx_px - dx) < 0.15
    assert found.after > found.before


def test_clouds_that_stand_still_do_not_hold_the_land() -> None:
    reference, cloud = land(128, 4), clouds(128, 0.3, 5)
    image = np.where(cloud, 9000, moved(reference, 1.4, -0.7))
    hidden = np.where(cloud, np.nan, reference).astype(np.float32)
    found = estimate(image, hidden, ~cloud)
    assert (found.dy_px, found.dx_px) == pytest.approx((-1.4, 0.7), abs=0.1)


def test_fields_that_turn_from_bright_to_dark_do_not_mislead() -> None:
    reference = land(160, 6)
    turned = np.where(land(160, 7) > 3200, 5000 - reference, reference)
    found = estimate(moved(turned, -0.6, 0.9), reference, np.ones((160, 160), bool))
    assert (found.dy_px, found.dx_px) == pytest.approx((0.6, -0.9), abs=0.15)


def test_speckle_in_decibel_does_not_hide_the_shift() -> None:
    rng = np.random.default_rng(8)
    ground = gaussian_filter(land(320, 8) / 1000, 1.0)
    looks = 10 * np.log10(rng.gamma(4.0, 0.25, (2, 320, 320)))
    image = 100 * (moved(ground, 0.8, 1.2) * 2 - 15 + looks[0])
    found = estimate(image, (100 * (ground * 2 - 15 + looks[1] / 3)).astype(np.float32), image < 1e9, pixel=2)
    assert (found.dy_px, found.dx_px) == pytest.approx((-0.8, -1.2), abs=0.2)


def test_the_grid_of_enlarged_pixels_does_not_hold_the_land() -> None:
    fine = gaussian_filter(land(192, 9), 1.0)

    def coarse(image: NDArray[Any]) -> NDArray[Any]:
        return image.reshape(96, 2, 96, 2).mean(axis=(1, 3)).repeat(2, 0).repeat(2, 1)

    whole = np.ones((192, 192), bool)
    found = estimate(coarse(moved(fine, 0.7, -0.5)), coarse(fine), whole, pixel=2)
    assert (found.dy_px, found.dx_px) == pytest.approx((-0.7, 0.5), abs=0.15)


@pytest.mark.parametrize("seed", range(8))
def test_another_place_is_refused(seed: int) -> None:
    found = estimate(land(96, 20 + seed), land(96, 40 + seed), ~clouds(96, 0.2, seed))
    assert found.reason != ""
    assert not found


def test_each_refusal_has_its_reason() -> None:
    reference, whole = land(96, 1), np.ones((96, 96), bool)
    few = np.zeros_like(whole)
    few[:30, :30] = True
    assert estimate(reference, reference, few).reason == TOO_FEW_PIXELS
    assert estimate(reference, np.full((96, 96), np.nan, np.float32), whole).reason == TOO_FEW_PIXELS
    assert estimate(np.full((96, 96), 700), reference, whole).reason == TOO_LITTLE_TEXTURE
    assert estimate(reference, np.zeros((96, 96), np.float32), whole).reason == TOO_LITTLE_TEXTURE
    noise = np.random.default_rng(0).normal(1000, 100, (96, 96))
    assert estimate(noise, reference, whole).reason == NO_PEAK
    far = estimate(moved(reference, MAX_SHIFT_PX + 1.2, 0), reference, whole)
    assert (far.reason, far.dy_px, far.dx_px) == (TOO_FAR, 0.0, 0.0)
    assert far.confidence > 0


def test_a_template_may_be_used_again() -> None:
    reference, whole = land(96, 1), np.ones((96, 96), bool)
    template = Template(reference)
    image = moved(reference, 0.5, 0.25)
    assert template.locate(image, whole) == template.locate(image, whole)
    assert not template.locate(reference, whole).settled


VALUES = hnp.arrays(np.int16, (2, 7, 9), elements=st.sampled_from([NODATA, -20, 0, 7, 900, 32767]))
MASKS = hnp.arrays(bool, (7, 9))
QUARTERS = st.integers(-16, 16).map(lambda quarter: quarter / 4)


@settings(max_examples=150, deadline=None)
@given(VALUES, MASKS, QUARTERS, QUARTERS)
def test_a_shift_equals_the_slow_obvious_reference(
    values: NDArray[np.int16], valid: NDArray[np.bool_], dy: float, dx: float
) -> None:
    valid = valid & (values != NODATA).any(axis=0)
    values = np.where(valid, values, np.int16(NODATA))
    got, seen = shifted(values, valid, Shift(dy, dx), nodata=NODATA)
    assert got.dtype == np.int16
    for y, x in np.ndindex(7, 9):
        parts = []
        for sy in range(7):
            for sx in range(9):
                share = max(0, 1 - abs(y - dy - sy)) * max(0, 1 - abs(x - dx - sx))
                if share:
                    parts.append((share, sy, sx))
        whole = sum(share for share, _, _ in parts) == 1 and all(valid[sy, sx] for _, sy, sx in parts)
        bands = [
            round(sum(share * int(values[b, sy, sx]) for share, sy, sx in parts))
            if whole and all(values[b, sy, sx] != NODATA for _, sy, sx in parts)
            else NODATA
            for b in range(2)
        ]
        assert got[:, y, x].tolist() == bands
        assert seen[y, x] == any(one != NODATA for one in bands)


def test_no_shift_copies_nothing_and_whole_pixels_are_exact() -> None:
    values = np.random.default_rng(0).integers(-9000, 9000, (3, 20, 30)).astype(np.int16)
    valid = np.ones((20, 30), bool)
    same = shifted(values, valid, Shift(), nodata=NODATA)
    assert same[0] is values
    assert same[1] is valid
    got, seen = shifted(values, valid, Shift(2.0, -3.0), nodata=NODATA)
    assert (got[:, 2:, :-3] == values[:, :-2, 3:]).all()
    assert seen.sum() == 18 * 27
    assert (got[:, ~seen] == NODATA).all()


@pytest.mark.parametrize(("dy", "dx"), [(0.4, -0.6), (-1.7, 2.2)])
def test_a_found_shift_carried_out_brings_the_land_back(dy: float, dx: float) -> None:
    reference = land(128, 3)
    whole = np.ones((128, 128), bool)
    image = moved(reference, dy, dx).round().astype(np.int16)
    found = estimate(image, reference, whole)
    (got,), seen = shifted(image[None], whole, found, nodata=NODATA)
    inner = seen[8:-8, 8:-8]
    assert inner.all()

    def off(one: NDArray[Any]) -> float:
        return float(np.abs(one - reference)[8:-8, 8:-8].mean())

    assert off(got) < 0.5 * off(image)


PLACE = Window(-562_992, -562_896, 50_240, 50_336)
"""96 x 96 px inside tile 49."""
TILE = Tile.parse("32631_0049_0549")


@pytest.fixture
def jittered(tmp_path: Path) -> TinyCatalogue:
    """Eight acquisitions where they belong, and one that lies 1.25 px too far south and 0.5 px too far east."""
    tiny = TinyCatalogue(tmp_path / "catalogue")
    for month in range(1, 9):
        acquire(tiny, f"m{month}", f"2020-{month:02}-10T10:00:00")
    acquire(tiny, "off", "2020-09-10T10:00:00", dy=1.25, dx=0.5)
    return tiny


def acquire(tiny: TinyCatalogue, name: str, when: str, *, dy: float = 0, dx: float = 0) -> None:
    folder = tiny.add(name, when, window=PLACE)
    rng = np.random.default_rng(int(when[5:7]))
    for key in ("B04", "B08"):
        picture = moved(land(96, 3), dy, dx) * 0.9 + rng.normal(0, 20, (96, 96))
        write_tif(folder / f"{key}.tif", picture.clip(1, 9000).astype(np.uint16), PLACE, nodata=0)


def run(tiny: TinyCatalogue, *, root: str = "root", **content: Any) -> IngestReport:
    given = {"catalog": str(tiny.folder), "periods": ("2020",), "sources": (S2,), **content}
    return jobs.ingest(IngestRequest.model_validate({"root": tiny.folder.parent / root, **given}))


def cube(tiny: TinyCatalogue, root: str = "root") -> Cube:
    return Cube(Catalog(tiny.folder.parent / root).cube(TILE))


def frames(cube: Cube) -> dict[int, Any]:
    seen = cube.observations(S2)
    values, valid = cube.read(S2, [one.slot for one in seen], TILE.local(PLACE))
    return {one.step: (values[place], valid[place], one.items, one.about) for place, one in enumerate(seen)}


def test_an_ingest_moves_what_lies_off_and_says_so(jittered: TinyCatalogue) -> None:
    plain, report = run(jittered, root="plain"), run(jittered, coregister=True)
    assert (plain.sources[S2].moved, plain.sources[S2].unmoved) == (0, {})
    assert report.sources[S2].moved == 1
    assert report.sources[S2].moved_px == pytest.approx(np.hypot(1.25, 0.5), abs=0.15)
    assert report.sources[S2].unmoved == {"already in place": 8}
    before, after = frames(cube(jittered, "plain")), frames(cube(jittered))
    (off,) = [step for step, (_, _, items, _) in before.items() if items == ("off",)]
    told = after[off][3]["shifts"]["off"]
    assert told["px"] == pytest.approx([-1.25, -0.5], abs=0.1)
    assert told["confidence"] > 0.5
    truth = land(96, 3) * 0.9

    def error(frame: Any) -> float:
        return float(np.abs(frame[0][6] - truth)[8:-8, 8:-8].mean())

    assert error(after[off]) < 0.5 * error(before[off])
    for step in before.keys() - {off}:
        assert (after[step][0] == before[step][0]).all()  # in place: every value as it was acquired


def test_a_cloud_moves_with_the_acquisition_and_never_mixes_in(jittered: TinyCatalogue) -> None:
    cloudy = clouds(48, 0.3, 1)
    folder = jittered.folder / S2 / "off"
    write_tif(folder / "SCL.tif", np.where(cloudy, 9, 4).astype(np.uint8), PLACE, nodata=0, factor=2)
    hidden = cloudy.repeat(2, 0).repeat(2, 1)
    for key in ("B04", "B08"):
        with rasterio.open(folder / f"{key}.tif", "r+") as file:
            file.write(np.where(hidden, 20_000, file.read(1)).astype(np.uint16), 1)
    report = run(jittered, coregister=True)
    assert report.sources[S2].moved == 1
    (off,) = [one for one in frames(cube(jittered)).values() if one[2] == ("off",)]
    values, valid = off[0][6], off[1]
    assert 0.5 < valid.mean() < 0.7
    assert values[valid].max() < 5000
    assert (values[~valid] == NODATA).all()


def test_a_rerun_reports_the_same_and_a_refresh_uses_the_same_reference(jittered: TinyCatalogue) -> None:
    first = run(jittered, coregister=True)
    snapshot, told = cube(jittered).snapshot, cube(jittered).attributes(S2)["reference"]
    again = run(jittered, coregister=True)
    assert cube(jittered).snapshot == snapshot
    assert again.sources[S2].unmoved == first.sources[S2].unmoved
    assert told["band"] == "B08"
    assert len(told["items"]) == 8
    before = frames(cube(jittered))
    acquire(jittered, "later", "2020-11-10T10:00:00", dy=-0.75, dx=1.0)
    refreshed = run(jittered)  # a cube that is co-registered stays so, without being asked again
    assert refreshed.sources[S2].moved == 2
    assert cube(jittered).attributes(S2)["reference"] == told
    after = frames(cube(jittered))
    (new,) = after.keys() - before.keys()
    assert after[new][3]["shifts"]["later"]["px"] == pytest.approx([0.75, -1.0], abs=0.1)
    assert all((after[step][0] == before[step][0]).all() for step in before)


def test_an_area_in_two_parts_is_moved_as_in_one(jittered: TinyCatalogue) -> None:
    part = Window(PLACE.y0 + 20, PLACE.y0 + 60, PLACE.x0 + 10, PLACE.x0 + 50)
    run(jittered, coregister=True, aoi=area_text(part))
    run(jittered, coregister=True)
    run(jittered, coregister=True, root="whole")
    parts, whole = frames(cube(jittered)), frames(cube(jittered, "whole"))
    for step, (values, valid, items, about) in whole.items():
        assert (values == parts[step][0]).all()
        assert (valid == parts[step][1]).all()
        assert (items, about) == parts[step][2:]


def test_a_cube_is_coregistered_from_the_start_or_never(jittered: TinyCatalogue) -> None:
    run(jittered)
    with pytest.raises(Conflict, match="not co-registered: leave --coregister out"):
        run(jittered, coregister=True)


def test_a_field_knows_that_its_scenes_were_moved(jittered: TinyCatalogue) -> None:
    from earthfield.cube import CubeReader
    from earthfield.timeline import Period
    from earthfield_infer.inputs import _read

    told = []
    for root, coregister in (("plain", False), ("root", True)):
        run(jittered, root=root, coregister=coregister)
        reader = CubeReader(Catalog(jittered.folder.parent / root), (S2,))
        seen = reader.observed(TILE, Period.parse("2020"))[S2]
        told.append([json.dumps(_read(reader, TILE, S2, one)) for one in seen])
    assert all(one != other for one, other in zip(*told, strict=True))


def test_real_acquisitions_agree_better_once_moved(real_data: Path) -> None:
    """NDVI of clear dates at most 16 days apart differs less; moved the wrong way it differs more."""
    taken = {}
    for folder in sorted((real_data / "places" / "flanders_a" / S2).glob("S2*")):
        red, near, classes = (rasterio.open(folder / f"{key}.tif").read(1) for key in ("B04", "B08", "SCL"))
        clear = np.isin(classes, (2, 4, 5, 6, 7, 11)).repeat(2, 0).repeat(2, 1) & (near > 0) & (red > 0)
        if clear.mean() > 0.98:
            taken[date.fromisoformat(folder.name[10:18])] = (
                np.stack([red, near]).astype(np.int16), clear,
            )  # fmt: skip
    pictures = [np.where(clear, values[1], np.nan) for values, clear in taken.values()]
    template = Template(np.nanmedian(pictures[:: len(pictures) // 8], axis=0).astype(np.float32))
    found = {day: template.locate(values[1], clear) for day, (values, clear) in taken.items()}
    assert sum(not one.reason for one in found.values()) > 0.9 * len(found)
    noise: dict[int, list[float]] = {-1: [], 0: [], 1: []}
    for one, other in pairwise(sorted(taken)):
        if (other - one).days > 16 or found[one].reason or found[other].reason:
            continue
        for sign, told in noise.items():
            ndvi = []
            for day in (one, other):
                shift = Shift(sign * found[day].dy_px, sign * found[day].dx_px)
                (red, near), _ = shifted(*taken[day], shift, nodata=NODATA)
                ndvi.append(((near - red) / np.maximum(near + red, 1.0))[4:-4, 4:-4])
            told.append(float(np.std(ndvi[1] - ndvi[0])))
    wrong, still, right = (float(np.median(noise[sign])) for sign in (-1, 0, 1))
    assert right < 0.8 * still < 0.8 * wrong
