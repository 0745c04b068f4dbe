"""The panels below the map: the places most alike, ranked, and what is known about the place itself."""

from __future__ import annotations

import json
from typing import Any

import streamlit as st


def show_similar(found: dict[str, Any]) -> None:
    """Shows the ranked list of similar places.

    Args:
        found: GeoJSON of the search service, best first.
    """
    hits, query = found["features"], found["query"]
    if not hits:
        st.info("No other place keeps this distance. Choose a smaller one under *At least apart*.")
        return
    st.subheader(f"{len(hits)} places most like {_degrees(query['lon'], query['lat'])}")
    rows = [
        {
            "rank": hit["properties"]["rank"],
            "similarity": hit["properties"]["score"],
            "best pixel": hit["properties"]["pixel_score"],
            "uniformity": hit["properties"]["purity"],
            "distance": hit["properties"]["distance_m"],
            "place": _degrees(*hit["geometry"]["coordinates"]),
        }
        for hit in hits
    ]
    low = min(0.0, *(row["similarity"] for row in rows))
    st.dataframe(
        rows, hide_index=True, width="stretch", height=min(38 + 35 * len(rows), 460),
        column_config={
            "rank": st.column_config.NumberColumn("Rank", width="small"),
            "similarity": st.column_config.ProgressColumn(
                "Similarity", min_value=low, max_value=1.0, format="%.4f", help="Cosine of the cell, 1 is the same."
            ),
            "best pixel": st.column_config.NumberColumn("Best pixel", format="%.4f", help="Cosine of it."),
            "uniformity": st.column_config.NumberColumn(
                "Uniformity", format="%.2f", help="How much its pixels agree, 0 to 1."
            ),
            "distance": st.column_config.NumberColumn("Distance", format="%.0f m"),
            "place": st.column_config.TextColumn("Latitude, longitude"),
        },
    )  # fmt: skip
    st.download_button(
        "Download as GeoJSON", json.dumps(found), file_name="similar-places.geojson", mime="application/geo+json",
        icon=":material/download:",
    )  # fmt: skip


def show_pixel(told: dict[str, Any]) -> None:
    """Shows what the map knows about one place.

    Args:
        told: the answer of the search service's /embeddings.
    """
    st.subheader(f"{_degrees(told['lon'], told['lat'])}, {told['period']}")
    if not told["is_pixel"]:
        st.info("This pixel was never seen clearly; its numbers are the mean of its surroundings.")
    clear = {name.removeprefix("clear_"): count for name, count in told["quality"].items()}
    for at, (source, frames) in zip(
        st.columns(max(len(told["scenes"]), 1)), told["scenes"].items(), strict=True
    ):
        at.metric(
            source,
            f"{clear.get(source) or 0} of {len(frames)}",
            help="Steps that show this pixel, of all in the tile.",
        )
    st.caption(f"5-day steps that show this pixel clearly, of those in tile {told['tile']}, by source.")
    scenes = [
        {
            "acquired": frame["acquired"][:16].replace("T", " "),
            "source": source,
            "scenes": ", ".join(frame["items"]),
        }
        for source, frames in told["scenes"].items()
        for frame in frames
    ]
    with st.expander(f"The {len(scenes)} observations behind it"):
        st.dataframe(
            sorted(scenes, key=lambda one: one["acquired"]), hide_index=True, width="stretch",
            column_config={"acquired": "Acquired, UTC", "source": "Source", "scenes": "STAC items"},
        )  # fmt: skip
    with st.expander("The 64 numbers of the embedding"):
        st.bar_chart(
            {"axis": [f"A{at:02d}" for at in range(len(told["embedding"]))], "value": told["embedding"]},
            x="axis", y="value", x_label="", y_label="", color="#0b6b50", height=240,
        )  # fmt: skip
        st.code(", ".join(f"{value:.4f}" for value in told["embedding"]), language=None, wrap_lines=True)


def _degrees(lon: float, lat: float) -> str:
    return f"{abs(lat):.5f}° {'N' if lat >= 0 else 'S'}, {abs(lon):.5f}° {'E' if lon >= 0 else 'W'}"
