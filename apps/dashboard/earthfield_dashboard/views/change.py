"""The page *Change*: what happened between two periods, where, and how sure that is."""

from __future__ import annotations

import streamlit as st

from earthfield_dashboard.layers import Layer
from earthfield_dashboard.session import layers, search, told
from earthfield_dashboard.views.change_asked import ask_rule, choose_pair
from earthfield_dashboard.views.change_found import Found, show_figures, show_files, show_patches, show_sure
from earthfield_dashboard.views.change_map import show_change_map
from earthfield_dashboard.views.within import ask_area


def page() -> None:
    """Draws the page."""
    st.title("Change")
    st.markdown(
        "What happened between two periods? Every pixel is compared with itself; land that moved more than its own "
        "noise explains is outlined."
    )
    there = layers()
    if there is None:
        return
    left, right = st.columns([3, 2], gap="medium")
    with right:
        pair = choose_pair(there)
        if pair is None:
            return
        found = _asked(*pair)
    with left:
        show_change_map(*pair, found)
    if found:
        show_patches(found)
        show_sure(found)
        show_files(found)


def _asked(before: Layer, after: Layer) -> Found | None:
    """Lets a person ask; gives what was found last between these maps."""
    with st.expander("What counts as changed", expanded=True):
        question = ask_rule()
    area = ask_area("change", before.bounds)
    question["area"] = area
    kept: dict[str, Found] = st.session_state.setdefault("change-found", {})
    key = f"{before.key} {after.key}"
    if st.button("Find what changed", type="primary", icon=":material/compare:", width="stretch"):
        with told(), st.spinner("Comparing every pixel of both periods ..."):
            answer = search().change(
                before.model, before.period_id, after.period_id, num_patches=1000, **question
            )
            kept[key] = Found(answer, question)
            st.session_state.pop("change-patch", None)
    found = kept.get(key)
    if found:
        if found.question != question:
            st.caption("What is shown was found with other settings. Press *Find what changed* for these.")
        show_figures(found)
    return found
