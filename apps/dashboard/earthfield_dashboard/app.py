"""The dashboard: `earthfield up` starts it, or `python -m earthfield_dashboard`."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from earthfield_dashboard.login.link import log_out_link
from earthfield_dashboard.pages import PAGES
from earthfield_dashboard.views import (
    area,
    change,
    classify,
    cluster,
    evaluation,
    explore,
    health,
    runs,
    similar,
)

_STATIC = Path(__file__).parent / "static" / "earthfield"
# An icon of our own: Streamlit would fetch one of its own from another host.
_ICON = _STATIC / "icon.png"
_NAME = (
    '<img src="/app/static/earthfield/icon.png" alt="" width="34" height="34">'
    '<span class="earthfield-name">Earthfield</span>'
)
_DRAWN = {
    "area": area.page,
    "explore": explore.page,
    "similar": similar.page,
    "classify": classify.page,
    "cluster": cluster.page,
    "change": change.page,
    "runs": runs.page,
    "evaluation": evaluation.page,
    "health": health.page,
}


def main() -> None:
    """Draws the page that was chosen."""
    st.set_page_config(page_title="Earthfield", page_icon=str(_ICON), layout="wide")
    st.html(_STATIC / "page.css")
    pages = [
        st.Page(
            _DRAWN[one.path],
            title=one.title,
            icon=one.icon,
            url_path=one.path,
            default=number == 0,
        )
        for number, one in enumerate(PAGES)
    ]
    st.session_state["pages"] = dict(zip(_DRAWN, pages, strict=True))
    page = st.navigation(pages, position="hidden")
    _masthead(pages, page)
    page.run()


def _masthead(pages: list[StreamlitPage], page: StreamlitPage) -> None:
    """Links of our own, in a row, or behind a button where the window is narrow: its style shows one of both.

    Streamlit's own would hide behind an arrow on a phone.
    """
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="masthead"):
        st.html(_NAME, width="content")
        with st.container(horizontal=True, gap="small", key="links-wide"):
            _links(pages, page, at="wide")
        with (
            st.container(key="links-narrow", width="content"),
            st.popover(page.title, icon=":material/menu:"),
        ):
            _links(pages, page, at="narrow")


def _links(pages: list[StreamlitPage], page: StreamlitPage, *, at: str) -> None:
    for one in pages:
        if one is page:
            with st.container(key=f"here-{at}", width="content"):
                st.page_link(one, label=f"**{one.title}**", width="content")
        else:
            st.page_link(one, width="content")
    log_out_link()


main()
