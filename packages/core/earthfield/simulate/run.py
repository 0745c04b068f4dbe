"""Writes a simulated landscape into a folder, so that an interrupted run can be seen and taken up again."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import rasterio

from earthfield.errors import Conflict, InvalidInput
from earthfield.simulate import elevation, landsat, sentinel1, sentinel2
from earthfield.simulate.canvas import Canvas
from earthfield.simulate.faults import kept
from earthfield.simulate.raster import write_cog
from earthfield.simulate.scene import Scene
from earthfield.simulate.spec import Landscape, Progress, SimulateReport
from earthfield.simulate.stac import NOTICE, asset_of, catalog_of, collection_of, item_of, write_json
from earthfield.simulate.style import style_of
from earthfield.simulate.texts import texts_of
from earthfield.simulate.truth import cover_scenes, legend, truth_rasters
from earthfield.simulate.world import World, world_of

log = logging.getLogger(__name__)

FORMAT = 3
"""Raised when the same landscape starts to give other bytes."""
MARKER = "simulation.json"
"""Says which landscape a folder is meant for; written first."""
_SENSORS: dict[str, Callable[[World], Iterator[Scene]]] = {
    sentinel2.COLLECTION: sentinel2.scenes,
    sentinel1.COLLECTION: sentinel1.scenes,
    landsat.COLLECTION: landsat.scenes,
    elevation.COLLECTION: elevation.scenes,
}


class _Tally:
    """Counts files and bytes while they are written."""

    def __init__(self) -> None:
        self.num_files = 0
        self.num_bytes = 0

    def add(self, num_bytes: int) -> None:
        """Count one file."""
        self.num_files += 1
        self.num_bytes += num_bytes


def simulate(directory: Path | str, spec: Landscape, *, progress: Progress | None = None) -> SimulateReport:
    """Write a landscape as a static STAC catalogue of COGs, with truth and texts.

    `catalog.json` is written last: a folder without it is unfinished, and the next call with the same
    landscape goes on where the last one stopped. A finished folder is left as it is.

    Args:
        directory: Folder to write into; made when it is not there.
        spec: The landscape.
        progress: Called as progress(done, total, what) after every scene.

    Returns:
        What was written.

    Raises:
        InvalidInput: The directory is a file, or holds something that is no simulation.
        Conflict: The directory holds the simulation of another landscape.
    """
    started = time.monotonic()
    root = Path(directory)
    finished = _claim(root, spec)
    if finished is not None:
        return SimulateReport(str(root), style_of(spec).words, finished, num_kept=sum(finished.values()),
                              seconds=time.monotonic() - started)  # fmt: skip
    tally = _Tally()
    tally.add(write_json(root / MARKER, {"format": FORMAT, "notice": NOTICE, "landscape": spec.to_dict()}))
    world = world_of(spec)
    scenes = {name: kept(spec, name, list(make(world))) for name, make in _SENSORS.items()}
    scenes = {name: members for name, members in scenes.items() if members}
    with rasterio.Env():
        num_written, num_kept = _write_scenes(root, world.canvas, scenes, tally, progress)
        _write_truth(root, world, tally)
    _write_catalog(root, world, scenes, tally)
    report = SimulateReport(
        directory=str(root),
        style=world.style.words,
        num_scenes={name: len(members) for name, members in scenes.items()},
        num_written=num_written,
        num_kept=num_kept,
        num_files=tally.num_files,
        num_bytes=tally.num_bytes,
        seconds=round(time.monotonic() - started, 3),
    )
    log.info("simulated %s: %d items, %d bytes, %.1f s", root, num_written, tally.num_bytes, report.seconds)
    return report


def _claim(root: Path, spec: Landscape) -> dict[str, int] | None:
    """Make sure that the folder is free or ours; scene counts where it is finished, else None."""
    if root.exists() and not root.is_dir():
        raise InvalidInput(f"{root} is a file; name a folder to write the simulated landscape into.")
    root.mkdir(parents=True, exist_ok=True)
    marker = root / MARKER
    if not marker.exists():
        strangers = [path.name for path in root.iterdir() if not path.name.startswith(f"{MARKER}.")]
        if strangers:
            raise InvalidInput(
                f"{root} is not empty and is no simulated landscape (it holds {min(strangers)}); "
                "name an empty folder."
            )
        return None
    found = _read(marker)
    if found.get("landscape") != spec.to_dict() or found.get("format") != FORMAT:
        raise Conflict(
            f"{root} holds the simulation of another landscape; name an empty folder or remove this one."
        )
    if not (root / "catalog.json").exists():
        return None
    found = {name: _num_items(root / name / "collection.json") for name in _SENSORS}
    return {name: num for name, num in found.items() if num}


def _read(path: Path) -> dict[str, Any]:
    """A JSON file's content, {} where it cannot be read as such."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, UnicodeDecodeError):
        return {}
    return content if isinstance(content, dict) else {}


def _num_items(path: Path) -> int:
    """How many items a collection links to."""
    return sum(link.get("rel") == "item" for link in _read(path).get("links", []))


def _write_scenes(
    root: Path, canvas: Canvas, scenes: dict[str, list[Scene]], tally: _Tally, progress: Progress | None
) -> tuple[int, int]:
    """Write every scene that is not there yet; returns how many were written and how many were there."""
    total, done, written = sum(map(len, scenes.values())), 0, 0
    for members in scenes.values():
        for scene in members:
            if not (root / scene.collection / scene.id / f"{scene.id}.json").exists():
                _write_scene(root, canvas, scene, tally)
                written += 1
            done += 1
            if progress is not None:
                progress(done, total, scene.id)
    return written, total - written


def _write_scene(root: Path, canvas: Canvas, scene: Scene, tally: _Tally) -> None:
    """Write a scene's rasters, then its item, which says that they are complete."""
    folder = root / scene.collection / scene.id
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob("*.part*"):
        leftover.unlink()
    properties = dict(scene.properties)
    assets = {}
    for asset in scene.make(properties):
        tally.add(write_cog(folder / f"{asset.key}.tif", asset, canvas))
        assets[asset.key] = asset_of(asset, canvas)
    tally.add(write_json(folder / f"{scene.id}.json", item_of(scene, canvas, properties, assets)))


def _write_catalog(root: Path, world: World, scenes: Mapping[str, list[Scene]], tally: _Tally) -> None:
    """Write collections, then the catalogue, which says that all scenes are there."""
    for name, members in scenes.items():
        (root / name).mkdir(exist_ok=True)
        tally.add(write_json(root / name / "collection.json", collection_of(name, members, world.canvas)))
    tally.add(write_json(root / "catalog.json", catalog_of(world.spec.seed, world.style.words, list(scenes))))


def _write_truth(root: Path, world: World, tally: _Tally) -> None:
    """Write truth, texts and the note that all of it is simulated."""
    folder = root / "truth"
    folder.mkdir(exist_ok=True)
    for asset in truth_rasters(world):
        tally.add(write_cog(folder / f"{asset.key}.tif", asset, world.canvas))
    tally.add(write_json(folder / "legend.json", legend(world)))
    covers = list(cover_scenes(world))
    for scene in covers:
        _write_scene(folder, world.canvas, scene, tally)
    _write_catalog(folder, world, {scene.collection: covers for scene in covers}, tally)
    tally.add(write_json(root / "texts.geojson", texts_of(world)))
    note = _README.format(notice=NOTICE, words=world.style.words, spec=json.dumps(world.spec.to_dict()))
    (root / "README.txt").write_text(note, encoding="utf-8")
    tally.add(len(note.encode()))


_README = """{notice}

Landscape: {words}
Made with: {spec}

catalog.json      static STAC catalogue (written last: without it the folder is unfinished)
<collection>/     one folder a scene, Cloud Optimized GeoTIFFs in the form of the public archives
truth/            land cover, fields, crops and change that the scenes were made from; codes in legend.json;
                  a catalogue of its own: the map of land cover and crops that a model may learn from
texts.geojson     short texts about places
simulation.json   the landscape's parameters

Use it to try Earthfield, to test and to time it. Nothing learnt from it alone holds for the real Earth.
Licence: CC0 1.0.
"""
