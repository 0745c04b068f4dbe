"""BetaEarth's files: `<year>.tif` of 64 float bands, with the scenes behind them in `<year>_manifest.json`."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from earthfield.errors import BrokenArtefact, InvalidInput, NotFound
from earthfield.storage import hash_of
from earthfield.timeline import Period, step_of
from earthfield_infer.importing.loose import files_of, pieces_of
from earthfield_infer.importing.raster import Raster, open_raster
from earthfield_infer.importing.reach import File, Reach
from earthfield_infer.importing.request import ImportRequest
from earthfield_infer.importing.stored import Stored
from earthfield_infer.importing.supply import Frames, Origin, Supply

NAME = "betaearth-files"
TITLE = "BetaEarth"
LICENCE = (
    "CC-BY 4.0, BetaEarth by Asterisk Labs, trained on AlphaEarth. The AlphaEarth Foundations Satellite Embedding "
    "dataset is produced by Google and Google DeepMind. Contains modified Copernicus Sentinel data."
)
_NAME = re.compile(r"^(\d{4})\.tiff?$", re.IGNORECASE)
_MODEL = ("repo_id", "variant", "model_type")


def supply_betaearth(request: ImportRequest) -> Supply:
    """Finds BetaEarth's files of some years, or of all.

    Raises:
        NotFound: there are none.
        InvalidInput: a file's name tells no year, or files of one name come from different models.
        BrokenArtefact: a file or its manifest cannot be read.
        Unavailable: a server does not answer.
    """
    reach, found = files_of(request, _NAME)
    wanted = set(request.valid_periods)
    files = {file: period for file in found if (period := _period(file)) in wanted or not wanted}
    if not files:
        have = ", ".join(sorted(str(_period(file)) for file in found))
        raise NotFound(f"{', '.join(request.origins)} holds none of the periods wanted, but {have or 'none'}")
    opened, pieces, models = {}, [], set()
    for file, period in sorted(files.items()):
        raster = opened[file] = open_raster(file, reach)
        told = _told(file, reach)
        models.add(hash_of({"import": "betaearth", "model": {key: _model(told).get(key) for key in _MODEL}}))
        pieces += pieces_of([raster], period, request.area, frames=_frames(told, file))
    if len(models) > 1:
        raise InvalidInput(
            "these files were made by different models, whose vectors cannot be compared: import them one by one, "
            "each under a --name of its own"
        )
    origin = Origin("betaearth", request.name or NAME, TITLE, models.pop(), LICENCE)
    return Supply(
        origin, reach, pieces, stored=lambda raster: _stored(raster, request), resample=request.resample,
        opened=opened,
    )  # fmt: skip


def _period(file: File) -> Period:
    match = _NAME.match(file.address.rpartition("/")[2])
    if match is None:
        raise InvalidInput(
            f"the name of {file.name} tells no year: BetaEarth writes 2023.tif; import other rasters as raster"
        )
    return Period.parse(match[1])


def _stored(raster: Raster, request: ImportRequest) -> Stored:
    if raster.dtype not in ("float32", "float16"):
        raise BrokenArtefact(
            f"{raster.file.name} holds {raster.dtype}, and BetaEarth writes float32: import it as a raster instead"
        )
    # The files declare no nodata value: what was not covered is a vector of zeros, which is never one of length 1.
    return Stored("none", request.dtype or "int8", nodata=raster.nodata, is_known=True)


def _told(file: File, reach: Reach) -> Mapping[str, Any]:
    """Reads the manifest beside a file; empty where there is none."""
    address = re.sub(r"\.tiff?$", "_manifest.json", file.address, flags=re.IGNORECASE)
    try:
        if file.is_remote:
            with tempfile.TemporaryDirectory(prefix="earthfield-") as folder:
                path = Path(folder) / "manifest.json"
                reach.fetch(address, path)
                content = json.loads(path.read_text())
        else:
            content = json.loads(Path(address).read_text())
    except (NotFound, FileNotFoundError):
        return {}
    except (OSError, ValueError) as error:
        raise BrokenArtefact(f"{address} cannot be read ({error}): fetch it again or remove it") from error
    if not isinstance(content, dict):
        raise BrokenArtefact(f"{address} is no manifest: fetch it again or remove it")
    return content


def _model(told: Mapping[str, Any]) -> Mapping[str, Any]:
    found = told.get("model")
    return found if isinstance(found, dict) else {}


def _frames(told: Mapping[str, Any], file: File) -> Frames:
    """Gives the scenes of a manifest as a field's manifest lists them."""
    frames: dict[str, list[dict[str, Any]]] = {}
    try:
        for scene in told.get("scenes", []):
            acquired = datetime.fromisoformat(scene["datetime"])
            frame = {
                "step": step_of(acquired), "acquired": f"{acquired:%Y-%m-%dT%H:%M:%SZ}",
                "items": [scene["stac_id"]],
            }  # fmt: skip
            frames.setdefault(str(scene["stac_collection"]), []).append(frame)
    except (KeyError, TypeError, ValueError) as error:
        raise BrokenArtefact(
            f"the manifest beside {file.name} lists scenes in another form ({error!r}): remove it to do without"
        ) from error
    return {
        source: sorted(one, key=lambda frame: frame["acquired"]) for source, one in sorted(frames.items())
    }
