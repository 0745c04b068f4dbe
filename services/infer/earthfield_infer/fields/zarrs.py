"""Fields as one Zarr store with the `geoemb:` attributes: a group for each zone, time by time."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from earthfield.codec import NODATA, stored
from earthfield.errors import Conflict
from earthfield.grid import PIXEL_M, TILE_PX, Window
from earthfield.progress import Progress, silent
from earthfield.storage import make_folder, writing
from earthfield.timeline import Period
from earthfield_infer.fields.choose import Part, hull_of, same_kind

CHUNK_PX = 128
_CONVENTIONS = [
    {
        "name": "geoemb:",
        "uuid": "61c12cc5-0e28-4056-999a-480cf3fb7e4c",
        "schema_url": "https://raw.githubusercontent.com/geo-embeddings/embeddings-zarr-convention/refs/tags/v1/schema.json",
    },
    {"name": "proj:", "uuid": "f17cb550-5864-4468-aeb7-f3180cfb622f"},
    {"name": "spatial:", "uuid": "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4"},
]
_FORMULA = "https://developers.google.com/earth-engine/guides/aef_on_gcs_readme"


def to_zarr(parts: Sequence[Part], dtype: str, path: Path, *, progress: Progress = silent) -> Path:
    """Writes fields into a new Zarr v3 store; the store takes its name only when it is complete.

    Groups are named by zone and hemisphere, such as `utm31n`. Each holds `embeddings (time, band, y, x)` and the
    coordinates `time` (start of the valid period), `time_end`, `band`, `y`, `x`; absent chunks take no space.

    Args:
        parts: what to write, of one model.
        dtype: int8, float16 or float32.
        path: the store's folder; it must not exist.
        progress: told of each field.

    Raises:
        Conflict: something lies at `path`.
        InvalidInput: fields of different versions of a model.
        Unavailable: the disk is full.
    """
    if path.exists():
        raise Conflict(f"{path} is there already: remove it, or choose another --out")
    same_kind(parts)
    make_folder(path.parent)
    unfinished = path.with_name(f".writing-{path.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        with writing(unfinished):
            root = zarr.create_group(unfinished, zarr_format=3, attributes=_attributes(parts, dtype))
            done = 0
            for epsg in sorted({part.key.tile.epsg for part in parts}):
                here = [part for part in parts if part.key.tile.epsg == epsg]
                array, extent, periods = _zone(root, epsg, here, dtype)
                for part in here:
                    progress("convert", done, len(parts))
                    _put(array, part, extent, periods.index(part.key.period), dtype)
                    done += 1
            unfinished.replace(path)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    progress("convert", len(parts), len(parts))
    return path


def _attributes(parts: Sequence[Part], dtype: str) -> dict[str, Any]:
    one = parts[0]
    sources = sorted({source for part in parts for source in part.sources})
    origins = sorted({part.origin for part in parts} - {""})
    found: dict[str, Any] = {
        "zarr_conventions": _CONVENTIONS,
        "geoemb:type": "pixel",
        "geoemb:dimensions": one.embedding.dimensions,
        "geoemb:model": f"urn:earthfield:model:{one.key.model}:{one.fingerprint}",
        "geoemb:source_data": [f"urn:earthfield:source:{name}" for name in sources]
        or [f"urn:earthfield:import:{name}" for name in origins]
        or ["urn:earthfield:source:unknown"],
        "geoemb:data_type": dtype,
        "geoemb:gsd": PIXEL_M,
        "geoemb:spatial_layout": "utm_zones",
        "geoemb:build_version": f"earthfield {version('earthfield')}",
    }
    if dtype == "int8":
        # The convention knows linear scales only; the power law stands behind the link.
        found["geoemb:quantization"] = {
            "method": "signed_square_root", "original_dtype": "float32", "quantized_dtype": "int8",
            "link": _FORMULA,
        }  # fmt: skip
    return found


def _zone(
    root: zarr.Group, epsg: int, parts: Sequence[Part], dtype: str
) -> tuple[zarr.Array, Window, list[Period]]:
    embedding, extent = parts[0].embedding, hull_of(parts)
    # On the lattice of chunks, so that a tile is made of whole ones.
    extent = Window(
        extent.y0 // CHUNK_PX * CHUNK_PX, -(-extent.y1 // CHUNK_PX) * CHUNK_PX,
        extent.x0 // CHUNK_PX * CHUNK_PX, -(-extent.x1 // CHUNK_PX) * CHUNK_PX,
    )  # fmt: skip
    periods = sorted({part.key.period for part in parts})
    left, top = extent.x0 * PIXEL_M, -extent.y0 * PIXEL_M
    rows, cols = extent.shape
    group = root.create_group(
        f"utm{epsg % 100:02d}{'n' if epsg < 32700 else 's'}",
        attributes={
            "proj:code": f"EPSG:{epsg}",
            "spatial:dimensions": ["y", "x"],
            "spatial:transform": [PIXEL_M, 0.0, left, 0.0, -PIXEL_M, top],
            "spatial:shape": [rows, cols],
            "spatial:bbox": [left, top - rows * PIXEL_M, left + cols * PIXEL_M, top],
            "spatial:registration": "pixel",
        },
    )
    array = group.create_array(
        "embeddings", shape=(len(periods), embedding.dimensions, rows, cols),
        chunks=(1, embedding.dimensions, CHUNK_PX, CHUNK_PX),
        dtype=dtype, fill_value=NODATA if dtype == "int8" else float("nan"),
        compressors=BloscCodec(cname="zstd", clevel=5, shuffle="bitshuffle"),
        dimension_names=("time", "band", "y", "x"),
    )  # fmt: skip
    _coordinates(group, extent, periods, embedding.bands)
    return array, extent, periods


def _coordinates(group: zarr.Group, extent: Window, periods: Sequence[Period], bands: Sequence[str]) -> None:
    rows, cols = extent.shape
    days = {"units": "seconds since 1970-01-01T00:00:00Z", "calendar": "proleptic_gregorian"}
    held: dict[str, tuple[str, NDArray[Any], dict[str, Any]]] = {
        "time": ("time", np.array([one.start.timestamp() for one in periods], np.int64), days),
        "time_end": ("time", np.array([one.end.timestamp() for one in periods], np.int64), days),
        # Text has no stable type in Zarr v3: names stand in an attribute.
        "band": ("band", np.arange(len(bands), dtype=np.int32), {"names": list(bands)}),
        "y": ("y", -(extent.y0 + np.arange(rows) + 0.5) * PIXEL_M, {"units": "m", "axis": "Y"}),
        "x": ("x", (extent.x0 + np.arange(cols) + 0.5) * PIXEL_M, {"units": "m", "axis": "X"}),
    }
    for name, (dim, values, attributes) in held.items():
        array = group.create_array(
            name, shape=values.shape, dtype=values.dtype, chunks=values.shape, dimension_names=(dim,),
            attributes=attributes,
        )  # fmt: skip
        array[:] = values


def _put(array: zarr.Array, part: Part, extent: Window, time: int, dtype: str) -> None:
    """Writes a field in rows of chunks; parts of other tiles share none of them."""
    for y in range(part.window.y0 // CHUNK_PX * CHUNK_PX, part.window.y1, CHUNK_PX):
        band = Window(y, y + CHUNK_PX, part.window.x0, part.window.x1) & part.window
        codes = part.codes(band) if dtype == part.embedding.dtype else stored(part.vectors(band), dtype)
        ys, xs = band.shifted(-extent.y0, -extent.x0).slices
        array[time, :, ys, xs] = codes


assert TILE_PX % CHUNK_PX == 0
