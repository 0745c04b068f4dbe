"""The dashboard: `earthfield up` starts it, or `python -m earthfield_dashboard`."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from earthfield_dashboard.views import area, explore

# An icon of our own: Streamlit would fetch one of its own from another host.
_ICON = Path(__file__).parent / "static" / "earthfield" / "icon.png"
_STYLE = """
<style>
  header[data-testid="stHeader"] { display: none; }
  .block-container { padding-top: 1rem !important; padding-bottom: 3rem; max-width: 1240px; }
  .st-key-masthead { border-bottom: 1px solid #cbd6d1; padding-bottom: 0.6rem; }
  .st-key-masthead .earthfield-name { font-size: 1.2rem; font-weight: 700; margin-right: 0.8rem; }
  h1 { font-size: 1.9rem !important; padding: 0.2rem 0 !important; }
  h3 { font-size: 1.25rem !important; padding: 0.2rem 0 !important; }
  iframe { border: 1px solid #cbd6d1; border-radius: 0.4rem; }
  .earthfield-scale { display: flex; align-items: center; gap: 0.6rem; font-size: 0.9rem; margin: 0.1rem 0 0.6rem; }
  .earthfield-scale i { flex: 1; height: 0.8rem; border-radius: 0.2rem; background: linear-gradient(to right,
    #440154, #482878, #3e4a89, #31688e, #26828e, #1f9e89, #35b779, #6ece58, #b5de2b, #fde725); }
  @media (max-width: 640px) {
    .block-container { padding-left: 0.9rem; padding-right: 0.9rem; }
    h1 { font-size: 1.5rem !important; }
  }
</style>
"""


def main() -> None:
    """Draws the page that was chosen."""
    st.set_page_config(page_title="Earthfield", page_icon=str(_ICON), layout="wide")
    st.html(_STYLE)
    pages = [
        st.Page(area.page, title="Area & run", icon=":material/crop_free:", url_path="area", default=True),
        st.Page(explore.page, title="Explore", icon=":material/travel_explore:", url_path="explore"),
    ]
    st.session_state["explore_page"] = pages[1]
    page = st.navigation(pages, position="hidden")
    # Links of our own: they stand on the page on a phone too, where Streamlit's would hide behind an arrow.
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="masthead"):
        st.image(str(_ICON), width=34)
        st.html('<span class="earthfield-name">Earthfield</span>', width="content")
        for one in pages:
            if one is page:
                st.markdown(f":primary[**{one.icon} {one.title}**]", width="content")
            else:
                st.page_link(one, width="content")
    page.run()


main()
