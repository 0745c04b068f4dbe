"""One field out of the files that hold it: read, joined with what is there, written."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geom import Geometry

from earthfield.area import inside_mask
from earthfield.catalog import FieldKey
from earthfield.codec import is_missing
from earthfield.errors import BrokenArtefact, Conflict, EarthfieldError, NotFound, Unavailable
from earthfield.field import Field, FieldContent, write_field
from earthfield.grid import Window
from earthfield.schemas import FieldReport
from earthfield.storage import hash_of
from earthfield_infer.importing.keep import keep_before, restored, settled
from earthfield_infer.importing.naming import check_same
from earthfield_infer.importing.picture import axes_of, preview_of
from earthfield_infer.importing.place import Placing, placed, placing_of
from earthfield_infer.importing.raster import Raster, open_raster
from earthfield_infer.importing.reach import File
from earthfield_infer.importing.request import ImportRequest, LeftOut
from earthfield_infer.importing.stored import Stored
from earthfield_infer.importing.supply import Frames, Piece, Supply

FAULTS = (NotFound, BrokenArtefact, Unavailable)
"""What may be wrong with one file while the others are right."""

Told = dict[str, Any]
"""What a manifest tells of one file."""


@dataclass(frozen=True)
class Layer:
    """A file that was looked at, and how it becomes part of a field."""

    raster: Raster
    """The file."""
    placing: Placing
    """How its pixels become ours."""
    stored: Stored
    """What its numbers mean, and how they are kept."""

    @property
    def told(self) -> Told:
        """What the manifest says of it; `pixels`, how many it gave, is added when they are known."""
        return {
            "name": self.raster.file.name,
            "identity": self.raster.identity,
            "bytes": self.raster.num_bytes,
            "crs": f"EPSG:{self.raster.epsg}" if self.raster.epsg else self.raster.crs.to_wkt(),
            "placing": self.placing,
            "nodata": None if self.stored.nodata is None else str(self.stored.nodata),
            "south_up": self.raster.transform.e > 0,
        }


@dataclass(frozen=True)
class _Wanted:
    """A field to make, widened by what its folder holds already."""

    key: FieldKey
    area: Geometry
    extent: Window
    layers: list[Layer]
    joins: Field | None
    """What is there already and is to be kept."""
    others: list[Told]
    """Files of earlier runs that stand behind it."""
    frames: Frames
    options: dict[str, Any]
    inputs: str


class Maker:
    """Makes one field after another, and remembers which files gave something and which failed."""

    def __init__(self, request: ImportRequest, supply: Supply) -> None:
        """Makes the fields of one request."""
        self._request, self._supply, self._catalog = request, supply, request.catalog_root
        self._faults: dict[File, EarthfieldError] = {}
        self.used: set[File] = set()
        """Files that vectors were taken from, now or by a run before."""
        self.failed: list[LeftOut] = []
        """Files that could not be read, by tile."""

    def make(self, piece: Piece) -> FieldReport:
        """Makes a field, or leaves alone what is there from the same files.

        Raises:
            Conflict: what is there was imported in another way.
            InvalidInput: a file's vectors are not what they are said to be.
            Unavailable: the disk is full.
        """
        started = time.monotonic()
        key = FieldKey(self._supply.origin.name, piece.part.tile, piece.period)
        report = FieldReport(
            key.model, key.tile.id, str(key.period), str(self._catalog.field(key)), 0, written=False
        )
        layers, faults = self._looked_at(piece, key)
        if faults and not self._request.skip_unreadable:
            report.absent = f"waits for {faults[0].file}: {faults[0].why}"
        elif not layers:
            report.absent = "none of its files can be read"
        else:
            self._make(self._wanted(piece, key, layers), report)
        report.frames = {source: len(frames) for source, frames in piece.frames.items()}
        report.seconds = time.monotonic() - started
        return report

    def _looked_at(self, piece: Piece, key: FieldKey) -> tuple[list[Layer], list[LeftOut]]:
        layers, faults = [], []
        for file in piece.files:
            try:
                layers.append(self._layer(file, key))
            except FAULTS as error:
                # Nothing else is to be expected of it at the next tile.
                self._faults[file] = error
                faults.append(self._failed(file, key, error))
        return layers, faults

    def _layer(self, file: File, key: FieldKey) -> Layer:
        if file in self._faults:
            raise self._faults[file]
        supply, epsg = self._supply, key.tile.epsg
        raster = supply.opened.get(file) or open_raster(file, supply.reach)
        supply.opened[file] = raster
        if supply.origin.kind == "aef" and raster.epsg != epsg:
            raise BrokenArtefact(
                f"{file.name} lies in EPSG:{raster.epsg}, and its index says EPSG:{epsg}: fetch both again"
            )
        return Layer(raster, placing_of(raster, epsg, supply.resample), supply.stored(raster))

    def _failed(self, file: File, key: FieldKey, error: EarthfieldError) -> LeftOut:
        one = LeftOut(file.name, str(error), key.tile.id, again=isinstance(error, Unavailable))
        self.failed.append(one)
        return one

    def _wanted(self, piece: Piece, key: FieldKey, layers: list[Layer]) -> _Wanted:
        area, extent, frames = piece.part.area, piece.part.window, piece.frames
        options, others = _options(layers[0].stored), []
        before = self._before(key, options)
        if before is not None:
            # A field is one per tile and period: another area, and other files, join what is there.
            area, extent = area | before.area, extent | before.window
            here = {layer.raster.identity for layer in layers}
            others = [one for one in before.manifest["imported"]["files"] if one["identity"] not in here]
            frames = _joined(before.manifest["sources"], frames)
        inputs = hash_of(
            {
                "import": self._supply.origin.fingerprint,
                "period": piece.period.id,
                "options": options,
                "files": sorted(
                    [one["identity"], one["placing"], one["nodata"]]
                    for one in [*others, *(layer.told for layer in layers)]
                ),
            }
        )
        return _Wanted(key, area, extent, layers, before, others, frames, options, inputs)

    def _before(self, key: FieldKey, options: Mapping[str, Any]) -> Field | None:
        """Opens what is there already and is to be kept."""
        folder = self._catalog.field(key)
        restored(folder)
        if not (folder / "manifest.json").is_file():
            return None
        before = Field(self._catalog, key)
        check_same(before, self._supply.origin)
        if self._request.overwrite:
            return None
        if before.manifest["imported"]["options"] != options:
            raise Conflict(
                f"the field {key.id} was imported with {_words(before.manifest['imported']['options'])}, not with "
                f"{_words(options)}: replace it with --overwrite, or keep this one under another --name"
            )
        return before

    def _make(self, wanted: _Wanted, report: FieldReport) -> None:
        before = wanted.joins
        if before is not None and _is_there(wanted, before):
            report.pixels = int(before.manifest["pixels"])
            gave = {one["identity"] for one in before.manifest["imported"]["files"] if one["pixels"]}
            rasters = [layer.raster for layer in wanted.layers]
            self.used.update(raster.file for raster in rasters if raster.identity in gave)
            return
        codes, gave_px, faults = self._taken(wanted)
        if faults and not self._request.skip_unreadable:
            report.absent = f"waits for {faults[0].file}: {faults[0].why}"
            return
        if before is not None:
            _fill(codes, before, wanted.extent)
        report.pixels = int((~is_missing(codes)).sum())
        if not report.pixels:
            report.absent = "its files have no data in this part of the tile"
            return
        self._write(wanted, codes, gave_px, report.pixels)
        report.written = True

    def _taken(self, wanted: _Wanted) -> tuple[NDArray[Any], dict[File, int], list[LeftOut]]:
        """Joins what every file has, (D, h, w); of two that have a pixel the first counts."""
        epsg, extent = wanted.key.tile.epsg, wanted.extent
        mask = inside_mask(epsg, extent, wanted.area)
        codes = wanted.layers[0].stored.blank(wanted.layers[0].raster.dim, extent)
        gave: dict[File, int] = {}
        faults = []
        for layer in wanted.layers:
            file = layer.raster.file
            try:
                found = placed(layer.raster, epsg, extent, layer.placing, layer.stored)
            except FAULTS as error:
                faults.append(self._failed(file, wanted.key, error))
                continue
            fresh = mask & is_missing(codes) & ~is_missing(found)
            np.copyto(codes, found, where=fresh)
            gave[file] = int(fresh.sum())
        self.used.update(file for file, count in gave.items() if count)
        return codes, gave, faults

    def _write(self, wanted: _Wanted, codes: NDArray[Any], gave: Mapping[File, int], num_pixels: int) -> None:
        folder = self._catalog.field(wanted.key)
        told = [*wanted.others]
        told += [
            {**layer.told, "pixels": gave[layer.raster.file]}
            for layer in wanted.layers
            if layer.raster.file in gave
        ]
        if wanted.joins is not None:
            keep_before(folder)
        write_field(self._catalog, self._content(wanted, codes, told, num_pixels))
        settled(folder)

    def _content(
        self, wanted: _Wanted, codes: NDArray[Any], told: Sequence[Told], num_pixels: int
    ) -> FieldContent:
        origin, key, extent, period = self._supply.origin, wanted.key, wanted.extent, wanted.key.period
        manifest = {
            "model": {"name": key.model, "fingerprint": origin.fingerprint, "sources": sorted(wanted.frames)},
            "period": {"start": period.start.isoformat(), "end": period.end.isoformat(), "text": str(period)},
            "window": [extent.y0, extent.y1, extent.x0, extent.x1],
            "area": shapely.to_wkt(wanted.area.geom, rounding_precision=-1),
            "inputs": wanted.inputs,
            "pixels": num_pixels,
            "sources": dict(wanted.frames),
            "imported": {
                "kind": origin.kind,
                "origin": f"{origin.kind}:{origin.name}",
                "title": origin.title,
                "licence": origin.licence,
                "options": wanted.options,
                "files": sorted(told, key=lambda one: (one["name"], one["identity"])),
            },
            "software": {name: version(name) for name in ("earthfield", "rasterio", "numpy")},
        }
        names = [name for name in wanted.layers[0].raster.bands if name]
        return FieldContent(
            key, extent, codes, {}, preview_of(codes), manifest,
            axes=None if origin.kind == "raster" else axes_of(codes),
            bands=tuple(names) if len(set(names)) == len(codes) else None,
        )  # fmt: skip


def _options(stored: Stored) -> dict[str, Any]:
    """What files that are joined in one field must agree on."""
    return {"dequantise": stored.dequantise, "dtype": stored.dtype, "normalise": stored.normalise}


def _words(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(options.items()))


def _is_there(wanted: _Wanted, before: Field) -> bool:
    if before.fingerprint != wanted.inputs or before.window != wanted.extent:
        return False
    epsg = wanted.key.tile.epsg
    held = inside_mask(epsg, wanted.extent, before.area)
    return bool((held >= inside_mask(epsg, wanted.extent, wanted.area)).all())


def _fill(codes: NDArray[Any], before: Field, extent: Window) -> None:
    """Puts what a field holds already where the files of this run have nothing."""
    ys, xs = before.window.shifted(-extent.y0, -extent.x0).slices
    view, held = codes[:, ys, xs], before.codes()
    if len(held) != len(view):
        raise Conflict(
            f"the field {before.key.id} holds vectors of {len(held)} numbers, not {len(view)}: keep these under "
            "another --name"
        )
    np.copyto(view, held, where=is_missing(view) & ~is_missing(held))


def _joined(one: Frames, other: Frames) -> Frames:
    found = {source: list(frames) for source, frames in one.items()}
    for source, frames in other.items():
        have = found.setdefault(source, [])
        have += [frame for frame in frames if frame not in have]
    return {
        source: sorted(found[source], key=lambda frame: str(frame["acquired"])) for source in sorted(found)
    }
