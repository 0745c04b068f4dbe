"""Requests and reports: what a job is asked for and what it tells, the same for command line, flows and HTTP."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar

from odc.geo.geom import Geometry
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from earthfield.area import area_from_bbox, area_from_text
from earthfield.catalog import Catalog, checked_name
from earthfield.errors import BrokenArtefact, InvalidInput, NotFound, Unavailable
from earthfield.grid import PIXEL_M
from earthfield.places import Root, RootField, folder_of
from earthfield.timeline import Period, hull

INPUT_SOURCES = ("sentinel-2-l2a", "sentinel-1-rtc", "landsat-c2-l2")
"""Sources that a map is made from unless others are named."""


class Request(BaseModel):
    """What every request carries."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    root: Annotated[
        RootField, Field(description="Folder that holds every artefact, or s3://bucket/prefix for cubes.")
    ]

    @property
    def catalog_root(self) -> Catalog:
        """Addresses under the root."""
        return Catalog(self.root)


class AreaRequest(Request):
    """A request about an area and some periods."""

    bbox: tuple[float, float, float, float] | None = Field(
        None, description="West, south, east, north, degrees."
    )
    aoi: str | None = Field(
        None,
        description="GeoJSON or WKT in degrees, a file (GeoJSON, Shapefile, GeoPackage), or osm:relation/<id>.",
    )
    periods: tuple[str, ...] = Field(min_length=1, description="Periods such as 2018 or 2018-03..2018-09.")
    support: str | None = Field(
        None, description="When the inputs were taken; each period itself unless this wider one is given."
    )

    @field_validator("periods")
    @classmethod
    def _readable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(period) for period in Period.parse_all(value))

    @property
    def valid_periods(self) -> tuple[Period, ...]:
        """The periods, sorted and without doubles."""
        return Period.parse_all(self.periods)

    def support_of(self, period: Period) -> Period:
        """Gives the support period that belongs to a valid one."""
        return Period.parse(self.support) if self.support else period

    @property
    def span(self) -> Period:
        """Everything that must be ingested."""
        return hull([self.support_of(period) for period in self.valid_periods])

    @property
    def area(self) -> Geometry | None:
        """The area in EPSG:4326, or None where the request names none.

        Raises:
            InvalidInput: it cannot be read, or both forms are given.
        """
        if self.bbox is not None and self.aoi is not None:
            raise InvalidInput("give --bbox or --aoi, not both")
        if self.bbox is not None:
            return area_from_bbox(self.bbox)
        return None if self.aoi is None else area_from_text(self.aoi)


class IngestRequest(AreaRequest):
    """Scenes of a catalogue into cubes."""

    catalog: str = Field(
        min_length=1, description="Folder or file of a static STAC catalogue, or the address of a STAC API."
    )
    sources: tuple[str, ...] = Field(INPUT_SOURCES, min_length=1, description="Sources to read.")
    skip_unreadable: bool = Field(
        False, description="Make a 5-day step without its unreadable items instead of leaving it for later."
    )
    allow: tuple[str, ...] = Field(
        (), description="Folders and hosts that items may lead to beyond the catalogue's own."
    )
    dask: str | None = Field(
        None, description="Address of a Dask scheduler; `local` for one of our own, `none` for this process."
    )
    coregister: bool = Field(
        False, description="Shift each acquisition onto the tile's reference by what phase correlation finds."
    )


class EmbedRequest(AreaRequest):
    """Cubes into fields."""

    model: str = Field("starter", description="Name of a model.")
    encoder: str | None = Field(
        None, description="Address of an encoder, grpc://host:port; in process when absent."
    )
    precision: Literal["float32", "bf16"] = Field(
        "float32", description="In what an encoder in this process computes."
    )
    dtype: Literal["int8", "float16", "float32"] = Field(
        "int8", description="How vectors are stored: the published code, or plain numbers."
    )
    agreement: bool = Field(
        True, description="Tell for each pixel how well fields from two halves of its frames agree."
    )
    overwrite: bool = Field(False, description="Make fields again that are there already.")

    @field_validator("root")
    @classmethod
    def _folder(cls, value: Root) -> Root:
        return folder_of(value)


class MapRequest(IngestRequest, EmbedRequest):
    """Scenes to a searchable map, all in one."""

    def ingest(self) -> IngestRequest:
        """The part for the ingest service."""
        return IngestRequest(**{name: getattr(self, name) for name in IngestRequest.model_fields})

    def embed(self) -> EmbedRequest:
        """The part for the infer service."""
        return EmbedRequest(**{name: getattr(self, name) for name in EmbedRequest.model_fields})


class IndexRequest(Request):
    """Fields into cells of the vector index."""

    model: str = Field("starter", description="Name of a model.")
    cell_px: int = Field(8, ge=1, le=128, description="Side of a cell in pixels.")
    index: RootField | None = Field(
        None,
        description="Folder or s3://bucket/prefix of the index; by default EARTHFIELD_INDEX, or under the root.",
    )
    dask: str | None = Field(None, description="Dask scheduler: an address, `local` or `none`.")
    rebuild: bool = Field(False, description="Begin with an empty table.")
    prune: bool = Field(False, description="Take out the cells of fields that are gone.")

    @field_validator("model")
    @classmethod
    def _usable(cls, value: str) -> str:
        return checked_name(value)


R = TypeVar("R", bound=Request)


def checked_request(kind: type[R], /, **content: Any) -> R:
    """Makes a request from outside values.

    Raises:
        InvalidInput: one sentence that names the field and what is wrong.
    """
    try:
        return kind(**content)
    except ValidationError as error:
        first = error.errors()[0]
        cause = first.get("ctx", {}).get("error")
        where = ".".join(str(part) for part in first["loc"]) or "request"
        raise InvalidInput(str(cause) if cause else f"{where}: {first['msg']}") from error


@dataclass
class SourceReport:
    """What became of one source's items."""

    found: int = 0
    """Items that the catalogue holds for the area and period."""
    used: int = 0
    """Items whose pixels are in the cube."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Items left out, by reason."""
    read: int = 0
    """Items whose pixels were read in this run; the others were there already."""
    waiting: int = 0
    """Items of steps that this run could not make, because one of them could not be read."""
    steps: int = 0
    """5-day steps that the cube holds for the period."""
    clear_share: float = 0.0
    """Mean share of the area's pixels that these steps show, 0..1."""
    clear_by_step: dict[str, float] = field(default_factory=dict)
    """By first day of the step: share of the area's pixels that it shows, 0..1."""
    bytes_read: int = 0
    """Decoded bytes read in this run."""
    moved: int = 0
    """Items moved onto the reference of a co-registered cube; once for each tile that uses them."""
    moved_px: float = 0.0
    """Median length of these shifts, 10 m pixels."""
    unmoved: dict[str, int] = field(default_factory=dict)
    """Items of a co-registered cube that were left where they are, by reason."""
    seconds: float = 0.0
    """Time spent in reading and writing, over all tiles."""


@dataclass
class IngestReport:
    """What an ingest did."""

    sources: dict[str, SourceReport] = field(default_factory=dict)
    """By source; counts of distinct items over all tiles."""
    tiles: dict[str, dict[str, SourceReport]] = field(default_factory=dict)
    """By tile and source."""
    unreadable: list[str] = field(default_factory=list)
    """Items left out because an asset could not be read, each with the reason."""
    unanswered: list[str] = field(default_factory=list)
    """Items for which the network failed, each with the reason; another run tries them again."""
    broken: list[str] = field(default_factory=list)
    """Items of the catalogue that break the rules of STAC, each with the reason; nothing can be done with them."""
    seconds: float = 0.0
    """Wall time."""

    def check_complete(self) -> None:
        """Makes sure that no item waits for another run.

        Raises:
            BrokenArtefact: some steps were left out because an item cannot be read.
            Unavailable: some were left out because the network failed.
        """
        waiting = sum(one.waiting for one in self.sources.values())
        if not waiting:
            return
        told = [*self.unanswered, *self.unreadable]
        text = f"{waiting} items wait because {len(told)} could not be read, first: {told[0]}"
        raise Unavailable(text) if self.unanswered else BrokenArtefact(text)

    @property
    def items_read(self) -> int:
        """Items read in this run."""
        return sum(one.read for one in self.sources.values())


@dataclass
class FieldReport:
    """One field."""

    model: str
    """Its model."""
    tile: str
    """Its tile."""
    period: str
    """Its valid period."""
    path: str
    """Folder that holds it."""
    pixels: int
    """Pixels with a vector."""
    written: bool
    """Whether this run wrote it; False: it was there already."""
    frames: dict[str, int] = field(default_factory=dict)
    """Frames that went in, by source."""
    windows: int = 0
    """Windows encoded."""
    seconds: float = 0.0
    """Wall time."""
    absent: str = ""
    """Why there is no field: nothing was seen here in the support period. Empty where there is one."""


@dataclass
class EmbedReport:
    """What an embedding run did."""

    fields: list[FieldReport] = field(default_factory=list)
    """One entry per tile and period."""
    seconds: float = 0.0
    """Wall time."""

    @property
    def present(self) -> list[FieldReport]:
        """The fields that exist.

        Raises:
            NotFound: no tile has one; the message is the first tile's reason.
        """
        found = [one for one in self.fields if not one.absent]
        if self.fields and not found:
            raise NotFound(self.fields[0].absent)
        return found

    @property
    def km2(self) -> float:
        """Area of the fields that this run wrote, each counted."""
        return sum(one.pixels for one in self.fields if one.written) * (PIXEL_M / 1000) ** 2

    def merge(self, other: EmbedReport) -> EmbedReport:
        """Puts two reports together."""
        return EmbedReport(self.fields + other.fields, self.seconds + other.seconds)


@dataclass
class IndexReport:
    """What an indexing run did."""

    table: str = ""
    """Address of the table."""
    cells: int = 0
    """Cells of the fields that were looked at."""
    written: int = 0
    """Cells written in this run."""
    fields: int = 0
    """Fields looked at."""
    seconds: float = 0.0
    """Wall time."""
    added: int = 0
    """Fields that the table did not hold."""
    changed: int = 0
    """Fields that were made again since."""
    gone: int = 0
    """Fields that the table holds, and that are there no longer."""

    def merge(self, other: IndexReport) -> IndexReport:
        """Puts two reports together."""
        return IndexReport(
            self.table or other.table,
            self.cells + other.cells,
            self.written + other.written,
            self.fields + other.fields,
            self.seconds + other.seconds,
            self.added + other.added,
            self.changed + other.changed,
            self.gone + other.gone,
        )


@dataclass
class MapReport:
    """What a whole map job did."""

    ingest: IngestReport
    """Scenes to cubes."""
    embed: EmbedReport
    """Cubes to fields."""
    index: IndexReport
    """Fields to cells."""
    seconds: float = 0.0
    """Wall time of the job."""


def as_json(report: Any) -> dict[str, Any]:
    """Gives a report as plain JSON content."""
    return dataclasses.asdict(report)
