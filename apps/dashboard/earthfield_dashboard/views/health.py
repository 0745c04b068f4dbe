"""The page *Health*: which parts of the installation answer, and what to do about those that do not."""

from __future__ import annotations

import streamlit as st

from earthfield.health import Health, Part, check_health
from earthfield_dashboard.session import settings

_KEPT_S = 5
_NAMES = {
    "search": "Search service", "prefect": "Runs and schedules (Prefect)", "worker": "Worker, which does the runs",
    "encoder": "Encoder", "disk": "Disk",
}  # fmt: skip
_SIGNS = {
    "ok": (":material/check_circle:", "works", "green"),
    "down": (":material/error:", "is down", "red"),
    "off": (":material/do_not_disturb_on:", "not used here", "gray"),
}
"""For each state a sign, words and a colour: the colour is never the only one to tell."""


def page() -> None:
    """Draws the page."""
    st.title("Health")
    with st.spinner("Asking every part how it is"):
        found = _checked()
    _show_all(found)
    for part in sorted(found.parts, key=lambda one: one.state != "down"):
        _show(part)
    _show_versions(found)
    if st.button("Ask again", icon=":material/refresh:"):
        _checked.clear()
        st.rerun()


@st.cache_data(ttl=_KEPT_S, show_spinner=False)
def _checked() -> Health:
    return check_health(settings(), dashboard=False)


def _show_all(found: Health) -> None:
    down = [_NAMES[one.name] for one in found.parts if one.state == "down"]
    if not down:
        st.success("Everything works.", icon=":material/check_circle:")
    else:
        words = "1 part is down" if len(down) == 1 else f"{len(down)} parts are down"
        st.error(f"{words}: {'; '.join(down)}. Below stands what to do.", icon=":material/error:")


def _show(part: Part) -> None:
    sign, words, colour = _SIGNS[part.state]
    with st.container(border=True):
        st.markdown(f"**{_NAMES[part.name]}** &ensp; :{colour}[{sign} {words}]")
        st.write(f"{part.told[:1].upper()}{part.told[1:]}.")
        if part.todo:
            st.markdown(f"**What to do:** {part.todo}.")
        about = [one for one in (part.address, f"version {part.version}" if part.version else "") if one]
        if about:
            st.caption("  \n".join(f"`{one}`" for one in about))


def _show_versions(found: Health) -> None:
    told = ", ".join(f"{name} {number}" for name, number in found.versions.items())
    st.caption(f"The dashboard runs {told}. Asked at {found.at}; `/health` tells programs the same.")
