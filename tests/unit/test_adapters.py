"""Encoders of other packages: found by name, refused with a clear sentence, checked at every call."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from earthfield.catalog import Catalog
from earthfield.errors import EarthfieldError, InvalidInput, NotFound, Unavailable
from earthfield.frames import SourceFrames
from earthfield.ports import Encoder
from earthfield.timeline import Period
from earthfield_infer.adapters import encoder_by_name, offered_names
from earthfield_infer.adapters.checked import CheckedEncoder
from earthfield_infer.local import connect_encoder

S2 = "sentinel-2-l2a"
YEAR = Period.parse("2018")

PACKAGE = """
import numpy as np

class Plain:
    fingerprint, dim, sources = "one", 8, ("sentinel-2-l2a",)
    window_px = 64

    def __init__(self, catalog, name):
        self.name = name

    def encode(self, frames, periods):
        vectors = np.zeros((len(periods), *frames["sentinel-2-l2a"].shape, 8), np.float32)
        vectors[..., 0] = 1
        return vectors

def not_an_encoder(catalog, name):
    return object()

def failing(catalog, name):
    raise KeyError("weights")

def refusing(catalog, name):
    from earthfield.errors import Unavailable
    raise Unavailable("the weights are on a machine that sleeps")

def misnamed(catalog, name):
    return Plain(catalog, "other")

def blind(catalog, name):
    plain = Plain(catalog, name)
    plain.sources = ("sentinel-9",)
    return plain
"""

Install = Callable[..., None]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a package on the path that offers encoders, `name=attribute` each."""

    def install(package: str = "others", code: str = PACKAGE, **offers: str) -> None:
        folder = tmp_path / package
        (folder / f"{package}-1.0.dist-info").mkdir(parents=True)
        (folder / f"{package}.py").write_text(code)
        told = "".join(f"{name.replace('_', '-')} = {package}:{what}\n" for name, what in offers.items())
        info = folder / f"{package}-1.0.dist-info"
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[earthfield.encoders]\n{told}")
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.delitem(sys.modules, package, raising=False)

    yield install
    for name in ("others", "more"):
        sys.modules.pop(name, None)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(str(tmp_path / "root"))


def frames(size: int = 16) -> dict[str, SourceFrames]:
    values = np.full((1, 1, size, size), 500, np.int16)
    when = np.array(["2018-05-01T10:00:00"], "datetime64[us]")
    return {S2: SourceFrames(S2, ("B04",), values, np.ones((1, size, size), bool), when, -32768)}


def test_an_installed_package_is_found_by_the_name_it_offers(installed, catalog) -> None:
    installed(plain="Plain")
    encoder = connect_encoder(catalog, "plain")
    assert isinstance(encoder, Encoder)
    assert (encoder.name, encoder.dim, encoder.sources, encoder.fingerprint) == ("plain", 8, (S2,), "one")
    assert encoder.encode(frames(), [YEAR]).shape == (1, 16, 16, 8)
    assert "plain" in offered_names()


def test_what_an_encoder_declares_beyond_the_seam_stays_visible(installed, catalog) -> None:
    installed(plain="Plain")
    encoder = encoder_by_name(catalog, "plain")
    assert encoder.window_px == 64  # type: ignore[union-attr]
    assert getattr(encoder, "num_parallel", 1) == 1


def test_a_variant_goes_to_the_longest_name_that_begins_it(installed, catalog) -> None:
    installed(plain="Plain", plain_deep="misnamed")
    assert encoder_by_name(catalog, "plain-small").name == "plain-small"  # type: ignore[union-attr]
    with pytest.raises(InvalidInput, match=r"'plain-deep'.*calls itself 'other'"):
        encoder_by_name(catalog, "plain-deep-2")
    assert encoder_by_name(catalog, "plainer") is None


def test_a_name_that_nobody_offers_is_left_to_our_own_models(catalog) -> None:
    assert encoder_by_name(catalog, "starter") is None
    with pytest.raises(NotFound, match="no model 'nobody'"):
        connect_encoder(catalog, "nobody")
    with pytest.raises(InvalidInput, match="usable name"):
        encoder_by_name(catalog, "../plain")


def test_a_name_that_two_packages_offer_is_refused(installed, catalog) -> None:
    installed(plain="Plain")
    installed("more", plain="Plain")
    with pytest.raises(InvalidInput, match="offered twice, by more and others"):
        encoder_by_name(catalog, "plain")


@pytest.mark.parametrize(
    ("offer", "error", "words"),
    [
        ("absent", InvalidInput, "'tried' of others cannot be imported.*absent"),
        ("not_an_encoder", InvalidInput, "is no encoder: it needs name"),
        ("failing", EarthfieldError, "'tried' of others failed to start.*KeyError: 'weights'"),
        ("refusing", Unavailable, "a machine that sleeps"),
        ("misnamed", InvalidInput, "calls itself 'other' where 'tried' was asked for"),
        ("blind", InvalidInput, "source 'sentinel-9' is not declared"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_sentence(installed, catalog, offer, error, words) -> None:
    installed(tried=offer)
    with pytest.raises(error, match=words):
        encoder_by_name(catalog, "tried")


def test_a_package_that_does_not_import_is_named(installed, catalog) -> None:
    installed(code="import a_package_that_is_not_here", tried="Plain")
    with pytest.raises(
        InvalidInput, match=r"'tried' of others cannot be imported.*a_package_that_is_not_here"
    ):
        encoder_by_name(catalog, "tried")


class Giving:
    """An encoder that gives what it is told to."""

    name, fingerprint, dim, sources = "giving", "x", 4, (S2,)

    def __init__(self, given: object) -> None:
        self._given = given

    def encode(self, frames: object, periods: object) -> object:
        if isinstance(self._given, Exception):
            raise self._given
        return self._given


def vectors(first: float = 1.0, shape: tuple[int, ...] = (1, 16, 16, 4)) -> np.ndarray:
    given = np.zeros(shape, np.float32)
    given[..., 0] = first
    return given


def broken(place: int, value: float) -> np.ndarray:
    given = vectors()
    given[0, 3, 3, place] = value
    return given


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (vectors(shape=(1, 16, 16, 5)), r"\(1, 16, 16, 5\) where float32 .* \(1, 16, 16, 4\)"),
        (vectors(shape=(2, 16, 16, 4)), r"\(2, 16, 16, 4\)"),
        (vectors().astype(np.int8), "int8 of shape"),
        (vectors(3.0), "length 3 where unit vectors"),
        (vectors(0.0), "length 0 where unit vectors"),
        (broken(1, np.nan), "some numbers only are missing"),
        (broken(1, np.inf), "some numbers only are missing"),
        (
            RuntimeError("no room on the device\nsecond line"),
            "failed .RuntimeError: no room on the device.: see",
        ),
    ],
)
def test_a_wrong_answer_of_an_encoder_never_becomes_a_field(given, words) -> None:
    with pytest.raises(EarthfieldError, match=words):
        CheckedEncoder(Giving(given), "giving", "the encoder 'giving'").encode(frames(), [YEAR])


def test_right_answers_pass_unchanged_with_gaps_as_nan() -> None:
    given = vectors()
    given[0, :4] = np.nan
    encoder = CheckedEncoder(Giving(given), "giving", "it")
    np.testing.assert_array_equal(encoder.encode(frames(), [YEAR]), given)
    with pytest.raises(Unavailable, match="asleep"):
        CheckedEncoder(Giving(Unavailable("asleep")), "giving", "it").encode(frames(), [YEAR])
