"""The page *Runs and schedules*: what is running, what ran, and what runs by itself."""

from __future__ import annotations

import streamlit as st

from earthfield_dashboard.views.run_list import show_list
from earthfield_dashboard.views.run_panel import show_chosen
from earthfield_dashboard.views.schedule_form import show_form
from earthfield_dashboard.views.schedule_list import show_schedules


def page() -> None:
    """Draws the page."""
    st.title("Runs and schedules")
    st.markdown(
        "A **run** makes something: it reads scenes, makes maps, trains a model. A **schedule** looks by itself "
        "for new scenes of an area, and makes again only what they change."
    )
    ran, scheduled = st.tabs(["Runs", "Schedules"])
    with ran:
        show_chosen()
        show_list()
    with scheduled:
        show_schedules()
        show_form()
