"""What is there already in an area, how large it is, and how long its map will take as far as earlier runs tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import shapely
import streamlit as st

from earthfield.area import area_from_bbox, area_from_text, tile_windows
from earthfield.errors import EarthfieldError
from earthfield_dashboard.layers import Layer
from earthfield_dashboard.runs import Run
from earthfield_dashboard.session import runs
from earthfield_dashboard.views.area_chosen import Chosen

_TILE_KM2 = 10.24**2
_COUNTED_KM2 = 20_000.0
"""Up to this size tiles are counted, beyond it they are estimated: counting takes some milliseconds each."""
_MANY_KM2 = 2_500.0


@dataclass(frozen=True)
class Pace:
    """How long an earlier run took."""

    km2: float
    """Of its area, for each period, km2."""
    seconds: float
    """Wall time."""

    def seconds_for(self, km2: float) -> float:
        """Gives how long another area takes; a smaller one takes as long, most of it is starting."""
        return self.seconds * max(1.0, km2 / self.km2)


def show_there(chosen: Chosen | None, found: Sequence[Layer], interval: Sequence[str] | None) -> None:
    """Tells which maps exist in an area, or of all, and for when there are scenes.

    Args:
        chosen: the area.
        found: maps that exist.
        interval: first and last day of the installation's catalogue.
    """
    rows: list[dict[str, Any]] = []
    for one in found:
        if (share := _share(one, chosen)) > 0:
            row = {"Period": one.period, "Model": one.model}
            rows.append(row | {"Of your area": share} if chosen else row)
    where = "in your area" if chosen else "so far"
    if interval:
        st.caption(f"The catalogue holds scenes from {interval[0][:10]} to {interval[1][:10]}.")
    if not rows:
        st.caption(f"No map {where}: this will be the first.")
        return
    with st.expander(f"{len(rows)} map{'s' if len(rows) != 1 else ''} {where}", expanded=chosen is not None):
        st.dataframe(
            rows, hide_index=True, width="stretch", height=min(38 + 35 * len(rows), 220),
            column_config={"Of your area": st.column_config.NumberColumn(format="percent")},
        )  # fmt: skip


def _share(layer: Layer, chosen: Chosen | None) -> float:
    """Gives how much of an area a map covers, 0 to 1."""
    if chosen is None:
        return 1.0
    area = chosen.geometry.geom
    covered = shapely.union_all([shapely.geometry.shape(dict(one)) for one in layer.outlines])
    return round(float(covered.intersection(area).area / area.area), 3)


def show_estimate(chosen: Chosen, periods: Sequence[str]) -> None:
    """Tells how large an area is, how many tiles, and how long its map will take."""
    km2 = chosen.km2
    tiles = _num_tiles(chosen)
    st.markdown(
        f"**{_sized(km2)}**, {km2 * 1e4:,.0f} pixels of 10 m in {tiles}"
        + (f", {len(periods)} periods" if len(periods) > 1 else "")
    )
    st.caption(_duration_told(km2 * max(1, len(periods))))
    if km2 > _MANY_KM2:
        st.warning("A large area: this may take many hours on one machine. Try a part of it first.")


def _num_tiles(chosen: Chosen) -> str:
    if chosen.km2 > _COUNTED_KM2:
        return f"about {chosen.km2 / _TILE_KM2:,.0f} tiles"
    num = _counted(shapely.to_wkb(chosen.geometry.geom), chosen)
    return f"{num} tile{'s' if num != 1 else ''}"


@st.cache_data(show_spinner=False, max_entries=16)
def _counted(_shape: bytes, _chosen: Chosen) -> int:
    return len(tile_windows(_chosen.geometry))


def _duration_told(km2: float) -> str:
    try:
        paces = paces_of(runs().recent(limit=30))
    except EarthfieldError:
        return "How long it takes cannot be told while Prefect, which runs the jobs, does not answer."
    if not paces:
        return "How long it takes is told here once a first map was made on this machine."
    pace = min(paces, key=lambda one: max(one.km2 / km2, km2 / one.km2))
    return (
        f"About {_minutes(pace.seconds_for(km2))}: a run of {_sized(pace.km2)} took {_minutes(pace.seconds)}."
    )


def paces_of(found: Sequence[Run]) -> list[Pace]:
    """Gives how long finished runs took; of those over the same land the slowest: the others found much done."""
    paces: dict[float, Pace] = {}
    for run in found:
        km2 = _asked_km2(run.request) if run.state == "COMPLETED" else 0.0
        if km2 and run.seconds > paces.get(km2, Pace(km2, 0.0)).seconds:
            paces[km2] = Pace(km2, run.seconds)
    return list(paces.values())


def _asked_km2(request: Mapping[str, Any]) -> float:
    """Gives what a run was asked for, km2 times periods; 0 where it does not say."""
    try:
        if box := request.get("bbox"):
            area = area_from_bbox(box)
        elif str(text := request.get("aoi") or "").lstrip().startswith("{"):
            area = area_from_text(text)
        else:
            return 0.0
    except EarthfieldError:
        return 0.0
    return float(area.to_crs("EPSG:6933").area) / 1e6 * max(1, len(request.get("periods") or ()))


def _sized(km2: float) -> str:
    return f"{km2:,.0f} km²" if km2 >= 100 else f"{km2:,.2f} km²"


def _minutes(seconds: float) -> str:
    if seconds < 90:
        return f"{round(seconds, -1) or 10:.0f} seconds"
    return f"{seconds / 60:,.0f} minutes" if seconds < 5400 else f"{seconds / 3600:,.1f} hours"
