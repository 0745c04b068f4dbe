"""AgERA5: daily weather for agriculture from the ERA5 reanalysis, on its own grid of 0.1 degrees.

A cube holds one value for each 5-day step: the mean of the days that the files hold of it. Precipitation and
radiation are rates per day, so their mean times five is the step's sum; the minimum and maximum temperatures are
the means of the daily extremes. How many days a step has stands in the cube (`days`). A day is the product's own,
in local time.

Units: temperatures K; precipitation mm a day; solar radiation MJ per m2 and day; vapour pressure hPa; wind m/s at
10 m.
"""

from __future__ import annotations

from earthfield.sources import Band, Lattice, Source
from earthfield_ingest.packing import NODATA, packed

_FILES = ("data", "netcdf", "nc", "zarr")
"""Asset keys of files that hold several variables, or whose name says nothing."""


def _band(name: str, variables: tuple[str, ...], unit: str, scale: float, offset: float = 0.0) -> Band:
    return Band(
        name, 11_132.0, (*_FILES, *variables), scale=scale, offset=offset, unit=unit, transform="linear",
        variables=variables,
    )  # fmt: skip


def _kelvin(name: str, *variables: str) -> Band:
    return _band(name, variables, "K", 0.01, 273.15)


SOURCE = Source(
    name="agera5",
    title="AgERA5 daily weather",
    bands=(
        _kelvin("temperature_mean", "Temperature_Air_2m_Mean_24h", "temperature_mean", "temperature-mean"),
        _kelvin("temperature_min", "Temperature_Air_2m_Min_24h", "temperature_min", "temperature-min"),
        _kelvin("temperature_max", "Temperature_Air_2m_Max_24h", "temperature_max", "temperature-max"),
        _kelvin("dewpoint", "Dew_Point_Temperature_2m_Mean", "Dew_Point_Temperature_2m_Mean_24h",
                "dewpoint_temperature", "dewpoint-temperature"),
        _band("precipitation", ("Precipitation_Flux", "precipitation-flux"), "mm d-1", 0.02),
        _band("solar_radiation", ("Solar_Radiation_Flux", "solar-radiation-flux"), "MJ m-2 d-1", 0.002),
        _band("vapour_pressure", ("Vapour_Pressure_Mean", "Vapour_Pressure_Mean_24h", "vapour_pressure",
                                  "vapour-pressure"), "hPa", 0.01),
        _band("wind_speed", ("Wind_Speed_10m_Mean", "Wind_Speed_10m_Mean_24h", "wind_speed", "wind-speed"),
              "m s-1", 0.01),
    ),
    dtype="int16",
    nodata=NODATA,
    collections=("agera5", "agera5_daily", "sis-agrometeorological-indicators"),
    to_stored=packed,
    keeps=("days",),
    lattice=Lattice("EPSG:4326", 0.1, (-0.05, -0.05)),
    cadence="interval",
    layout="series",
    pace="day",
    roles=frozenset({"target"}),
    # Beyond the paper: much of five days' weather says nothing of the land.
    loss_weight=0.5,
    regrid_m=1280.0,
)  # fmt: skip
