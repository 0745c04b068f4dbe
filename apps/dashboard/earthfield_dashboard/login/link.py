"""The link by which people go out, on every page of a dashboard that asks for a login."""

from __future__ import annotations

import streamlit as st

from earthfield_dashboard.session import settings


def log_out_link() -> None:
    """Draws it; nothing where nobody needs to log in."""
    if settings().dashboard_password.get_secret_value() or settings().oidc_issuer:
        st.html('<a class="earthfield-out" href="/logout">Log out</a>', width="content")
