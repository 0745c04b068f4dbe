"""What is really there: land cover, fields, crops and change, as rasters with a legend."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from earthfield.simulate.arrays import Codes, Raster
from earthfield.simulate.change import GRADUAL, ChangeKind
from earthfield.simulate.classes import CLASSES, COLLECTION, FIRST_CROP
from earthfield.simulate.covers import CODE, COVERS, WORLDCOVER, LandCover
from earthfield.simulate.crops import CROPS
from earthfield.simulate.scene import Asset, Scene
from earthfield.simulate.world import World

_MIDSUMMER = (6, 30)
"""Month and day for which the land cover of a year holds."""


def landcover_in(world: World, year: int) -> Codes:
    """Land cover of every pixel in the middle of a year, `LandCover` codes, shape (rows, cols)."""
    table = np.array([0, *(cover.landcover for cover in COVERS.values())], np.uint8)
    return table[world.units.cover_on(datetime.date(year, *_MIDSUMMER))][world.units.number]


def crop_in(world: World, year: int) -> Codes:
    """Crop harvested in a year, 0 where the pixel is no cropland then, shape (rows, cols)."""
    is_crop = world.units.cover_on(datetime.date(year, *_MIDSUMMER)) == CODE["cropland"]
    return np.where(is_crop, world.units.column(year), 0).astype(np.uint8)[world.units.number]


def change_in(world: World, year: int) -> Codes:
    """`ChangeKind` of every pixel between the middles of a year and the next, shape (rows, cols)."""
    kinds = np.zeros(len(world.change.kinds) + 1, np.uint8)
    window = datetime.date(year, *_MIDSUMMER), datetime.date(year + 1, *_MIDSUMMER)
    for number, (day, kind) in enumerate(zip(world.change.days, world.change.kinds, strict=True), start=1):
        kinds[number] = kind if window[0] < day <= window[1] else 0
    return kinds[world.change.event]


def field_ids(world: World) -> Raster:
    """Number of the crop field at the start, from 1; 0 elsewhere, int32, shape (rows, cols)."""
    farmed = world.land.cover == CODE["cropland"]
    return np.where(farmed, world.land.parcels.parcel + 1, 0).astype(np.int32)


def truth_rasters(world: World) -> Iterator[Asset]:
    """All truth rasters at 10 m; the key is the file's name."""
    rows, cols = world.canvas.shape_at(10)
    years = range(world.spec.start_year, world.spec.start_year + world.spec.years)

    def asset(key: str, values: Raster, nodata: int) -> Asset:
        return Asset(key, np.ascontiguousarray(values[:rows, :cols]), 10, nodata, classes=True)

    yield asset("fields", field_ids(world), 0)
    for year in years:
        yield asset(f"landcover_{year}", landcover_in(world, year), 0)
        yield asset(f"crop_{year}", crop_in(world, year), 255)
    for year in years[:-1]:
        yield asset(f"change_{year}_{year + 1}", change_in(world, year), 255)
        before, after = crop_in(world, year), crop_in(world, year + 1)
        rotated = ((before > 0) & (after > 0) & (before != after)).astype(np.uint8)
        yield asset(f"rotation_{year}_{year + 1}", rotated, 255)


def cover_scenes(world: World) -> Iterator[Scene]:
    """One map of land cover and crops a year, in the form of the public ones: for a model to learn from."""
    for year in range(world.spec.start_year, world.spec.start_year + world.spec.years):
        first, last = datetime.date(year, 1, 1), datetime.date(year, 12, 31)
        yield Scene(
            id=f"COVER_SIM{world.spec.seed}_{year}",
            collection=COLLECTION,
            instant=datetime.datetime(year, *_MIDSUMMER, tzinfo=datetime.UTC),
            make=partial(_cover_raster, world, year),
            properties={
                "gsd": 10, "start_datetime": f"{first}T00:00:00Z", "end_datetime": f"{last}T23:59:59Z",
            },
        )  # fmt: skip


def _cover_raster(world: World, year: int, properties: dict[str, Any]) -> Iterator[Asset]:
    rows, cols = world.canvas.shape_at(10)
    crop = crop_in(world, year)
    codes = np.where(crop > 0, crop + FIRST_CROP, landcover_in(world, year)).astype(np.uint8)
    yield Asset("class", np.ascontiguousarray(codes[:rows, :cols]), 10, 0, classes=True)


def legend(world: World) -> dict[str, Any]:
    """What the codes mean."""
    return {
        "earthfield:simulated": True,
        "landcover": {
            str(int(one)): {"name": one.name.lower(), "worldcover": WORLDCOVER[int(one)]} for one in LandCover
        },
        "landcover_date": "30 June of the year",
        "crop": {"0": "none", **{str(code): crop.name for code, crop in CROPS.items()}},
        "crop_year": "the year of harvest; grassland, orchards and woods have no crop",
        "cover": {str(code): name for code, name in CLASSES.items()},
        "change": {str(int(kind)): kind.name.lower() for kind in ChangeKind},
        "gradual_changes": [int(kind) for kind in GRADUAL],
        "rotation": {
            "0": "same crop or no cropland",
            "1": "another crop than the year before; not a change of land cover",
        },
        "fields": "number of the field at the start, 0 outside cropland",
        "events": [
            {
                "date": day.isoformat(),
                "kind": kind.name.lower(),
                "pixels": int((world.change.event == number).sum()),
            }
            for number, (day, kind) in enumerate(
                zip(world.change.days, world.change.kinds, strict=True), start=1
            )
        ],
    }
