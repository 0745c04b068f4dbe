"""What an import is asked for, and what it tells."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from odc.geo.geom import Geometry
from pydantic import Field, field_validator, model_validator

from earthfield.area import area_from_bbox, area_from_text
from earthfield.catalog import checked_name
from earthfield.errors import BrokenArtefact, InvalidInput, Unavailable
from earthfield.places import Root, folder_of
from earthfield.schemas import FieldReport, Request
from earthfield.timeline import Period
from earthfield_infer.importing.place import Resample
from earthfield_infer.importing.stored import Dequantise, Dtype

Kind = Literal["aef", "betaearth", "raster"]
KINDS: tuple[Kind, ...] = ("aef", "betaearth", "raster")


class ImportRequest(Request):
    """Fields that others published, to be kept as fields of a name of their own."""

    kind: Kind = Field(
        description="aef: AlphaEarth's published files; betaearth: BetaEarth's; raster: any other."
    )
    origins: tuple[str, ...] = Field(min_length=1, description="The index, or the rasters, or their folder.")
    periods: tuple[str, ...] = Field((), description="Periods that the vectors summarise.")
    bbox: tuple[float, float, float, float] | None = Field(
        None, description="West, south, east, north, degrees."
    )
    aoi: str | None = Field(None, description="An area as text or file.")
    name: str | None = Field(None, description="Name of the model that the fields are kept under.")
    base: str | None = Field(None, description="Where the files of an index lie.")
    allow: tuple[str, ...] = Field((), description="Hosts that may be read from beside those that are named.")
    dtype: Dtype | None = Field(None, description="How vectors are kept; int8 when absent.")
    dequantise: Dequantise | None = Field(None, description="What the numbers of a raster mean.")
    nodata: str | None = Field(None, description="A number, `nan`, or `none` where every pixel has data.")
    normalise: bool = Field(False, description="Make vectors of any length of length 1.")
    resample: Resample = Field("nearest", description="How pixels of another grid become ours.")
    licence: str | None = Field(None, description="Licence and attribution, one line.")
    skip_unreadable: bool = Field(False, description="Make tiles without files that cannot be read.")
    overwrite: bool = Field(False, description="Write fields again that are there.")

    @field_validator("root")
    @classmethod
    def _folder(cls, value: Root) -> Root:
        return folder_of(value)

    @field_validator("name")
    @classmethod
    def _usable(cls, value: str | None) -> str | None:
        return None if value is None else checked_name(value)

    @field_validator("periods")
    @classmethod
    def _readable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(period) for period in Period.parse_all(value))

    @field_validator("nodata")
    @classmethod
    def _number(cls, value: str | None) -> str | None:
        try:
            float("nan" if value is None or value.lower() == "none" else value)
        except ValueError as error:
            raise InvalidInput(f"--nodata {value!r} is neither a number nor nan nor none") from error
        return value

    @model_validator(mode="after")
    def _fits(self) -> ImportRequest:
        if self.bbox is not None and self.aoi is not None:
            raise InvalidInput("the area was given twice: leave --bbox or --aoi out")
        told = {"--dequantise": self.dequantise, "--nodata": self.nodata, "--licence": self.licence}
        extra = [name for name, value in told.items() if value is not None] + (
            ["--normalise"] if self.normalise else []
        )
        if self.kind != "raster" and extra:
            raise InvalidInput(
                f"{', '.join(extra)} is for rasters; of {self.kind} it is known, so leave it out"
            )
        if self.kind != "aef" and self.base is not None:
            raise InvalidInput("--base says where the files of an index lie; only aef has one")
        return self

    @property
    def valid_periods(self) -> tuple[Period, ...]:
        """The periods, sorted and without doubles; empty where the files tell them."""
        return Period.parse_all(self.periods)

    @property
    def area(self) -> Geometry | None:
        """The area in degrees, if one was given; errors as in `earthfield.area`."""
        if self.bbox is not None:
            return area_from_bbox(self.bbox)
        return area_from_text(self.aoi) if self.aoi is not None else None

    @property
    def told_nodata(self) -> float | None:
        """What the user says means no data; None where every pixel has data, or nothing was said."""
        return None if self.nodata is None or self.nodata.lower() == "none" else float(self.nodata)


@dataclass(frozen=True, order=True)
class LeftOut:
    """A file that nothing was taken from."""

    file: str
    """What it is called where it was named."""
    why: str
    """The reason."""
    tile: str = ""
    """The tile that lacks it; empty where it was needed nowhere."""
    again: bool = False
    """Whether another run may succeed."""


@dataclass
class ImportReport:
    """What an import did."""

    model: str
    """Name that the fields are kept under."""
    kind: str
    """What was imported."""
    licence: str = ""
    """Licence and attribution; it stands in every field too."""
    fields: list[FieldReport] = field(default_factory=list)
    """One entry per tile and period."""
    rows: int = 0
    """Rows of the index."""
    broken_rows: int = 0
    """Rows of the index that could not be understood."""
    found: int = 0
    """Files that touch the tiles wanted."""
    used: int = 0
    """Files that vectors were taken from, now or by a run before."""
    left_out: list[LeftOut] = field(default_factory=list)
    """Files that nothing was taken from, each with the reason."""
    failed: list[LeftOut] = field(default_factory=list)
    """Files that could not be read, by tile; the tile was not written, or without it where that was asked for."""
    bytes: int = 0
    """Size of the fields' embeddings."""
    seconds: float = 0.0
    """Wall time."""

    @property
    def written(self) -> int:
        """Fields written by this run."""
        return sum(one.written for one in self.fields)

    @property
    def pixels(self) -> int:
        """Pixels with a vector."""
        return sum(one.pixels for one in self.fields)

    def check_complete(self, *, skipped: bool = False) -> None:
        """Makes sure that no tile waits for a file.

        Args:
            skipped: whether the user wanted tiles without files that cannot be read.

        Raises:
            Unavailable: a server did not answer.
            BrokenArtefact: a file is missing or damaged.
        """
        waiting = [one for one in self.failed if one.again or not skipped]
        if not waiting:
            return
        tiles = len({one.tile for one in waiting})
        text = f"{tiles} tiles wait for {len({one.file for one in waiting})} files, first: {waiting[0].why}"
        if any(one.again for one in waiting):
            raise Unavailable(text)
        raise BrokenArtefact(f"{text}; fetch it, or leave such files out with --skip-unreadable")
