"""Geometry: what cubes tell of sun and sensor as figures, and how these turn with an image."""

from __future__ import annotations

import numpy as np
import pytest

from earthfield.errors import InvalidInput
from earthfield.frames import SourceFrames
from earthfield.geometry import FEATURES, NUM_FEATURES, geometry_of, turned


def told(about: dict, bands: tuple[str, ...] = ()) -> dict[str, float]:
    return dict(zip(FEATURES, geometry_of(about, bands).tolist(), strict=True))


def test_the_sun_is_a_unit_vector_in_the_images_axes() -> None:
    seen = told({"sun_azimuth": 90.0, "sun_elevation": 30.0})
    assert seen["sun_right"] == pytest.approx(3**0.5 / 2)
    assert seen["sun_up"] == pytest.approx(0, abs=1e-6)
    assert seen["sun_height"] == pytest.approx(0.5)
    assert seen["sun_known"] == 1.0
    assert told({"sun_azimuth": 180.0, "sun_elevation": 0})["sun_up"] == pytest.approx(-1)


@pytest.mark.parametrize(
    "about",
    [
        {},
        {"orbit_state": None, "sun_azimuth": 10.0},
        {"sun_elevation": "35", "incidence_angle": float("nan"), "azimuth": 1e6},
        {"sun_elevation": True, "platform": "sentinel-2a"},
    ],
)
def test_what_is_unknown_is_zero_and_so_are_the_flags(about: dict) -> None:
    assert not geometry_of(about).any()


def test_radars_look_to_the_right_of_their_orbit_and_others_do_not() -> None:
    up, down = (told({"orbit_state": one}, ("vv", "vh")) for one in ("ascending", "descending"))
    assert (up["orbit"], down["orbit"]) == (1.0, -1.0)
    assert up["view_right"] > 0.9 > -0.9 > down["view_right"]
    assert up["view_known"] == 1.0
    assert told({"orbit_state": "descending"}, ("B04",))["view_known"] == 0.0
    assert told({"orbit_state": "ascending", "azimuth": 270.0}, ("vv",))["view_right"] == pytest.approx(-1)


def test_incidence_is_preferred_to_the_angle_off_nadir() -> None:
    assert told({"incidence_angle": 30.0, "off_nadir": 10.0})["incidence"] == pytest.approx(0.5)
    assert told({"off_nadir": -30.0})["incidence"] == pytest.approx(0.5)


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_directions_turn_as_images_do(turns: int, mirrored: bool) -> None:
    # The sun as a bright pixel seen from the middle of an image: where it lands is where the vector must point.
    for azimuth, place in ((0.0, (0, 2)), (90.0, (2, 4)), (180.0, (4, 2)), (270.0, (2, 0))):
        image = np.zeros((5, 5))
        image[place] = 1
        image = np.rot90(image, turns)
        image = image[:, ::-1] if mirrored else image
        (row,), (col,) = np.nonzero(image)
        about = {"sun_azimuth": azimuth, "sun_elevation": 0.0, "azimuth": azimuth, "orbit_state": "ascending"}
        before = geometry_of(about)
        after = dict(zip(FEATURES, turned(before, turns=turns, mirrored=mirrored), strict=True))
        for kind in ("sun", "view"):
            assert after[f"{kind}_right"] == pytest.approx((col - 2) / 2, abs=1e-6)
            assert after[f"{kind}_up"] == pytest.approx((2 - row) / 2, abs=1e-6)
        assert after["orbit"] == 1.0
        assert dict(zip(FEATURES, before, strict=True))["sun_up"] == pytest.approx(
            np.cos(np.radians(azimuth))
        )


def test_frames_without_geometry_have_zeros_and_keep_what_they_have() -> None:
    parts = (np.zeros((3, 1, 2, 2), np.int16), np.ones((3, 2, 2), bool), np.zeros(3, "datetime64[us]"))
    assert SourceFrames("s", ("b",), *parts, -1).geometry.shape == (3, NUM_FEATURES)
    numbered = np.arange(3, dtype=np.float32)[:, None] * np.ones((1, NUM_FEATURES), np.float32)
    frames = SourceFrames("s", ("b",), *parts, -1, numbered)
    assert frames.take(np.array([2, 0])).geometry[:, 0].tolist() == [2.0, 0.0]
    with pytest.raises(InvalidInput, match="geometry"):
        SourceFrames("s", ("b",), *parts, -1, numbered[:2])
