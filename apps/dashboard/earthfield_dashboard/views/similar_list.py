"""The ranked list of similar places: each with a picture; a row that is chosen is shown on the map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import streamlit as st

from earthfield.client import Place
from earthfield_dashboard.layers import Layer
from earthfield_dashboard.thumbnails import thumbnail_address
from earthfield_dashboard.views.chosen import chosen_row
from earthfield_dashboard.words import degrees

if TYPE_CHECKING:
    from earthfield_dashboard.views.similar_saved import Again

_ROW_PX = 68
_HEIGHT_PX = 520


def chosen_hit(found: Mapping[str, Any] | None, name: str) -> Place | None:
    """Gives the place whose row is chosen in the list `name`."""
    hits = found["features"] if found else []
    row = chosen_row(name, len(hits))
    if row is None:
        return None
    lon, lat = hits[row]["geometry"]["coordinates"]
    return lon, lat


def show_hits(
    layer: Layer, found: Mapping[str, Any], *, name: str, title: str, again: Again | None
) -> Place | None:
    """Shows the list; gives the place whose row is chosen.

    Args:
        layer: the map that pictures are cut from.
        found: GeoJSON of the search service, best first.
        name: of the list.
        title: what they are like.
        again: what is new since a saved search was asked before, if it is one.
    """
    hits = found["features"]
    if not hits:
        st.info(
            "No place passes. Choose a smaller distance under *At least apart*, a lower *Uniform at least*, or "
            "look everywhere again.", icon=":material/search_off:",
        )  # fmt: skip
        return None
    st.subheader(f"{len(hits)} place{'s' if len(hits) != 1 else ''} most like {title}")
    if again:
        st.markdown(again.words)
    query = found["query"]
    purity = (
        f" Your examples agree with one another to {query['purity']:.2f}." if query["examples"] > 1 else ""
    )
    st.caption(
        f"Best of {query['cells']:,} places of 80 m.{purity} **Choose a row** to see it on the map; sort by a "
        "column's name."
    )
    rows = _rows(layer, found, again)
    st.dataframe(
        rows, hide_index=True, width="stretch", height=min(40 + _ROW_PX * len(rows), _HEIGHT_PX),
        row_height=_ROW_PX, on_select="rerun", selection_mode=("single-row", "single-cell"), key=name,
        alt="Similar places, best first",
        column_config=_columns(rows),
    )  # fmt: skip
    return chosen_hit(found, name)


def _rows(layer: Layer, found: Mapping[str, Any], again: Again | None) -> list[dict[str, Any]]:
    hits = found["features"]
    has_periods = len(found["query"]["periods"]) > 1
    rows = []
    for hit in hits:
        own, place = hit["properties"], tuple(hit["geometry"]["coordinates"])
        row: dict[str, Any] = {"picture": thumbnail_address(layer, place)}
        row |= {"rank": own["rank"], "similarity": own["score"]}
        row |= {"new": own["cell"] in again.new} if again else {}
        row |= {"period": own["period"]} if has_periods else {}
        row |= {"best pixel": own["pixel_score"], "uniformity": own["purity"]}
        row |= {"distance": own["distance_m"]} if own["distance_m"] is not None else {}
        rows.append(row | {"place": degrees(*place)})
    return rows


def _columns(rows: list[dict[str, Any]]) -> dict[str, Any]:
    column = st.column_config
    low = min(0.0, *(row["similarity"] for row in rows))
    return {
        "picture": column.ImageColumn("Picture", width=84, help="The map around it, some 300 m wide."),
        "rank": column.NumberColumn("Rank", width=54),
        "similarity": column.ProgressColumn(
            "Similarity",
            min_value=low,
            max_value=1.0,
            format="%.3f",
            help="Cosine of the 80 m around it; 1 is the same.",
        ),
        "new": column.CheckboxColumn("New", width=54, help="It was not found when this was asked last."),
        "period": column.TextColumn("Period"),
        "best pixel": column.NumberColumn(
            "Best pixel", format="%.3f", help="Cosine of the 10 m that fit best."
        ),
        "uniformity": column.NumberColumn(
            "Uniformity", format="%.2f", help="How much its pixels agree, 0 to 1."
        ),
        "distance": column.NumberColumn("Distance", format="%.0f m", help="To the nearest example."),
        "place": column.TextColumn("Latitude, longitude"),
    }
