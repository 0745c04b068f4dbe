"""Units: the patches that look alike, with the character of each; maps are numbers, all else is a table."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import numpy as np

from earthfield.simulate.arrays import Bools, Codes, Floats, Ints
from earthfield.simulate.change import Change
from earthfield.simulate.covers import CODE
from earthfield.simulate.crops import CROP_CODE
from earthfield.simulate.landcover import Land
from earthfield.simulate.noise import hashed, stream
from earthfield.simulate.spec import Landscape
from earthfield.simulate.style import Style

_ROOT_12 = 12.0**0.5
"""Turns the uniform distribution into one of unit variance."""
NEVER = np.int32(2**30)
"""Proleptic day number for "does not happen"."""


@dataclass(frozen=True)
class Traits:
    """What is peculiar to each place, the same all years; arrays (num_places,)."""

    vigour: Floats
    """Leaf area relative to the norm, about 1."""
    soil: Floats
    """Share of the second of the style's soils, 0 to 1."""
    brightness: Floats
    """Natural logarithm of the reflectance relative to the norm."""
    greenness: Floats
    """Chlorophyll, about 0: positive is darker in red and red edge."""
    wetness: Floats
    """Added to the weather's soil moisture."""
    haste_days: Floats
    """How much later than the norm it is sown and harvested, days."""
    slack_days: Floats
    """Days from harvest to the next tillage."""
    rhythm: Floats
    """Phase of mowing, 0 to 1."""
    irrigated: Bools
    """Never lacks water."""
    cover_crop: Bools
    """Sown with a cover crop between two main crops."""
    facing: Floats
    """How well its walls face the ascending pass, -1 (the descending one) to 1."""
    rough_db: Floats
    """Added to the backscatter of bare ground, decibel."""
    tint: Floats
    """How its spectra differ from those of its kind: weights of `surface.TINTS`, shape (num, 4)."""
    cut_days: Floats
    """Days between two cuts of a meadow."""
    cut_left: Floats
    """Share of the leaves that a cut leaves."""
    grazing: Floats
    """How deep the herd bites, 0 to 1."""
    both_rains: Bools
    """Sown in both rainy seasons where there are two."""


@dataclass(frozen=True)
class Units:
    """The map as unit numbers, and a table with one row a unit."""

    number: Ints
    """Unit of each pixel, shape (rows, cols), 0 to num - 1."""
    place: Ints
    """Row of each unit in the traits, shape (num,)."""
    before: Codes
    """Surface of each unit at first, shape (num,)."""
    after: Codes
    """Surface after its change, shape (num,)."""
    changes_on: Ints
    """Proleptic day of its change, NEVER where it does not, shape (num,)."""
    event: Codes
    """Number of its change event, 0 for none, shape (num,)."""
    crops: Codes
    """Crop harvested in each year, shape (num, years + 2); column 0 is the year before the first."""
    traits: Traits
    """Character of each unit, arrays (num,)."""
    first_year: int
    """Year of column 0 of `crops`."""
    salt: int
    """What makes `luck` differ between landscapes."""

    @property
    def num(self) -> int:
        """How many units there are."""
        return len(self.place)

    def cover_on(self, day: datetime.date) -> Codes:
        """Surface of each unit on a day, shape (num,)."""
        return np.where(self.changes_on <= day.toordinal(), self.after, self.before)

    def luck(self, key: int, salt: int) -> Floats:
        """A number of zero mean and unit variance for each place and key (a year, a week), shape (num,)."""
        drawn = hashed(self.place.astype(np.int64), key, salt=self.salt + salt)
        return np.asarray(_ROOT_12 * (drawn - 0.5), np.float32)

    def mood(self, day: datetime.date, memory_days: int, salt: int) -> Floats:
        """A number of about unit variance for each place that wanders within `memory_days`, shape (num,)."""
        step, into = divmod(day.toordinal(), memory_days)
        share = np.float32(into / memory_days)
        now, then = self.luck(step, salt), self.luck(step + 1, salt)
        return (now + (then - now) * share) / np.sqrt((1 - share) ** 2 + share**2)

    def column(self, year: int) -> Codes:
        """Crop of each unit that is harvested in a year, shape (num,)."""
        return self.crops[:, min(max(year - self.first_year, 0), self.crops.shape[1] - 1)]


def units_of(spec: Landscape, style: Style, land: Land, change: Change) -> Units:
    """Gather pixels of the same place, surface and fate into units."""
    key = (land.place.astype(np.int64) << 24) | (land.cover.astype(np.int64) << 16)
    key |= (change.after.astype(np.int64) << 8) | change.event
    known, inverse = np.unique(key, return_inverse=True)
    event = (known & 255).astype(np.uint8)
    place = (known >> 24).astype(np.int32)
    before = ((known >> 16) & 255).astype(np.uint8)
    days = np.array([NEVER, *(day.toordinal() for day in change.days)], np.int32)
    traits = _traits(spec, style, land.num_places)
    return Units(
        number=inverse.reshape(land.cover.shape).astype(np.int32),
        place=place,
        before=before,
        after=((known >> 8) & 255).astype(np.uint8),
        changes_on=days[event],
        event=event,
        crops=np.where(
            (before == CODE["cropland"])[:, None], _rotation(spec, style, land.num_places)[place], 0
        ).astype(np.uint8),
        traits=_rows(traits, place),
        first_year=spec.start_year - 1,
        salt=int(stream(spec.seed, "luck").integers(2**30)),
    )


def _rows(traits: Traits, place: Ints) -> Traits:
    """The traits of each unit's place."""
    return Traits(**{name: getattr(traits, name)[place] for name in Traits.__dataclass_fields__})


def _traits(spec: Landscape, style: Style, num: int) -> Traits:
    """Draw the character of every place."""
    rng = stream(spec.seed, "traits")

    def normal(mean: float, std: float) -> Floats:
        return (mean + std * rng.standard_normal(num)).astype(np.float32)

    quirks = style.quirks
    soggy = 0.2 if style.climate.name in ("maritime", "boreal", "humid_tropics") else 0.1
    return Traits(
        vigour=np.exp(normal(0.0, quirks.vigour)),
        soil=rng.beta(0.7, 0.7, num).astype(np.float32),
        brightness=normal(0.0, 0.09 * quirks.tint),
        greenness=normal(0.0, 0.14 * quirks.tint),
        wetness=normal(0.0, soggy * 0.6),
        haste_days=normal(0.0, quirks.haste_days),
        slack_days=(4.0 + rng.exponential(40.0, num)).astype(np.float32),
        rhythm=rng.random(num, dtype=np.float32),
        irrigated=rng.random(num) < style.climate.irrigated,
        cover_crop=rng.random(num) < style.cover_crops,
        facing=rng.uniform(-1.0, 1.0, num).astype(np.float32),
        rough_db=normal(0.0, 1.2),
        tint=(quirks.tint * rng.standard_normal((num, 4))).astype(np.float32),
        cut_days=np.exp(rng.uniform(np.log(28.0), np.log(140.0), num)).astype(np.float32),
        cut_left=rng.uniform(0.12, 0.5, num).astype(np.float32),
        grazing=rng.beta(1.0, 2.0, num).astype(np.float32),
        both_rains=rng.random(num) < 0.4,
    )


def _rotation(spec: Landscape, style: Style, num: int) -> Codes:
    """Crops of every place and year, shape (num, years + 2): drawn by weight, one in five the same again."""
    rng = stream(spec.seed, "rotation")
    names, weights = zip(*style.climate.crops, strict=True)
    taste = np.array(weights) * rng.gamma(2.0, 0.5, len(weights))
    codes = np.array([CROP_CODE[name] for name in names], np.uint8)
    years = spec.years + 2
    drawn = codes[rng.choice(len(codes), (num, years), p=taste / taste.sum())]
    for year in range(1, years):
        again = rng.random(num) < 0.2
        drawn[again, year] = drawn[again, year - 1]
    return drawn
