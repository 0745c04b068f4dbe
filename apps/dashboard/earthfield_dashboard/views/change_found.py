"""What was found to have changed: figures, patches in order of size, how sure that is, files."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import shapely
import streamlit as st

from earthfield.client import Place
from earthfield_dashboard.views.downloads import offer_files
from earthfield_dashboard.words import degrees, hectares

_CHOSEN = "change-patch"
"""Where the session keeps the number of the patch that is looked at."""
_LEAST_FAR = 0.1
_FILES = {
    "_false_alarm.tif": "How likely a false alarm is, each pixel",
    ".tif": "Distance of the periods, each pixel",
    ".geojson": "All patches",
    ".png": "Both periods and the change",
}


@dataclass(frozen=True)
class Patch:
    """Connected land that changed."""

    number: int
    """1 for the largest."""
    hectares: float
    """Its size."""
    distance: float
    """Mean of 1 - cosine."""
    false_alarm: float | None
    """Geometric mean of its pixels' false-alarm probabilities; None where not calibrated."""
    place: Place
    """A point inside, longitude and latitude."""
    bounds: tuple[float, float, float, float]
    """West, south, east, north, degrees."""
    outline: Mapping[str, Any]
    """GeoJSON geometry."""


@dataclass(frozen=True)
class Found:
    """An answer to *Change*."""

    answer: Mapping[str, Any]
    """What the search service told."""
    question: Mapping[str, Any]
    """What was asked beside model and periods."""

    @cached_property
    def patches(self) -> list[Patch]:
        """The largest patches, largest first."""
        return [_patch(one) for one in self.answer["features"]]

    @property
    def farthest(self) -> float:
        """1 - cosine that has the brightest colour: the largest of the patches, or what is far from usual here."""
        found = [one["properties"]["max_distance"] for one in self.answer["features"]]
        return round(min(1.0, max([_LEAST_FAR, 3 * self.answer["median"], *found])), 2)

    @property
    def rasters(self) -> list[dict[str, str]]:
        """Links to the distances, one GeoTIFF for each group of touching tiles."""
        return [
            one
            for one in self.answer["links"]
            if one["title"].endswith(".tif") and not one["title"].endswith("_false_alarm.tif")
        ]

    @property
    def chosen(self) -> Patch | None:
        """The patch that is looked at."""
        number = st.session_state.get(_CHOSEN)
        return next((one for one in self.patches if one.number == number), None)

    def patch_at(self, place: Place) -> Patch | None:
        """Gives the patch that holds a place."""
        point = shapely.Point(place)
        return next(
            (one for one in self.patches if shapely.geometry.shape(dict(one.outline)).contains(point)), None
        )


def look_at(patch: Patch | None) -> None:
    """Has the next drawing of the page look at a patch, or at all land."""
    st.session_state[_CHOSEN] = patch.number if patch else None
    # A widget takes what stands under its key when it is drawn first: this one is drawn anew.
    st.session_state["change-turn"] = st.session_state.get("change-turn", 0) + 1


def show_figures(found: Found) -> None:
    """Shows how much changed, in one sentence."""
    answer = found.answer
    share = f"{answer['share']:.1%} of the {hectares(answer['hectares'])} that could be judged"
    if not answer["num_patches"]:
        st.success(
            f"Nothing stands out on {hectares(answer['hectares'])}. Accept more false alarms, or smaller patches, "
            "to see what comes next.", icon=":material/check:",
        )  # fmt: skip
        return
    num = answer["num_patches"]
    text = f"**{hectares(answer['changed_hectares'])}** in {num:,} patch{'es' if num != 1 else ''}: {share}."
    if answer["false_hectares"] is not None:
        text += (
            f" If nothing at all had changed, this rate would still show up to "
            f"{hectares(answer['false_hectares'])} (single pixels, before small patches are left out)."
        )
    st.info(text, icon=":material/compare:")


def show_patches(found: Found) -> None:
    """Shows the patches, largest first; choosing one moves the map."""
    if not found.patches:
        return
    st.subheader("Patches, largest first")
    turn = st.session_state.get("change-turn", 0)
    numbers = [None, *(one.number for one in found.patches)]
    by_number = {one.number: one for one in found.patches}
    at = numbers.index(found.chosen.number) if found.chosen else 0
    chosen = st.selectbox(
        "Look at", numbers, index=at, key=f"change-look-{turn}",
        format_func=lambda one: "All land" if one is None else _title(by_number[one]),
    )  # fmt: skip
    picked = _table(found, turn)
    wanted = by_number[chosen] if chosen is not None else None
    if wanted != found.chosen:
        look_at(wanted)
        st.rerun()
    if picked and picked != found.chosen:
        look_at(picked)
        st.rerun()
    if len(found.patches) < found.answer["num_patches"]:
        st.caption(
            f"These are the largest {len(found.patches):,}; the GeoJSON below holds all "
            f"{found.answer['num_patches']:,}."
        )


def _title(patch: Patch) -> str:
    return f"Patch {patch.number}, {hectares(patch.hectares)}, {degrees(*patch.place)}"


def _table(found: Found, turn: int) -> Patch | None:
    """Shows the table; gives the patch of the row that was chosen in it."""
    rows = _rows(found.patches)
    calibrated = found.patches[0].false_alarm is not None
    event: Any = st.dataframe(
        rows, hide_index=True, width="stretch", height=min(38 + 35 * len(rows), 360), key=f"change-table-{turn}",
        on_select="rerun", selection_mode="single-row", alt="Patches of change, the largest first",
        column_order=None if calibrated else ("patch", "size, ha", "distance", "latitude, longitude"),
        column_config={
            "patch": st.column_config.NumberColumn("Patch", width="small"),
            "size, ha": st.column_config.NumberColumn("Size", format="%.2f ha"),
            "distance": st.column_config.NumberColumn(
                "Distance", format="%.3f", help="Mean of 1 - cosine: 0 is the same, 1 has nothing in common."
            ),
            "false alarm": st.column_config.TextColumn(
                "By chance", help="How often unchanged land looks so; geometric mean of the pixels."
            ),
            "latitude, longitude": st.column_config.TextColumn("Centre"),
        },
    )  # fmt: skip
    taken = event.selection.rows
    return found.patches[taken[0]] if taken else None


def _rows(patches: Sequence[Patch]) -> list[dict[str, Any]]:
    return [
        {
            "patch": one.number,
            "size, ha": one.hectares,
            "distance": one.distance,
            "false alarm": f"1 in {1 / one.false_alarm:,.0f}" if one.false_alarm else "",
            "latitude, longitude": degrees(*one.place),
        }
        for one in patches
    ]


def show_sure(found: Found) -> None:
    """Shows what must be kept in mind, and how the false alarms were calibrated."""
    answer = found.answer
    with st.expander("How sure is this?"):
        st.markdown(answer["caution"])
        if answer["unjudged_pixels"]:
            st.markdown(
                f"- {hectares(answer['unjudged_pixels'] / 100)} could not be judged: how noisy they are is "
                "unknown. They are in no patch."
            )
        if answer["left_out"]:
            st.markdown(f"- Only one of the periods has these tiles: {', '.join(answer['left_out'])}.")
        for one in answer["calibrations"]:
            st.markdown(_calibration(one))
        if answer["threshold"] is not None:
            st.markdown(f"- Land is outlined from a distance of {answer['threshold']:.3f} on.")
        st.markdown(f"- The usual distance between the two periods is {answer['median']:.3f} (median).")


def _calibration(one: Mapping[str, Any]) -> str:
    tiles = ", ".join(one["tiles"])
    return (
        f"- Calibrated on {one['fitted_on']:,} pixels of {tiles}. Leaving the season out brought the usual "
        f"distance down by {one['season_removed']:.3f}. Unchanged land is expected to move by {one['gain']:.2f} "
        f"times its own noise plus {one['floor']:.3f}; how far single pixels stray from that follows an F "
        f"distribution with {one['dof_above']:.0f} and {one['dof_below']:.0f} degrees of freedom."
    )


def show_files(found: Found) -> None:
    """Offers everything as files."""
    st.subheader("Download")
    if found.patches:
        st.download_button(
            "Table of patches (CSV)", _csv(found.patches), file_name="patches.csv", mime="text/csv",
            icon=":material/download:", on_click="ignore",
        )  # fmt: skip
    offer_files(found.answer["links"], name="change", words=_file_words)


def _file_words(title: str) -> str:
    return next(words for ending, words in _FILES.items() if title.endswith(ending))


def _csv(patches: Sequence[Patch]) -> str:
    text = io.StringIO()
    names = ["patch", "hectares", "mean_distance", "false_alarm", "lon", "lat"]
    table = csv.writer(text, lineterminator="\n")
    table.writerow(names)
    for one in patches:
        table.writerow([one.number, one.hectares, one.distance, one.false_alarm, *one.place])
    return text.getvalue()


def _patch(feature: Mapping[str, Any]) -> Patch:
    told, shape = feature["properties"], shapely.geometry.shape(feature["geometry"])
    inside = shape.representative_point()
    return Patch(
        told["patch"], told["hectares"], told["mean_distance"], told.get("false_alarm"),
        (round(inside.x, 7), round(inside.y, 7)), shape.bounds, feature["geometry"],
    )  # fmt: skip
