"""The form that adds a schedule."""

from __future__ import annotations

from typing import Any

import streamlit as st

from earthfield.errors import EarthfieldError
from earthfield_dashboard.session import search, settings, told
from earthfield_dashboard.views.schedule_words import KINDS, TIMES

_OWN = "own"
_ALL, _BOX, _TEXT = "All that the catalogue covers", "A box", "GeoJSON or WKT"


def show_form() -> None:
    """Shows the form; what it adds is listed above it at once."""
    with st.expander("Add a schedule", icon=":material/add:", expanded=st.session_state.get("adding", False)):
        name = st.text_input("Name", key="add-name", placeholder="polder", max_chars=64)
        catalog = st.text_input(
            "Catalogue of scenes", value=settings().catalog, key="add-catalog",
            placeholder="earth-search, or /data/landscape, or https://example.org/stac/v1",
            help="A provider's name, the folder of a static STAC catalogue, or the address of a STAC API.",
        )  # fmt: skip
        area = _area()
        kinds = st.pills(
            "Periods that roll on", list(KINDS), selection_mode="multi", default=["year"], key="add-kinds",
            format_func=lambda one: KINDS[one].capitalize(),
        )  # fmt: skip
        since = st.text_input(
            "The first period (may stay empty)", key="add-since", placeholder="2024 or 2025-03",
            help="Periods before it are never made.",
        )  # fmt: skip
        late_days = st.number_input(
            "Days that scenes may come late", value=30, min_value=0, max_value=3660, key="add-late",
            help="For how many days after its end a period is still looked at.",
        )  # fmt: skip
        cron = _times()
        model = st.selectbox("Model", _models(), key="add-model")
        quality = st.toggle(
            "Make the quality layer too", value=True, key="add-agreement",
            help="Tells for each pixel how well two halves of its scenes agree; takes twice the time.",
        )  # fmt: skip
        content = {
            "catalog": catalog.strip(), "area": area, "period_of": kinds, "since": since.strip() or None,
            "late_days": late_days, "cron": cron, "model": model, "agreement": quality,
        }  # fmt: skip
        if st.button("Add the schedule", type="primary", icon=":material/add:", key="add-it"):
            _add(name.strip(), content)


def _area() -> Any:
    """Asks for the area; None for all, and a text or four numbers otherwise."""
    how = st.segmented_control("Area", [_ALL, _BOX, _TEXT], default=_ALL, key="add-area")
    if how == _BOX:
        st.caption("Degrees: longitude from -180 to 180, latitude from -90 to 90.")
        with st.container(horizontal=True):
            return [
                st.number_input(side, key=f"add-{side}", value=None, format="%.5f", width=140)
                for side in ("West", "South", "East", "North")
            ]
    if how == _TEXT:
        return st.text_area("GeoJSON or WKT, degrees", key="add-text", height=120)
    return None


def _times() -> str:
    chosen = st.selectbox(
        "How often", [*TIMES, _OWN], key="add-times",
        format_func=lambda one: "my own cron expression" if one == _OWN else f"{TIMES[one]}, 03:00 UTC",
    )  # fmt: skip
    if chosen != _OWN:
        return str(chosen)
    return st.text_input(
        "Cron, UTC", key="add-cron", placeholder="0 3 */5 * *", help="minute hour day month weekday"
    ).strip()


def _models() -> list[str]:
    try:
        return list(dict.fromkeys(["starter", *(one["name"] for one in search().models())]))
    except EarthfieldError:
        return ["starter"]


def _missing(name: str, content: dict[str, Any]) -> list[str]:
    area = content["area"]
    return [
        what
        for what, is_there in (
            ("a name", name),
            ("the catalogue", content["catalog"]),
            ("the area", area is None or (area and None not in area)),
            ("at least one kind of period", content["period_of"]),
            ("how often", content["cron"]),
        )
        if not is_there
    ]


def _add(name: str, content: dict[str, Any]) -> None:
    missing = _missing(name, content)
    if missing:
        st.warning(f"Still missing: {', '.join(missing)}.", icon=":material/info:")
        return
    with told():
        if name in {one["name"] for one in search().schedules()}:
            st.warning(
                f"There is a schedule {name} already: take another name, or remove that one.",
                icon=":material/info:",
            )
            return
        search().save_schedule(name, content)
        st.session_state["schedules-moving"] = True
        st.toast(f"{name} is kept, and comes into force within seconds.")
        st.rerun()
