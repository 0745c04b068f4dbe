"""The schedules: what each looks at and when, what was last new, and buttons to run, pause and remove it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from earthfield.errors import EarthfieldError
from earthfield_dashboard.runs import Upcoming
from earthfield_dashboard.session import runs, search, told
from earthfield_dashboard.views.run_words import OPEN, when
from earthfield_dashboard.views.schedule_words import KINDS, how_often, news_text

_SENT = (
    "catalog", "area", "period_of", "since", "late_days", "cron", "rebuild_cron", "model", "sources", "agreement",
    "skip_unreadable", "active",
)  # fmt: skip
_EVERY_S = 5.0


def show_schedules() -> None:
    """Lists the schedules, drawn again every few seconds while one runs or is about to come into force."""
    is_moving = bool(st.session_state.get("schedules-moving", True))
    st.fragment(_list, run_every=runs().pace(_EVERY_S) if is_moving else None)(is_moving)


def _list(was_moving: bool) -> None:
    with told():
        found = search().schedules()
        if not found:
            st.info("There is no schedule yet. Add one below.", icon=":material/schedule:")
        known = _known()
        for one in found:
            _show(one, None if known is None else known.get(one["name"]), is_served=known is not None)
        is_moving = _is_moving(found, known)
        if is_moving != was_moving:
            st.session_state["schedules-moving"] = is_moving
            st.rerun()  # the whole page, so that the clock starts or stops


def _is_moving(found: Sequence[Mapping[str, Any]], known: Mapping[str, Upcoming] | None) -> bool:
    """Whether the list will change by itself soon."""
    if known is None:
        return False
    wanted = {one["name"]: bool(one["active"]) for one in found if not one["broken"]}
    if wanted != {name: one.active for name, one in known.items()}:
        return True
    if any(one.active and one.next is None for one in known.values()):
        return True
    return bool(runs().last(flows=["refresh"], states=OPEN, limit=1))


def _known() -> dict[str, Upcoming] | None:
    """What Prefect knows of schedules by name; None where it does not answer or nobody serves the flows."""
    try:
        return {one.name: one for one in runs().upcoming()}
    except EarthfieldError:
        return None


def _show(one: Mapping[str, Any], known: Upcoming | None, *, is_served: bool) -> None:
    with st.container(border=True, key=f"schedule-{one['name']}", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center"):
            _badge(one)
            st.markdown(f"**{one['name']}**", width="stretch")
            with st.container(horizontal=True, width="content"):
                _buttons(one)
        if one["broken"]:
            st.error(one["broken"], icon=":material/error:")
        else:
            st.markdown(f"Looks {how_often(one['cron'])}. {_next(one, known, is_served=is_served)}")
            kinds = ", ".join(KINDS.get(kind, kind) for kind in one["period_of"])
            area = "a part of it" if one["area"] else "all of it"
            st.caption(
                f"{kinds}, now {', '.join(one['periods'])} · {one['catalog']}, {area} · model {one['model']}"
            )
            st.markdown(f":material/new_releases: {news_text(one['news'])}")
            _fields(one["news"])


def _badge(one: Mapping[str, Any]) -> None:
    if one["broken"]:
        st.badge("cannot run", icon=":material/error:", color="red")
    elif one["active"]:
        st.badge("active", icon=":material/play_circle:", color="green")
    else:
        st.badge("paused", icon=":material/pause_circle:", color="orange")


def _next(one: Mapping[str, Any], known: Upcoming | None, *, is_served: bool) -> str:
    if not is_served:
        return "Nobody runs it now: `earthfield up` starts everything."
    if not one["active"]:
        return "It is paused: it runs only when you ask for it."
    if known is None or not known.active:
        return "It comes into force within seconds."
    return f"Next: {when(known.next)}." if known.next else "The next time is being worked out."


def _fields(news: Mapping[str, Any] | None) -> None:
    made = (news or {}).get("fields") or []
    if made:
        with st.expander(f"What was made last ({len(made)})"):
            rows = [
                {"tile": field["tile"], "period": field["period"], "pixels": field["pixels"]}
                for field in made
            ]
            st.dataframe(rows, hide_index=True, width="stretch")


def _buttons(one: Mapping[str, Any]) -> None:
    name = one["name"]
    if not one["broken"]:
        if st.button("Run now", key=f"now-{name}", icon=":material/play_arrow:"):
            with told():
                st.query_params["run"] = runs().start(
                    {"name": name, "whole": False}, deployment="refresh/refresh"
                )
                st.session_state["schedules-moving"] = True
                st.toast(f"{name} runs now: see the tab Runs.")
                st.rerun()
        label, icon = ("Pause", ":material/pause:") if one["active"] else ("Resume", ":material/play_circle:")
        if st.button(label, key=f"pause-{name}", icon=icon):
            with told():
                search().save_schedule(name, {key: one[key] for key in _SENT} | {"active": not one["active"]})
                st.session_state["schedules-moving"] = True
                st.rerun()
    with st.popover("Remove", icon=":material/delete:"):
        st.markdown(f"Forget **{name}**? The maps that it made stay.")
        if st.button("Yes, remove it", key=f"remove-{name}", type="primary"):
            with told():
                search().remove_schedule(name)
                st.rerun()
