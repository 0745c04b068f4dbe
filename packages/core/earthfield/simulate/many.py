"""Many landscapes at once, of all climates: what a model is trained on."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyproj import Transformer

from earthfield.errors import Conflict, InvalidInput
from earthfield.grid import TILE_PX, pixel_at, tile_at, zone_of
from earthfield.simulate.anywhere import place
from earthfield.simulate.canvas import PIXEL_M
from earthfield.simulate.noise import stream
from earthfield.simulate.run import FORMAT, simulate
from earthfield.simulate.spec import Landscape, SimulateReport
from earthfield.simulate.stac import NOTICE, write_json

MANIFEST = "landscapes.json"
"""Lists the landscapes of the folder and what was asked for."""
MOST = 100_000
"""More landscapes than this are refused."""
SetProgress = Callable[[int, int, "Member"], None]
"""Called as progress(done, total, member) after every landscape."""


@dataclass(frozen=True)
class LandscapeSet:
    """Landscapes that are drawn one by one from a seed; more of them leave the first ones as they are.

    A field that is None is drawn anew for every landscape.

    Raises:
        InvalidInput: A field is out of its range.
    """

    num: int
    """Number of landscapes, 1 to 100,000."""
    seed: int = 0
    """Draws places, years, weather and faults; landscape n has the seed 100,000 x seed + n."""
    size_px: tuple[int, int] = (256, 256)
    """Width and height of each, 10 m pixels."""
    years: int = 2
    """Calendar years of each."""
    lon: float | None = None
    """Longitude of the first, degrees east, the others beside it; with `lat`, or both None for places all
    over the Earth."""
    lat: float | None = None
    """Latitude of the first, degrees north."""
    start_year: int | None = None
    """First year of all."""
    cloudiness: float | None = None
    """Cloudiness of all, 0 to 1."""
    faults: float | None = None
    """What the satellites of all miss, 0 to 1."""

    def __post_init__(self) -> None:
        """Refuse what cannot be simulated, in a sentence."""
        if not 1 <= self.num <= MOST:
            raise InvalidInput(f"{self.num} landscapes were asked for; it must be 1 to {MOST}.")
        if not 0 <= self.seed < 2**40:
            raise InvalidInput(f"The seed of a set is {self.seed}; it must lie between 0 and {2**40}.")
        if (self.lon is None) != (self.lat is None):
            raise InvalidInput("Only one of longitude and latitude was given; give both or none.")

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON can hold them."""
        return {**dataclasses.asdict(self), "size_px": list(self.size_px)}

    def member(self, number: int) -> tuple[str, Landscape]:
        """The region's name and the landscape of a number from 0."""
        rng = stream(self.seed, "landscape of a set", number)
        region, lon, lat = place(rng)
        drawn_year, drawn_cloud = int(rng.integers(2016, 2024)), float(round(rng.uniform(0.38, 0.6), 3))
        drawn_faults = float(round(max(0.0, rng.uniform(-0.3, 1.0)), 3))
        revisits = (
            int(rng.choice([3, 5, 10], p=[0.15, 0.65, 0.2])),
            int(rng.choice([3, 6, 12], p=[0.1, 0.5, 0.4])),
            int(rng.choice([8, 16], p=[0.3, 0.7])),
        )
        if self.lon is not None and self.lat is not None:
            region, lon, lat = "given", self.lon, self.lat
        lon, lat = _in_one_tile(lon, lat, number if region == "given" else 0)
        return region, Landscape(
            seed=self.seed * MOST + number,
            size_px=self.size_px,
            lon=lon,
            lat=lat,
            start_year=drawn_year if self.start_year is None else self.start_year,
            years=self.years,
            s2_revisit_days=revisits[0],
            s1_revisit_days=revisits[1],
            landsat_revisit_days=revisits[2],
            cloudiness=drawn_cloud if self.cloudiness is None else self.cloudiness,
            faults=drawn_faults if self.faults is None else self.faults,
        )


@dataclass(frozen=True)
class Member:
    """One landscape of a set."""

    name: str
    """Its folder below the set's."""
    region: str
    """Where on Earth its climate was borrowed."""
    landscape: dict[str, Any]
    """Its parameters."""
    style: str
    """Climate and kind of land, in words."""
    num_scenes: dict[str, int]
    """Scenes by collection id."""


@dataclass(frozen=True)
class SetReport:
    """What one call of `simulate_set` did."""

    directory: str
    """Where the set lies."""
    members: list[Member] = field(default_factory=list)
    """Its landscapes."""
    num_written: int = 0
    """Items written by this call."""
    num_bytes: int = 0
    """Bytes written by this call."""
    seconds: float = 0.0
    """Wall-clock seconds of this call."""

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON can hold it."""
        return dataclasses.asdict(self)


def _in_one_tile(lon: float, lat: float, number: int) -> tuple[float, float]:
    """The middle of the tile that holds a place, so that one cube takes the landscape.

    Landscapes that share a place go to different tiles, eight in a row: `number` counts them.
    """
    epsg = zone_of(lon, lat)
    row, col = pixel_at(epsg, lon, lat)
    window = tile_at(epsg, row + TILE_PX * (number // 8), col + TILE_PX * (number % 8)).window
    x, y = (window.x0 + window.x1) / 2 * PIXEL_M, -(window.y0 + window.y1) / 2 * PIXEL_M
    lon, lat = Transformer.from_crs(epsg, 4326, always_xy=True).transform(x, y)
    return round(float(lon), 6), round(float(lat), 6)


def simulate_set(
    directory: Path | str, spec: LandscapeSet, *, progress: SetProgress | None = None
) -> SetReport:
    """Write many landscapes, each a static STAC catalogue of its own below a catalogue of all.

    A run that was stopped goes on where it stopped, and a set can be made larger later.

    Args:
        directory: Folder to write into; made when it is not there.
        spec: The landscapes.
        progress: Called after every landscape.

    Returns:
        What was written.

    Raises:
        InvalidInput: The directory is a file, or holds something that is no set of landscapes.
        Conflict: The directory holds another set.
    """
    started = time.monotonic()
    root = Path(directory)
    _claim(root, spec)
    members: list[Member] = []
    written = num_bytes = 0
    for number in range(spec.num):
        region, landscape = spec.member(number)
        name = f"landscape_{number:05d}"
        report: SimulateReport = simulate(root / name, landscape)
        members.append(Member(name, region, landscape.to_dict(), report.style, report.num_scenes))
        written, num_bytes = written + report.num_written, num_bytes + report.num_bytes
        _write_manifest(root, spec, members)
        if progress is not None:
            progress(number + 1, spec.num, members[-1])
    write_json(root / "catalog.json", _catalog(spec, [member.name for member in members]))
    return SetReport(str(root), members, written, num_bytes, round(time.monotonic() - started, 3))


def _claim(root: Path, spec: LandscapeSet) -> None:
    """Make sure that the folder is free or holds this set, or the beginning of it."""
    if root.exists() and not root.is_dir():
        raise InvalidInput(f"{root} is a file; name a folder to write the landscapes into.")
    root.mkdir(parents=True, exist_ok=True)
    manifest = root / MANIFEST
    if not manifest.exists():
        if any(root.iterdir()):
            raise InvalidInput(f"{root} is not empty and is no set of landscapes; name an empty folder.")
        _write_manifest(root, spec, [])
        return
    try:
        found = json.loads(manifest.read_text(encoding="utf-8"))
    except ValueError:
        found = {}
    asked = {**spec.to_dict(), "num": 0}
    if found.get("format") != FORMAT or {**found.get("set", {}), "num": 0} != asked:
        raise Conflict(f"{root} holds another set of landscapes; name an empty folder or remove this one.")
    if found["set"]["num"] > spec.num:
        raise Conflict(
            f"{root} was made for {found['set']['num']} landscapes, more than the {spec.num} asked for now; "
            "ask for as many or name an empty folder."
        )


def _write_manifest(root: Path, spec: LandscapeSet, members: list[Member]) -> None:
    """Say what the folder is for and which landscapes are finished."""
    listed = [dataclasses.asdict(member) for member in members]
    content = {"format": FORMAT, "notice": NOTICE, "set": spec.to_dict(), "landscapes": listed}
    write_json(root / MANIFEST, content)


def _catalog(spec: LandscapeSet, names: list[str]) -> dict[str, Any]:
    """The catalogue of all landscapes; written last."""
    return {
        "type": "Catalog",
        "stac_version": "1.0.0",
        "id": f"simulated-set-{spec.seed}",
        "description": f"{NOTICE} {len(names)} landscapes.",
        "earthfield:simulated": True,
        "links": [
            {"rel": "root", "href": "./catalog.json"},
            *({"rel": "child", "href": f"./{name}/catalog.json"} for name in names),
        ],
    }
