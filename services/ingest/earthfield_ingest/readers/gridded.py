"""Gridded files: NetCDF and Zarr opened safely, their axes named, their cells laid onto a lattice."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError
from shapely.geometry.base import BaseGeometry

from earthfield.errors import BrokenArtefact, EarthfieldError
from earthfield.sources import Lattice, Pace
from earthfield.timeline import Period
from earthfield_ingest.fetch import Fetcher
from earthfield_ingest.readers.hdf5 import HDF5_MAGIC, check_closed, is_hdf5
from earthfield_ingest.readers.units import conversion

if TYPE_CHECKING:
    import xarray

_X, _Y = ("longitude", "lon", "x"), ("latitude", "lat", "y")
_CLASSIC_LIMIT = 1 << 30
"""Bytes of a classic NetCDF file, which is read whole, that are still read."""
_FIT = 0.02
"""Share of a cell by which a file's centres may miss the lattice's: what single precision costs, and no more."""


@dataclass(frozen=True)
class Instant:
    """One time of a series."""

    at: datetime
    """As the file's axis has it, UTC."""
    stands_for: Period
    """The time that it summarises: its bounds where the file tells them, else its day or month."""


@contextmanager
def opened(address: str, fetcher: Fetcher) -> Iterator[Gridded]:
    """Opens a gridded file: NetCDF 4, classic NetCDF, or a Zarr store.

    Nothing is loaded but coordinates. Files that lead to other files are not followed.

    Raises:
        BrokenArtefact: it is missing, cannot be decoded, or may not be read.
        Unavailable: the network fails.
    """
    with telling(address), ExitStack() as stack:
        data = _zarr(address, fetcher, stack) if is_zarr(address) else _netcdf(address, fetcher, stack)
        yield Gridded(data, address)


def is_zarr(address: str) -> bool:
    """Tells whether an address is that of a Zarr store."""
    return urlsplit(address).path.rstrip("/").endswith(".zarr")


@contextmanager
def telling(address: str) -> Iterator[None]:
    """Turns what libraries say of a file into one error that names it."""
    try:
        yield
    except (OSError, ValueError, LookupError, RuntimeError, TypeError, OverflowError, zlib.error) as error:
        known: BaseException | None = error
        while known is not None and not isinstance(known, EarthfieldError):
            known = known.__cause__ or known.__context__
        if known is not None:
            raise known from error.__cause__
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise BrokenArtefact(f"{address} cannot be read ({reason})") from error


def _netcdf(address: str, fetcher: Fetcher, stack: ExitStack) -> xarray.Dataset:
    file = stack.enter_context(fetcher.file(address))
    start = file.read(len(HDF5_MAGIC))
    file.seek(0)
    if is_hdf5(start):
        check_closed(file, address)
        return stack.enter_context(_dataset(file, engine="h5netcdf"))
    if not start.startswith(b"CDF"):
        raise BrokenArtefact(f"{address} is neither NetCDF nor HDF5: fetch it again, or name another file")
    size = file.seek(0, 2)
    file.seek(0)
    if size > _CLASSIC_LIMIT:
        raise BrokenArtefact(
            f"{address} is a classic NetCDF file of {size / 1e9:.1f} GB, which can only be read whole: turn it "
            "into NetCDF-4 (nccopy -k nc4) or Zarr"
        )
    return stack.enter_context(_dataset(file, engine="scipy"))


def _zarr(address: str, fetcher: Fetcher, stack: ExitStack) -> xarray.Dataset:
    from earthfield_ingest.readers.zarrstore import opened_store

    store, options = opened_store(address, fetcher)
    return stack.enter_context(_dataset(store, **options))


def _dataset(place: Any, **options: Any) -> xarray.Dataset:
    import xarray

    times = xarray.coders.CFDatetimeCoder(use_cftime=False)
    return xarray.open_dataset(place, decode_times=times, decode_timedelta=False, **options)


class Gridded:
    """An open gridded file."""

    def __init__(self, data: xarray.Dataset, address: str) -> None:
        """Args: the data set, times decoded; its address, for messages."""
        self._data, self.address = data, address

    @property
    def variables(self) -> frozenset[str]:
        """Names of what it holds."""
        return frozenset(str(name) for name in self._data.data_vars)

    def named(self, names: Iterable[str]) -> str | None:
        """Gives the first of `names` that is a variable here, whatever its case; None where there is none."""
        held = {name.lower(): name for name in sorted(self.variables)}
        return next((held[name.lower()] for name in names if name.lower() in held), None)

    def instants(self, pace: Pace) -> list[Instant]:
        """Gives every time, in the order of the axis.

        Raises:
            BrokenArtefact: there is no time axis, or its times are not as far apart as `pace` says.
        """
        moments, bounds = self._moments, self._bounds()
        spans = bounds or [_day(at) if pace == "day" else _month(at) for at in moments]
        if len({span.start for span in spans}) < len(moments):
            raise BrokenArtefact(
                f"{self.address} holds several times of one {pace}, and its source is one value a {pace}: "
                f"make {'daily' if pace == 'day' else 'monthly'} means of it first"
            )
        if pace == "month" and len(moments) > 1:
            apart = float(np.median(np.diff(np.sort([at.timestamp() for at in moments])))) / 86400
            if apart < 20:
                raise BrokenArtefact(
                    f"{self.address} has times {apart:.1f} days apart, and months are wanted"
                )
        return [Instant(at, span) for at, span in zip(moments, spans, strict=True)]

    def footprint(self, lattice: Lattice) -> BaseGeometry:
        """Gives where its cells lie, degrees, cut at the antimeridian.

        Raises:
            BrokenArtefact: the cells do not fit the lattice.
        """
        rows, cols = self._rows(lattice), self._cols(lattice)
        (x, y), side = lattice.origin, lattice.pixel
        south, north = (y + side * rows.min(), y + side * (rows.max() + 1))
        south, north = max(-90.0, south), min(90.0, north)
        if len(cols) * side > 359.0:
            return shapely.box(-180.0, south, 180.0, north)
        west = (x + side * _first_of(cols, side) + 180.0) % 360.0 - 180.0
        east = west + side * len(cols)
        if east <= 180.0:
            return shapely.box(west, south, east, north)
        return shapely.union_all(
            [shapely.box(west, south, 180.0, north), shapely.box(-180.0, south, east - 360.0, north)]
        )

    def cells(
        self,
        name: str,
        at: list[datetime],
        lattice: Lattice,
        rows: NDArray[Any],
        cols: NDArray[Any],
        unit: str,
    ) -> NDArray[np.float64]:
        """Gives (time, row, column) of a variable in a unit, for numbers of the lattice's rows and columns.

        Cells that the file does not hold, or holds as missing, are NaN.

        Args:
            name: the variable.
            at: times of its axis.
            lattice: the grid on which it is wanted.
            rows: numbers of rows, counted northward from the lattice's origin.
            cols: numbers of columns, counted eastward from it.
            unit: unit wanted.

        Raises:
            BrokenArtefact: its cells do not fit the lattice, or its unit cannot be turned into the one wanted.
        """
        ys, xs = _places(self._rows(lattice), rows, 0), _places(self._cols(lattice), cols, _turn(lattice))
        variable = self._field(name)
        found = np.full((len(at), len(rows), len(cols)), np.nan)
        if (ys < 0).all() or (xs < 0).all():
            return found
        told = str(self._data[name].attrs.get("units", ""))
        turned = conversion(told, unit)
        if turned is None:
            raise BrokenArtefact(
                f"{self.address}: {name} is in {told or 'no unit'!r}, and {unit!r} is wanted"
            )
        factor, offset = turned
        in_y, in_x = np.flatnonzero(ys >= 0), np.flatnonzero(xs >= 0)
        box = {"y": slice(ys[in_y].min(), ys[in_y].max() + 1), "x": slice(xs[in_x].min(), xs[in_x].max() + 1)}
        block = variable.isel({"time": [self._moments.index(one) for one in at], **box}).values
        ys, xs = ys[in_y] - box["y"].start, xs[in_x] - box["x"].start
        found[np.ix_(np.arange(len(at)), in_y, in_x)] = (
            block[:, ys][:, :, xs].astype(np.float64) * factor + offset
        )
        return found

    def _field(self, name: str) -> xarray.DataArray:
        """A variable with the dimensions time, y, x and no other."""
        variable = self._data[name]
        names = {"time": self._time_axis().name, "y": self._axis(_Y).name, "x": self._axis(_X).name}
        others = [dim for dim in variable.dims if dim not in names.values()]
        if any(variable.sizes[dim] > 1 for dim in others):
            raise BrokenArtefact(
                f"{self.address}: {name} also varies along {others[0]}: choose one of them first"
            )
        variable = variable.squeeze(others, drop=True) if others else variable
        missing = [dim for dim in names.values() if dim not in variable.dims]
        variable = variable.expand_dims(missing) if missing else variable
        return variable.rename({old: new for new, old in names.items()}).transpose("time", "y", "x")

    def _time_axis(self) -> xarray.DataArray:
        """The axis of times, or the one time that stands for the whole file."""
        times = [name for name, one in self._data.variables.items() if one.dtype.kind == "M"]
        axes = [name for name in times if self._data.variables[name].dims == (name,)]
        axes += [name for name in times if self._data.variables[name].dims == ()]
        if not axes:
            raise BrokenArtefact(f"{self.address} has no time axis (a coordinate in `days since ...`)")
        return self._data[axes[0]]

    @cached_property
    def _moments(self) -> list[datetime]:
        """Times of the axis, in its order."""
        return [_moment(value) for value in np.atleast_1d(self._time_axis().values)]

    def _bounds(self) -> list[Period] | None:
        axis, count = self._time_axis(), len(self._moments)
        name = axis.attrs.get("bounds") or axis.encoding.get("bounds")
        if name not in self._data.variables or self._data[name].shape != (count, 2):
            return None
        edges = self._data[name].values
        if edges.dtype.kind != "M":
            return None
        return [Period(_moment(start), _moment(end)) for start, end in edges]

    def _axis(self, names: tuple[str, ...]) -> xarray.DataArray:
        held = {str(name).lower(): name for name in self._data.variables}
        found = next((held[name] for name in names if name in held), None)
        if found is None:
            raise BrokenArtefact(f"{self.address} has no coordinate {' or '.join(names)}")
        axis = self._data[found]
        if axis.ndim > 1 or axis.size == 0 or not np.isfinite(axis.values.astype(float)).all():
            raise BrokenArtefact(f"{self.address}: the coordinate {found} is not a list of numbers")
        return axis

    def _rows(self, lattice: Lattice) -> NDArray[np.int64]:
        if self._is_point():
            return np.array([math.floor((self._point(lattice)[1] - lattice.origin[1]) / lattice.pixel)])
        return self._numbers(self._axis(_Y), lattice.origin[1], lattice.pixel, turn=0)

    def _cols(self, lattice: Lattice) -> NDArray[np.int64]:
        if self._is_point():
            return np.array([math.floor((self._point(lattice)[0] - lattice.origin[0]) / lattice.pixel)])
        return self._numbers(self._axis(_X), lattice.origin[0], lattice.pixel, turn=_turn(lattice))

    def _numbers(self, axis: xarray.DataArray, origin: float, side: float, *, turn: int) -> NDArray[np.int64]:
        """Numbers of the lattice's rows or columns that an axis's centres are."""
        if not self._crs().is_geographic:
            raise BrokenArtefact(
                f"{self.address} has cells in {self._crs().name}, not in longitude and latitude"
            )
        places = (np.atleast_1d(axis.values).astype(np.float64) - origin) / side - 0.5
        numbers = np.rint(places).astype(np.int64)
        steps = np.diff(numbers)
        if turn:
            steps = (steps + turn // 2) % turn - turn // 2
        if np.abs(places - numbers).max() > _FIT or not ((steps == 1).all() or (steps == -1).all()):
            values = np.atleast_1d(axis.values)
            raise BrokenArtefact(
                f"{self.address}: the {axis.name}s {values[0]:g}, {values[min(1, len(values) - 1)]:g}, ... are not "
                f"the centres of neighbouring cells of the source's {side:g} degree grid"
            )
        return numbers

    def _is_point(self) -> bool:
        return bool(self._axis(_X).size == 1 and self._axis(_Y).size == 1)

    def _point(self, lattice: Lattice) -> tuple[float, float]:
        """Where a file of one cell lies: it stands for the cell of the lattice that holds its centre."""
        x, y = float(self._axis(_X).values.item()), float(self._axis(_Y).values.item())
        to_lattice = Transformer.from_crs(self._crs(), CRS.from_user_input(lattice.crs), always_xy=True)
        x, y = to_lattice.transform(x, y)
        if not (math.isfinite(x) and math.isfinite(y)):
            raise BrokenArtefact(f"{self.address}: its cell lies nowhere on Earth")
        return x, y

    def _crs(self) -> CRS:
        """The file's own coordinate system: of its grid mapping, of its attribute `epsg`, else degrees."""
        told: list[Any] = [self._data.attrs.get("epsg"), self._data.attrs.get("crs")]
        for variable in self._data.variables.values():
            if "grid_mapping_name" in variable.attrs or "crs_wkt" in variable.attrs:
                told.insert(0, variable.attrs.get("crs_wkt") or variable.attrs.get("spatial_ref"))
        for text in filter(None, told):
            try:
                return CRS.from_user_input(int(text) if str(text).isdigit() else text)
            except CRSError as error:
                raise BrokenArtefact(f"{self.address}: its coordinate system {text!r} is unknown") from error
        return CRS.from_epsg(4326)


def _places(held: NDArray[np.int64], wanted: NDArray[np.int64], turn: int) -> NDArray[np.int64]:
    """Where each wanted number stands among the held ones, -1 where it is not there; modulo `turn` unless 0."""
    index = {int(number % turn if turn else number): place for place, number in enumerate(held)}
    return np.array([index.get(int(number % turn if turn else number), -1) for number in wanted], np.int64)


def _turn(lattice: Lattice) -> int:
    return round(360.0 / lattice.pixel)


def _first_of(cols: NDArray[np.int64], side: float) -> int:
    """The western end of a run of columns, in whichever direction it is written."""
    turn = round(360.0 / side)
    ascending = len(cols) < 2 or (int(cols[1]) - int(cols[0])) % turn == 1
    return int(cols[0] if ascending else cols[-1])


def _moment(value: Any) -> datetime:
    if np.isnat(value):
        raise BrokenArtefact("its time axis holds a time that is missing")
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
        microseconds=int(np.datetime64(value, "us").astype(np.int64))
    )


def _day(at: datetime) -> Period:
    start = at.replace(hour=0, minute=0, second=0, microsecond=0)
    return Period(start, start + timedelta(days=1))


def _month(at: datetime) -> Period:
    return Period.parse(f"{at:%Y-%m}")
