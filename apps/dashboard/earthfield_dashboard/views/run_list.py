"""The list of runs: what is going on first, then what ran; each can be looked at, cancelled, begun again."""

from __future__ import annotations

import streamlit as st

from earthfield.errors import EarthfieldError
from earthfield_dashboard.runs import Run
from earthfield_dashboard.session import runs, told
from earthfield_dashboard.views.run_words import BAD, FLOWS, OPEN, duration, reason, state_of, title_of, when

_AT_A_TIME = 12
_STATES = {"All": (), "Going on": OPEN, "Done": ("COMPLETED",), "Failed": BAD, "Cancelled": ("CANCELLED",)}
_EVERY_S = 3.0


def show_list() -> None:
    """Shows the list, drawn again every few seconds while something is going on."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        state = st.selectbox("State", list(_STATES), key="runs-state", width=170)
        flow = st.selectbox(
            "What",
            ["", *FLOWS],
            format_func=lambda one: FLOWS.get(one, "Everything"),
            key="runs-flow",
            width=220,
        )
        number = int(st.session_state.get("runs-number", _AT_A_TIME))
        if st.button("Look again", icon=":material/refresh:", key="runs-again"):
            st.rerun()
    try:
        is_busy = bool(runs().last(states=OPEN, limit=1))
    except EarthfieldError:
        is_busy = False
    st.fragment(_rows, run_every=runs().pace(_EVERY_S) if is_busy else None)(
        state, flow, number, is_busy=is_busy
    )


def _rows(state: str, flow: str, number: int, *, is_busy: bool) -> None:
    with told():
        # One more than is shown tells whether there are more.
        found = runs().last(flows=[flow] if flow else (), states=_STATES[state], limit=number + 1)
        if is_busy and not runs().last(states=OPEN, limit=1):
            st.rerun()  # nothing goes on any more: the page stops asking
        if not found:
            _show_none(is_all=state == "All" and not flow)
        for run in found[:number]:
            _show_row(run)
        if len(found) > number and st.button("Show more", key="runs-more", icon=":material/expand_more:"):
            st.session_state["runs-number"] = number + _AT_A_TIME
            st.rerun()


def _show_none(*, is_all: bool) -> None:
    if is_all:
        st.info("Nothing has run yet. Start with a map on the page *Area*.", icon=":material/info:")
    else:
        st.info(
            "No run like this. Choose *All* and *Everything* to see the others.", icon=":material/filter_alt:"
        )


def _show_row(run: Run) -> None:
    shown = state_of(run)
    with st.container(border=True, key=f"run-{run.id}", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge(shown.word, icon=shown.icon, color=shown.colour)  # type: ignore[arg-type]
            st.markdown(f"**{title_of(run)}**", width="stretch")
            with st.container(horizontal=True, width="content"):
                _buttons(run)
        who = "by a schedule" if run.is_auto else "asked for"
        took = f", {duration(run.seconds)}" if run.started else ""
        again = f", begun {run.tries} times" if run.tries > 1 else ""
        st.caption(f"{when(run.started or run.due)}{took}{again} · {who} · {run.name}")
        if run.state in BAD and run.message:
            st.markdown(f":red[{_short(reason(run.message))}]")


def _buttons(run: Run) -> None:
    if st.button("Details", key=f"look-{run.id}", icon=":material/description:"):
        st.query_params["run"] = run.id
        st.rerun()
    cancel_or_retry(run, place="list")


def cancel_or_retry(run: Run, *, place: str) -> None:
    """Shows the button that fits: to cancel a run that goes on, or to begin one again that did not end well."""
    if run.state in OPEN and run.state != "CANCELLING":
        if st.button("Cancel", key=f"cancel-{place}-{run.id}", icon=":material/cancel:"):
            with told():
                runs().cancel(run.id)
                st.toast("The run is being cancelled. What it has made so far is kept.")
    elif (
        run.is_over
        and run.state != "COMPLETED"
        and run.is_served
        and st.button(
            "Try again", key=f"retry-{place}-{run.id}", icon=":material/replay:",
            help="It goes on where it was: what is made is not made again.",
        )
    ):  # fmt: skip
        with told():
            runs().retry(run.id)
            st.query_params["run"] = run.id
            st.rerun()


def _short(text: str, most: int = 300) -> str:
    line = text.strip().replace("[", "(").replace("]", ")")
    return line if len(line) <= most else f"{line[:most]}..."
