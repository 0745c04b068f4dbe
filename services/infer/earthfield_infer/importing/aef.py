"""AlphaEarth's published files: found in their index, read in their own zone, kept byte for byte."""

from __future__ import annotations

from earthfield.area import tile_windows
from earthfield.codec import BANDS, DIM, NODATA
from earthfield.errors import BrokenArtefact, InvalidInput, NotFound
from earthfield.storage import hash_of
from earthfield.timeline import Period
from earthfield_infer.importing.aefindex import Entries, find_entries
from earthfield_infer.importing.raster import Raster
from earthfield_infer.importing.reach import Reach
from earthfield_infer.importing.request import ImportRequest
from earthfield_infer.importing.stored import Stored
from earthfield_infer.importing.supply import Origin, Piece, Supply

NAME = "aef-v1"
TITLE = "AlphaEarth Foundations Satellite Embedding, annual, version 1"
LICENCE = (
    "CC-BY 4.0. "
    "The AlphaEarth Foundations Satellite Embedding dataset is produced by Google and Google DeepMind."
)


def supply_aef(request: ImportRequest) -> Supply:
    """Finds the files of an area and some years.

    Raises:
        InvalidInput: no area, no year, a period that is no year, or an index of another form.
        NotFound: no index, or no file of it touches the area in one of the years.
        Unavailable: the index's server does not answer.
    """
    area, years = request.area, _years(request.valid_periods)
    if area is None:
        raise InvalidInput("AlphaEarth's files cover the Earth: say which part with --bbox or --aoi")
    if len(request.origins) != 1:
        raise InvalidInput("AlphaEarth's files have one index: name it alone")
    index = request.origins[0]
    reach = Reach(index, base=request.base, allow=request.allow)
    parts = tile_windows(area)
    entries = find_entries(index, reach, [part.tile for part in parts], list(years))
    pieces = []
    for year, period in years.items():
        for part in parts:
            files = [
                entry for entry in entries.found.get((part.tile, year), []) if entry.window & part.window
            ]
            if files:
                found = tuple(reach.find(path) for path in dict.fromkeys(entry.path for entry in files))
                pieces.append(Piece(part, period, found))
    if not pieces:
        raise NotFound(_nothing(index, entries, years))
    fingerprint = hash_of({"import": "aef", "version": 1})
    origin = Origin("aef", request.name or NAME, TITLE, fingerprint, LICENCE)
    return Supply(
        origin, reach, pieces, stored=lambda raster: _stored(raster, request),
        num_rows=entries.num_rows, num_broken=entries.num_broken,
    )  # fmt: skip


def _years(periods: tuple[Period, ...]) -> dict[int, Period]:
    for period in periods:
        if len(str(period)) != 4:
            raise InvalidInput(f"AlphaEarth's files are of whole years, and {period} is none: write 2023")
    if not periods:
        raise InvalidInput("say which year with --period, such as --period 2023")
    return {period.start.year: period for period in periods}


def _stored(raster: Raster, request: ImportRequest) -> Stored:
    is_aef = raster.dim == DIM and raster.dtype == "int8" and raster.nodata in (None, NODATA)
    names = [name for name in raster.bands if name]
    if not is_aef or (names and names != list(BANDS)):
        raise BrokenArtefact(
            f"{raster.file.name} has {raster.dim} bands of {raster.dtype} with nodata {raster.nodata}, named "
            f"{', '.join(names[:2]) or 'not at all'}: AlphaEarth's files have {DIM} of int8 with {NODATA}, A00 to "
            "A63; fetch it again, or import it as a raster under a name of its own"
        )
    return Stored("power", request.dtype or "int8", nodata=NODATA, is_known=True)


def _nothing(index: str, entries: Entries, years: dict[int, Period]) -> str:
    have = ", ".join(map(str, sorted(entries.years))) or "none"
    wanted = ", ".join(map(str, years))
    return (
        f"no file of {index} touches this area in {wanted}, in its own UTM zone; the {entries.num_rows:,} rows "
        f"are of the years {have} ({entries.num_broken:,} of them cannot be understood)"
    )
