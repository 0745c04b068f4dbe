"""ERA5-Land: the reanalysis of the land surface on its own grid of 0.1 degrees, monthly means and daily statistics.

`era5-land` holds monthly averages, one frame a month. Their accumulated quantities are per day: the product gives
metres of water and joules per square metre of a mean day, though its units do not say `per day`. Sums over a month,
as other distributors make them, are other variables and are not read. `era5-land-daily` holds daily means of
quantities that are not accumulated, each 5-day step as the mean of its days, which are counted (`days`).

Units: temperatures K; precipitation mm a day; surface pressure hPa; solar radiation MJ per m2 and day; soil
moisture of the uppermost 7 cm m3 per m3.

Source: ERA5-Land data documentation, ECMWF (monthly means: accumulations scaled to a day).
"""

from __future__ import annotations

from dataclasses import replace

from earthfield.sources import Band, Lattice, Source
from earthfield_ingest.packing import NODATA, packed

_FILES = ("data", "netcdf", "nc", "zarr")


def _band(name: str, variables: tuple[str, ...], unit: str, scale: float, offset: float = 0.0) -> Band:
    return Band(
        name, 11_132.0, (*_FILES, *variables), scale=scale, offset=offset, unit=unit, transform="linear",
        variables=variables,
    )  # fmt: skip


_STATES = (
    _band("temperature_2m", ("t2m", "2m_temperature", "temperature_2m"), "K", 0.01, 273.15),
    _band("dewpoint_2m", ("d2m", "2m_dewpoint_temperature", "dewpoint_temperature_2m"), "K", 0.01, 273.15),
    _band("pressure", ("sp", "surface_pressure"), "hPa", 0.1),
    _band("soil_moisture", ("swvl1", "volumetric_soil_water_layer_1"), "m3 m-3", 1e-4),
)
_SUMS = (
    _band("precipitation", ("tp", "total_precipitation"), "mm d-1", 0.02),
    _band("solar_radiation", ("ssrd", "surface_solar_radiation_downwards"), "MJ m-2 d-1", 0.002),
)

SOURCE = Source(
    name="era5-land",
    title="ERA5-Land monthly means",
    bands=(*_STATES, *_SUMS),
    dtype="int16",
    nodata=NODATA,
    collections=("era5-land", "reanalysis-era5-land-monthly-means", "era5-land-monthly"),
    to_stored=packed,
    keeps=("days",),
    lattice=Lattice("EPSG:4326", 0.1, (-0.05, -0.05)),
    cadence="interval",
    layout="series",
    pace="month",
    roles=frozenset({"target"}),
    regrid_m=1280.0,
)

DAILY = replace(
    SOURCE,
    name="era5-land-daily",
    title="ERA5-Land daily means",
    bands=_STATES,
    collections=("era5-land-daily", "derived-era5-land-daily-statistics"),
    pace="day",
    # Beyond the paper: much of five days' weather says nothing of the land.
    loss_weight=0.5,
)
