"""The job: inputs of any kind become one table of texts."""

from __future__ import annotations

import json
import logging
import time
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import shapely
from odc.geo.geom import Geometry

from earthfield.catalog import Catalog
from earthfield.errors import InvalidInput, NotFound
from earthfield.progress import Progress, silent
from earthfield_ingest.texts import darwincore, notes, openstreetmap, wikipedia
from earthfield_ingest.texts.records import DOUBLE, OUTSIDE, Dropped, Found, Record, TextsReport
from earthfield_ingest.texts.table import write_table

log = logging.getLogger(__name__)

_EVERY = 10_000


def make_texts(
    root: Path,
    name: str,
    inputs: Sequence[Path],
    *,
    area: Geometry | None = None,
    overpass: str | None = None,
    progress: Progress = silent,
) -> TextsReport:
    """Reads inputs and writes the table `name`.

    Args:
        root: the folder of all artefacts.
        name: of the table.
        inputs: files: article lists (JSON), Darwin Core archives (zip), map features (GeoJSON or Overpass JSON),
            notes (GeoJSON whose features have `text` and `licence`).
        area: keep only what lies inside, EPSG:4326.
        overpass: address of an Overpass server that is asked for the area's box as well.
        progress: told now and then how many records were looked at.

    Raises:
        NotFound: an input does not exist, or nothing is left to write.
        InvalidInput: an input is of no known kind, or there is no area to ask the server for.
        BrokenArtefact: an input is damaged.
        Unavailable: the server does not answer, or the disk is full.
    """
    began = time.monotonic()
    path = Catalog(root).texts(name)
    report = TextsReport(path=path)
    streams = [read_file(one) for one in inputs]
    if overpass is not None:
        streams.append(_from_server(overpass, area))
    if not streams:
        raise InvalidInput("there is nothing to read: name files, or a server with --overpass")
    if not write_table(path, _kept(chain.from_iterable(streams), area, report, progress)):
        reasons = ", ".join(f"{count} {reason}" for reason, count in report.dropped.items())
        raise NotFound(f"no text is left of {report.found} found ({reasons or 'the inputs are empty'})")
    report.seconds = round(time.monotonic() - began, 3)
    log.info("wrote %d of %d texts to %s in %.1f s", report.kept, report.found, path, report.seconds)
    return report


def read_file(path: Path) -> Iterator[Found]:
    """Yields what a file holds, whatever kind it is of.

    Raises:
        NotFound: it does not exist.
        InvalidInput: it is of no known kind.
        BrokenArtefact: it is damaged.
    """
    if not path.is_file():
        raise NotFound(
            f"there is no file {path}: name an article list, a Darwin Core archive or map features"
        )
    if path.suffix.lower() == ".zip" or zipfile.is_zipfile(path):
        return darwincore.occurrences(path)
    content = _json(path)
    if wikipedia.is_articles(content):
        return wikipedia.articles(content)
    if notes.is_notes(content):
        return notes.notes(content)
    if openstreetmap.is_features(content):
        return openstreetmap.features(content)
    raise InvalidInput(
        f"{path} is neither a list of Wikipedia articles (pageid, title, lat, lon, url) nor GeoJSON nor an answer "
        "of Overpass"
    )


def _from_server(server: str, area: Geometry | None) -> Iterator[Found]:
    if area is None:
        raise InvalidInput("say which area the Overpass server shall be asked for, with --bbox or --aoi")
    west, south, east, north = area.geom.bounds
    return openstreetmap.features(openstreetmap.asked(server, (west, south, east, north)))


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{path} is not readable JSON ({error}): repair or replace it") from error


def _kept(
    found: Iterable[Found], area: Geometry | None, report: TextsReport, progress: Progress
) -> Iterator[Record]:
    """Counts everything and yields what goes into the table."""
    seen: set[tuple[str, str]] = set()
    if area is not None:
        shapely.prepare(area.geom)
    for one in found:
        told: Found = one
        if isinstance(one, Record) and (one.kind, one.id) in seen:
            told = Dropped(DOUBLE)
        elif isinstance(one, Record) and area is not None and not _inside(one, area):
            told = Dropped(OUTSIDE)
        report.count(told)
        if isinstance(told, Record):
            seen.add((told.kind, told.id))
            yield told
        if report.found % _EVERY == 0:
            progress("texts", report.found, report.found)


def _inside(one: Record, area: Geometry) -> bool:
    return bool(shapely.intersects_xy(area.geom, one.lon, one.lat))
