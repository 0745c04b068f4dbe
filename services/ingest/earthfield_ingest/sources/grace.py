"""GRACE and GRACE-FO: monthly anomalies of the water stored on land, JPL mascons on their grid of 0.5 degrees.

A frame is a solution; it stands for the days that the file's time bounds give, not for a calendar month. Anomalies
are centimetres of water against the product's own baseline. The grid is finer than what the satellites resolve
(3 degrees).

Source: JPL GRACE and GRACE-FO mascon ocean, ice and hydrology equivalent water height, RL06 (`lwe_thickness`).
"""

from __future__ import annotations

from earthfield.sources import Band, Lattice, Source
from earthfield_ingest.packing import NODATA, packed

_FILES = ("data", "netcdf", "nc", "zarr")


def _water(name: str, variable: str) -> Band:
    return Band(
        name, 55_660.0, (*_FILES, variable), scale=0.1, unit="cm", transform="linear", variables=(variable,)
    )


SOURCE = Source(
    name="grace",
    title="GRACE and GRACE-FO water storage anomaly",
    bands=(_water("water_storage", "lwe_thickness"), _water("uncertainty", "uncertainty")),
    dtype="int16",
    nodata=NODATA,
    collections=(
        "grace", "TELLUS_GRAC-GRFO_MASCON_CRI_GRID_RL06.1_V3", "TELLUS_GRAC-GRFO_MASCON_CRI_GRID_RL06.3_V4",
        "TELLUS_GRAC-GRFO_MASCON_GRID_RL06.1_V3", "TELLUS_GRAC-GRFO_MASCON_GRID_RL06.3_V4",
    ),
    to_stored=packed,
    keeps=("days",),
    lattice=Lattice("EPSG:4326", 0.5),
    cadence="interval",
    layout="series",
    pace="month",
    roles=frozenset({"target"}),
    loss_weight=0.5,
    regrid_m=1280.0,
)  # fmt: skip
