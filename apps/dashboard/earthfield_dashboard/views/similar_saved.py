"""Saved searches: a question that is kept, asked again, and told what is new."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from earthfield_dashboard.layers import Layer
from earthfield_dashboard.session import search, told
from earthfield_dashboard.words import usable_name


@dataclass(frozen=True)
class Again:
    """A saved search that was asked again."""

    name: str
    """Its name."""
    found: dict[str, Any]
    """What it finds now, GeoJSON."""

    @property
    def new(self) -> frozenset[str]:
        """Cells that it did not find before."""
        return frozenset(self.found["new"])

    @property
    def words(self) -> str:
        """What is different, in a sentence."""
        new, gone, since = len(self.found["new"]), len(self.found["gone"]), when(self.found["since"])
        if not new and not gone:
            return f"**Nothing has changed** since {since}."
        return f"Since {since}: **{new} new**, {gone} not found any more."


def asked_again() -> Again | None:
    """Gives the saved search that is shown instead of the page's own question."""
    found: Again | None = st.session_state.get("similar-again")
    return found


def when(instant: str) -> str:
    """Gives an instant as people read it."""
    return f"{instant[:16].replace('T', ' ')} UTC"


def show_saved(layer: Layer, question: Mapping[str, Any] | None) -> None:
    """Shows the saved searches, and saves the question if there is one."""
    with st.container():  # there with and without the button: what is open below stays open
        if asked_again():
            st.button("Back to my own question", icon=":material/arrow_back:", on_click=_back)
    with told():
        kept = search().searches()
        with st.expander("Saved searches"):
            _save(layer, question)
            for one in kept:
                _show(one)
            if not kept:
                st.caption("None yet. A saved search can be asked again later, and tells what is new since.")


def _save(layer: Layer, question: Mapping[str, Any] | None) -> None:
    if question is None:
        st.caption("Ask something; then it can be saved here.")
        return
    with st.form("similar-save", border=False):
        typed = st.text_input("Name of this search", max_chars=64, placeholder="maize near Ypres")
        if not st.form_submit_button("Save this search", icon=":material/bookmark_add:"):
            return
    name = usable_name(typed)
    if not name:
        st.warning("Give it a name of letters or digits.", icon=":material/info:")
        return
    with st.spinner("Asking and saving …"):
        search().save_search(name, layer.model, **question)
    st.toast(f"Saved as {name}.", icon=":material/bookmark_added:")
    st.rerun()


def _show(one: Mapping[str, Any]) -> None:
    st.markdown(f"**{one['name']}**: like {one['title']}, {one['period']}")
    st.caption(f"{one['found']} places, asked last {when(one['asked'])}")
    run_at, remove_at = st.columns(2)
    name = one["name"]
    if run_at.button("Ask again", key=f"again-{name}", icon=":material/refresh:", width="stretch"):
        with st.spinner("Asking again …"):
            st.session_state["similar-again"] = Again(name, search().run_search(name))
        st.session_state["kept-layer"] = (one["model"], one["period"])
        st.rerun()
    if remove_at.button("Remove", key=f"forget-{name}", icon=":material/delete:", width="stretch"):
        search().remove_search(name)
        _back()
        st.rerun()


def _back() -> None:
    st.session_state.pop("similar-again", None)
