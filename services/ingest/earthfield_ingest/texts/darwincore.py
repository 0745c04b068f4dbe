"""Darwin Core archives, as GBIF gives them: which species was seen where, when, and under which licence."""

from __future__ import annotations

import codecs
import csv
import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any
from xml.etree import ElementTree

from earthfield.errors import BrokenArtefact, InvalidInput
from earthfield_ingest.texts.records import (
    ABSENT,
    DOUBTFUL,
    NO_ID,
    NO_LICENCE,
    NO_PLACE,
    NO_TEXT,
    NON_COMMERCIAL,
    Dropped,
    Found,
    Record,
    place_of,
)

_TEXT = "{http://rs.tdwg.org/dwc/text/}"
_OCCURRENCE = "http://rs.tdwg.org/dwc/terms/Occurrence"
_MAX_XML = 32 << 20
_MAX_LINE = 1 << 20
_MAX_RATIO = 200
"""Times that a member may be larger than what is packed; tables of words reach about 20."""
_LICENCES = (
    (r"publicdomain/zero|^cc[-_ ]?0", "CC0-1.0"),
    (r"licenses/by/(\d\.\d)|^cc[-_ ]by[-_ ](\d)[._](\d)$", "CC-BY"),
)
_SEEN = {
    "HUMAN_OBSERVATION": "observed", "MACHINE_OBSERVATION": "observed", "OBSERVATION": "observed",
    "PRESERVED_SPECIMEN": "collected", "FOSSIL_SPECIMEN": "collected", "LIVING_SPECIMEN": "collected",
    "MATERIAL_SAMPLE": "sampled",
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """How the occurrences lie in an archive."""

    members: tuple[str, ...]
    """Names of the files."""
    columns: Mapping[str, int]
    """Place of each term, by the last part of its address."""
    defaults: Mapping[str, str]
    """Values of terms that have no column."""
    encoding: str
    """Encoding of the text."""
    delimiter: str
    """Between values."""
    quote: str
    """Around values; empty where there is none."""
    skipped: int
    """Lines before the first record."""


def occurrences(path: Path) -> Iterator[Found]:
    """Yields what a Darwin Core archive holds, line by line; nothing of it is unpacked to the disk.

    Raises:
        InvalidInput: it is no such archive, or its core are not occurrences.
        BrokenArtefact: it is damaged, names files outside of itself, or grows beyond measure when unpacked.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            table = _table(archive, path)
            titles: dict[str, str] = {}
            for member in table.members:
                for row in _rows(archive, member, table, path):
                    yield _occurrence(row, archive, titles, path)
    except zipfile.BadZipFile as error:
        raise InvalidInput(
            f"{path} is not a whole zip archive ({error}): give a Darwin Core archive"
        ) from error
    except (zlib.error, csv.Error, UnicodeDecodeError, EOFError, NotImplementedError) as error:
        raise BrokenArtefact(f"{path} is damaged ({error}): download it again") from error


def _table(archive: zipfile.ZipFile, path: Path) -> Table:
    if "meta.xml" not in archive.namelist():
        raise InvalidInput(f"{path} holds no meta.xml, so it is no Darwin Core archive")
    core = _xml(archive, "meta.xml", path).find(f"{_TEXT}core")
    if core is None or core.get("rowType") != _OCCURRENCE:
        raise InvalidInput(
            f"{path}: the core of this archive are not occurrences, which alone have places here"
        )
    members = tuple((one.text or "").strip() for one in core.iter(f"{_TEXT}location"))
    for member in members:
        pure = PurePosixPath(member)
        if pure.is_absolute() or ".." in pure.parts or "\\" in member or member not in archive.namelist():
            raise BrokenArtefact(f"{path}: meta.xml names {member!r}, which is no file of the archive")
    fields = [one for one in core.iter(f"{_TEXT}field") if one.get("term")]
    names = {one: str(one.get("term")).rpartition("/")[2] for one in fields}
    try:
        codecs.lookup(core.get("encoding") or "utf-8")
        columns = {names[one]: int(str(one.get("index"))) for one in fields if one.get("index")}
        identity = core.find(f"{_TEXT}id")
        if identity is not None and identity.get("index"):
            columns.setdefault("gbifID", int(str(identity.get("index"))))
        return Table(
            members=members,
            columns=columns,
            defaults={names[one]: str(one.get("default")) for one in fields if one.get("default")},
            encoding=core.get("encoding") or "utf-8",
            delimiter=_unescaped(core.get("fieldsTerminatedBy") or ","),
            quote=_unescaped(core.get("fieldsEnclosedBy") or ""),
            skipped=int(core.get("ignoreHeaderLines") or 0),
        )
    except (LookupError, ValueError) as error:
        raise BrokenArtefact(f"{path}: meta.xml cannot be understood ({error})") from error


def _unescaped(text: str) -> str:
    return text.replace("\\t", "\t").replace("\\n", "\n").replace("\\r", "\r")


def _xml(archive: zipfile.ZipFile, member: str, path: Path) -> ElementTree.Element:
    with _opened(archive, member, path) as file:
        content = file.read(_MAX_XML + 1)
    # An entity can stand for gigabytes or for a file of this machine.
    if len(content) > _MAX_XML or b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise BrokenArtefact(f"{path}: {member} is too large or declares entities, so it is not read")
    try:
        return ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise BrokenArtefact(f"{path}: {member} is not readable XML ({error})") from error


def _opened(archive: zipfile.ZipFile, member: str, path: Path) -> IO[bytes]:
    told = archive.getinfo(member)
    if told.file_size > _MAX_RATIO * max(told.compress_size, 1 << 16):
        raise BrokenArtefact(
            f"{path}: {member} would grow {told.file_size / max(told.compress_size, 1):.0f}-fold when unpacked, "
            "which no table does: it is not read"
        )
    if told.flag_bits & 1:
        raise BrokenArtefact(f"{path}: {member} is encrypted: unpack it with its password first")
    # The reader of a member never gives more bytes than it declares.
    return archive.open(told)


def _rows(archive: zipfile.ZipFile, member: str, table: Table, path: Path) -> Iterator[dict[str, str]]:
    with _opened(archive, member, path) as raw, io.TextIOWrapper(raw, table.encoding, newline="") as text:
        quoting: Any = csv.QUOTE_MINIMAL if table.quote else csv.QUOTE_NONE
        lines = csv.reader(
            _lines(text, path),
            delimiter=table.delimiter,
            quotechar=table.quote or None,
            quoting=quoting,
            strict=bool(table.quote),
        )
        for number, values in enumerate(lines):
            if number >= table.skipped and values:
                given = {term: values[place] for term, place in table.columns.items() if place < len(values)}
                yield {**table.defaults, **{term: value for term, value in given.items() if value}}


def _lines(text: IO[str], path: Path) -> Iterator[str]:
    while line := text.readline(_MAX_LINE):
        if len(line) == _MAX_LINE:
            raise BrokenArtefact(
                f"{path} holds a line of more than {_MAX_LINE >> 20} MiB, which no table has"
            )
        yield line


def _occurrence(
    row: Mapping[str, str], archive: zipfile.ZipFile, titles: dict[str, str], path: Path
) -> Found:
    number = row.get("gbifID") or row.get("occurrenceID")
    if not number:
        return Dropped(NO_ID)
    told = row.get("license") or row.get("rights") or ""
    if re.search(r"[-_/ ]nc([-_/ ]|$)|noncommercial", told, re.IGNORECASE):
        return Dropped(NON_COMMERCIAL)
    licence = licence_of(told)
    if licence is None:
        return Dropped(NO_LICENCE)
    if row.get("occurrenceStatus", "").upper() == "ABSENT" or row.get("individualCount") == "0":
        return Dropped(ABSENT)
    place = place_of(row.get("decimalLongitude"), row.get("decimalLatitude"))
    if place is None:
        return Dropped(NO_PLACE)
    if row.get("hasGeospatialIssues", "").lower() == "true":
        return Dropped(DOUBTFUL)
    name = row.get("scientificName") or row.get("species") or ""
    if not name:
        return Dropped(NO_TEXT)
    return Record(
        lon=place[0],
        lat=place[1],
        text=sentence(row, name),
        kind="gbif",
        id=number,
        name=name,
        licence=licence,
        attribution=_attribution(row, archive, titles, path),
        url=row.get("references") or f"https://www.gbif.org/occurrence/{number}",
        language="",
    )


def licence_of(told: str) -> str | None:
    """Gives the SPDX id of a licence that a record tells as a name or an address, None where it is not known."""
    for pattern, spdx in _LICENCES:
        match = re.search(pattern, told.strip(), re.IGNORECASE)
        if match is not None:
            version = ".".join(part for part in match.groups() if part)
            return f"{spdx}-{version}" if version else spdx
    return None


def sentence(row: Mapping[str, str], name: str) -> str:
    """Says what, when and where of an occurrence, leaving out what it does not tell."""
    seen = _SEEN.get(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", row.get("basisOfRecord", "")).upper(), "recorded")
    parts = [name]
    if row.get("vernacularName"):
        parts.append(f"({row['vernacularName']})")
    day = _day(row)
    what = " ".join(parts) + (f", {seen} {day}" if day else f", {seen}")
    for term, lead in (("locality", "at"), ("habitat", "habitat")):
        if row.get(term):
            what += f", {lead}: {' '.join(row[term].split())[:300]}"
    return what


def _day(row: Mapping[str, str]) -> str:
    told = re.match(r"^\d{4}(-\d{2}){0,2}(?=$|T|/)", row.get("eventDate", ""))
    if told is not None and "/" not in row["eventDate"]:
        return told[0]
    parts = []
    for term, width in (("year", 4), ("month", 2), ("day", 2)):
        if not row.get(term, "").isdigit():
            break
        parts.append(row[term].zfill(width))
    return "-".join(parts)


def _attribution(row: Mapping[str, str], archive: zipfile.ZipFile, titles: dict[str, str], path: Path) -> str:
    """Names the holder of the rights and the data set."""
    key = row.get("datasetKey", "")
    if key and key not in titles:
        titles[key] = _title(archive, key, path)
    data_set = titles.get(key) or row.get("datasetName") or ""
    holder = row.get("rightsHolder") or row.get("publisher") or row.get("institutionCode") or ""
    via = f"GBIF data set https://www.gbif.org/dataset/{key}" if key else "GBIF.org"
    return ", ".join(part for part in dict.fromkeys((holder, data_set, via)) if part)


def _title(archive: zipfile.ZipFile, key: str, path: Path) -> str:
    member = f"dataset/{key}.xml"
    if not re.fullmatch(r"[0-9a-f-]{36}", key) or member not in archive.namelist():
        return ""
    title = _xml(archive, member, path).find("dataset/title")
    return " ".join((title.text or "").split()) if title is not None else ""
