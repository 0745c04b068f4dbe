"""Teachers: published fields are read pixel for pixel, whichever way they lie, and told apart by year."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from pyproj import Transformer

from earthfield.codec import NODATA
from earthfield.errors import BrokenArtefact, InvalidInput, NotFound
from earthfield.grid import Window
from earthfield.timeline import Period
from earthfield_train.teacher import open_teacher

EPSG = 32631
WINDOW = Window(-560_024, -560_000, 50_000, 50_032)
"""24 x 32 px: eastings from 500,000 m, northings from 5,600,000 m up."""
YEAR = Period.parse("2018")


def codes_of(seed: int = 0, shape: tuple[int, int] = (24, 32)) -> np.ndarray:
    codes = np.random.default_rng(seed).integers(-127, 128, (64, *shape)).astype(np.int8)
    codes[:, :3, :5] = NODATA
    return codes


def write(
    path: Path,
    codes: np.ndarray,
    *,
    south_up: bool = False,
    shift: tuple[float, float] = (0.0, 0.0),
    epsg: int = EPSG,
    pixel: float = 10.0,
) -> Path:
    """Writes codes that stand north-up; `shift` moves the grid by metres east and north."""
    left, top = WINDOW.x0 * 10 + shift[0], -WINDOW.y0 * 10 + shift[1]
    transform = Affine(pixel, 0, left, 0, -pixel, top)
    if south_up:
        codes = codes[:, ::-1]
        transform = Affine(pixel, 0, left, 0, pixel, top - codes.shape[1] * pixel)
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = codes.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=str(codes.dtype),
        crs=f"EPSG:{epsg}", transform=transform, tiled=True, blockxsize=16, blockysize=16,
    ) as data:  # fmt: skip
        data.write(codes)
    return path


@pytest.mark.parametrize("south_up", [False, True])
def test_codes_come_back_as_they_were_written(tmp_path: Path, south_up: bool) -> None:
    codes = codes_of()
    teacher = open_teacher([f"{write(tmp_path / 'a.tif', codes, south_up=south_up)}:2018"])
    assert np.array_equal(teacher.codes(EPSG, WINDOW, YEAR), codes)
    inner = Window(WINDOW.y0 + 2, WINDOW.y0 + 9, WINDOW.x0 + 4, WINDOW.x0 + 20)
    assert np.array_equal(teacher.codes(EPSG, inner, YEAR), codes[:, 2:9, 4:20])


def test_beyond_the_file_there_is_no_data(tmp_path: Path) -> None:
    codes = codes_of()
    teacher = open_teacher([f"{write(tmp_path / 'a.tif', codes)}:2018"])
    wide = teacher.codes(EPSG, WINDOW.padded(4), YEAR)
    assert np.array_equal(wide[:, 4:-4, 4:-4], codes)
    assert (wide[:, :4] == NODATA).all() and (wide[:, :, -4:] == NODATA).all()
    far = WINDOW.shifted(500, 0)
    assert (teacher.codes(EPSG, far, YEAR) == NODATA).all()
    assert teacher.periods(EPSG, far) == ()
    assert teacher.periods(EPSG, WINDOW) == (YEAR,)


@pytest.mark.parametrize("shift", [(4.0, -4.0), (-4.9, 4.9)])
def test_a_grid_that_is_offset_gives_the_pixel_that_holds_the_centre(
    tmp_path: Path, shift: tuple[float, float]
) -> None:
    codes = codes_of()
    teacher = open_teacher([f"{write(tmp_path / 'a.tif', codes, shift=shift)}:2018"])
    assert np.array_equal(teacher.codes(EPSG, WINDOW, YEAR), codes)


def test_a_grid_offset_by_more_than_half_a_pixel_gives_the_neighbour(tmp_path: Path) -> None:
    codes = codes_of()
    teacher = open_teacher([f"{write(tmp_path / 'a.tif', codes, shift=(6.0, 0.0))}:2018"])
    found = teacher.codes(EPSG, WINDOW, YEAR)
    assert np.array_equal(found[:, :, 1:], codes[:, :, :-1])
    assert (found[:, :, 0] == NODATA).all()


def test_a_file_of_the_next_zone_gives_codes_that_it_holds(tmp_path: Path) -> None:
    """Every code found must be the one of the pixel where the centre lies, worked out pixel by pixel."""
    codes = codes_of(shape=(200, 200))
    over = Transformer.from_crs(EPSG, 32632, always_xy=True)
    east, north = over.transform(WINDOW.x0 * 10.0, -WINDOW.y0 * 10.0)
    left, top = round(east, -1) - 900, round(north, -1) + 900
    path = write(tmp_path / "a.tif", codes, epsg=32632)
    with rasterio.open(path, "r+") as data:
        data.transform = Affine(10, 0, left, 0, -10, top)
    found = open_teacher([f"{path}:2018"]).codes(EPSG, WINDOW, YEAR)
    for row, col in ((0, 0), (5, 30), (23, 31), (12, 7)):
        x, y = over.transform((WINDOW.x0 + col + 0.5) * 10, -(WINDOW.y0 + row + 0.5) * 10)
        expected = codes[:, int((top - y) // 10), int((x - left) // 10)]
        assert np.array_equal(found[:, row, col], expected)


def test_what_one_file_lacks_is_taken_from_the_next(tmp_path: Path) -> None:
    first, second = codes_of(0), codes_of(1)
    second[:, :3, :5] = 7
    for name, codes in (("a.tif", first), ("b.tif", second)):
        write(tmp_path / "2018" / name, codes)
    found = open_teacher([str(tmp_path)]).codes(EPSG, WINDOW, YEAR)
    assert (found[:, :3, :5] == 7).all()
    assert np.array_equal(found[:, 3:], first[:, 3:])


def test_years_are_told_by_name_or_by_hand(tmp_path: Path) -> None:
    write(tmp_path / "2019" / "32N" / "x0000000000-0000002048.tif", codes_of(0))
    write(tmp_path / "field_2018.tiff", codes_of(1))
    teacher = open_teacher([str(tmp_path)])
    assert {str(one.period): one.path.suffix for one in teacher.layers} == {"2018": ".tiff", "2019": ".tif"}
    assert np.array_equal(teacher.codes(EPSG, WINDOW, Period.parse("2019")), codes_of(0))
    by_hand = open_teacher([f"{tmp_path / 'field_2018.tiff'}:2020-03..2020-09"])
    assert str(by_hand.layers[0].period) == "2020-03..2020-09"


@pytest.mark.parametrize("name", ["plain.tif", "from_2018_to_2019.tif"])
def test_a_year_that_cannot_be_told_is_asked_for(tmp_path: Path, name: str) -> None:
    write(tmp_path / "data" / name, codes_of())
    with pytest.raises(InvalidInput, match=":2024"):
        open_teacher([str(tmp_path / "data" / name)])


def test_files_of_another_form_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="3 bands of int8"):
        open_teacher([f"{write(tmp_path / 'a.tif', codes_of()[:3])}:2018"])
    with pytest.raises(InvalidInput, match="64 bands of int16"):
        open_teacher([f"{write(tmp_path / 'b.tif', codes_of().astype(np.int16))}:2018"])
    with pytest.raises(InvalidInput, match="not of 10 m"):
        open_teacher([f"{write(tmp_path / 'c.tif', codes_of(), pixel=20.0)}:2018"])
    (tmp_path / "d.tif").write_bytes(b"rubble")
    with pytest.raises(BrokenArtefact, match="cannot be read"):
        open_teacher([f"{tmp_path / 'd.tif'}:2018"])


def test_a_missing_teacher_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no teacher at"):
        open_teacher([str(tmp_path / "nowhere.tif")])
    with pytest.raises(NotFound, match="no raster"):
        open_teacher([str(tmp_path)])
    with pytest.raises(InvalidInput, match="--teacher"):
        open_teacher([])


def test_fields_of_an_earthfield_model_are_found_with_their_periods(tmp_path: Path) -> None:
    for period in ("20180101_20190101", "20180401_20180501"):
        folder = tmp_path / "root" / "fields" / "starter" / "32631_0048_0546" / period
        write(folder / "embedding.tif", codes_of())
        (folder / "manifest.json").write_text("{}")
    fields = tmp_path / "root" / "fields" / "starter"
    assert [str(one.period) for one in open_teacher([str(fields)]).layers] == ["2018", "2018-04"]
    (only,) = open_teacher([f"{fields}:2018-04"]).layers
    assert str(only.period) == "2018-04"
    with pytest.raises(NotFound, match="it has 2018, 2018-04"):
        open_teacher([f"{fields}:2020"])
