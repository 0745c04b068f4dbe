"""The panel of a run: how far it is, what it says, and what went wrong."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import streamlit as st

from earthfield.errors import EarthfieldError
from earthfield_dashboard.runs import Run, Step
from earthfield_dashboard.session import map_in_address, runs, told

_WORDS = {
    "SCHEDULED": ("waiting to start", "gray", ":material/schedule:"),
    "PENDING": ("starting", "gray", ":material/schedule:"),
    "RUNNING": ("running", "blue", ":material/autorenew:"),
    "COMPLETED": ("done", "green", ":material/check_circle:"),
    "FAILED": ("failed", "red", ":material/error:"),
    "CRASHED": ("crashed", "red", ":material/error:"),
    "CANCELLING": ("being cancelled", "orange", ":material/cancel:"),
    "CANCELLED": ("cancelled", "orange", ":material/cancel:"),
}
_KINDS = {"plan": "Find scenes", "ingest": "Read scenes", "embed": "Encode", "index": "Index"}


class Progress(NamedTuple):
    """How far a run is."""

    done: int
    """Steps that are done."""
    total: int
    """Steps in all, as far as is known."""
    doing: str
    """What is going on now."""


def progress_of(steps: list[Step]) -> Progress:
    """Counts a run's steps.

    The tiles are known once their scenes are read; each is read and encoded, so the total is two for each tile, one
    for the plan and one for the index.
    """
    num_tiles = sum(one.name.startswith("ingest ") for one in steps)
    done = sum(one.state == "COMPLETED" for one in steps)
    total = 2 + 2 * max(num_tiles, 1)
    now = [one.name for one in steps if one.state in ("RUNNING", "PENDING", "SCHEDULED")]
    return Progress(done, max(total, done), ", ".join(_worded(name) for name in now[:2]))


def show_run() -> None:
    """Shows the run that the page's address names, if it names one."""
    run_id = st.query_params.get("run")
    if not run_id:
        return
    st.divider()
    with told():
        run = runs().run(run_id)
        # While it goes on, only this panel is drawn again, every other second or less often.
        st.fragment(_panel, run_every=None if run.is_told else runs().pace(2.0))(run_id)


def _panel(run_id: str) -> None:
    with told():
        run, steps = runs().run(run_id), runs().steps(run_id)
        word, colour, icon = _WORDS.get(run.state, (run.state.lower(), "gray", ""))
        st.subheader(f"Run {run.name}")
        st.badge(word, icon=icon, color=colour)  # type: ignore[arg-type]
        _bar(run, steps)
        _outcome(run)
        _log(run_id, steps)
        phase = (run.is_over, run.is_told)
        if st.session_state.get(f"phase-{run_id}", phase) != phase:
            # The whole page, so that the new map shows and, once all is told, the clock stops.
            st.session_state[f"phase-{run_id}"] = phase
            st.rerun()
        st.session_state[f"phase-{run_id}"] = phase


def _bar(run: Run, steps: list[Step]) -> None:
    done, total, doing = progress_of(steps)
    share = 1.0 if run.state == "COMPLETED" else min(done / total, 0.99)
    text = f"{done} of {done if run.state == 'COMPLETED' else total} steps, {_duration(run.seconds)}"
    st.progress(share, text=f"{text}: {doing}" if doing and not run.is_over else text)
    counts = {kind: [one.state for one in steps if one.name.split(" ")[0] == kind] for kind in _KINDS}
    with st.container(horizontal=True, gap="large"):
        for kind, states in counts.items():
            finished = sum(state == "COMPLETED" for state in states)
            st.metric(_KINDS[kind], f"{finished} of {len(states)}" if states else "–", width="content")


def _outcome(run: Run) -> None:
    if run.state == "COMPLETED":
        st.success("The map is ready.", icon=":material/check_circle:")
        periods = run.request.get("periods") or [""]
        # A link, which stops this panel's clock at once: a tick that comes after a switch empties the new page.
        with st.container(key="explore-made"):
            st.page_link(
                st.session_state["pages"]["explore"], label="Explore the map", icon=":material/travel_explore:",
                query_params=map_in_address(run.request.get("model") or "", periods[-1]),
            )  # fmt: skip
    elif run.state in ("FAILED", "CRASHED"):
        st.error(f"The run {_WORDS[run.state][0]}. {_reason(run.message)}", icon=":material/error:")
    elif run.state == "SCHEDULED" and run.started is None:
        st.caption(
            "It starts within seconds, or when the run before it has ended: one run at a time takes every core."
        )
    if (
        not run.is_over
        and run.state != "CANCELLING"
        and st.button("Cancel the run", icon=":material/cancel:")
    ):
        runs().cancel(run.id)
        st.toast("The run is being cancelled.")
    _retry(run)


def _retry(run: Run) -> None:
    """Lets a run that did not end well be tried again, as a new one that keeps what the first has made."""
    if run.state not in ("FAILED", "CRASHED", "CANCELLED"):
        return
    if st.button(
        "Try again", icon=":material/replay:", help="What was made before is kept, and not made again."
    ):
        st.query_params["run"] = runs().start(run.request)
        st.rerun()


def _reason(message: str) -> str:
    """Leaves out what Prefect puts before the sentence of our own error."""
    _, _, text = message.partition("exception: ")
    kind, colon, sentence = text.partition(": ")
    reason = sentence if colon and kind.isidentifier() else message
    return f"{reason[:1].upper()}{reason[1:]}"


def _log(run_id: str, steps: list[Step]) -> None:
    lines = runs().logs(run_id, steps)
    with st.expander(f"Log ({len(lines)} lines)"):
        if lines:
            said = [f"{one.step}: {one.message}" if one.step else one.message for one in lines]
            told_lines = [
                f"{one.at:%H:%M:%S}  {one.level:7}  {text}" for one, text in zip(lines, said, strict=True)
            ]
            st.code("\n".join(told_lines), language=None, height=min(60 + 24 * len(lines), 300))
            st.download_button(
                "Download the log", "\n".join(told_lines), file_name=f"run-{run_id[:8]}.log", mime="text/plain",
                icon=":material/download:", on_click="ignore",
            )  # fmt: skip
        else:
            st.caption("Nothing was said yet.")


def show_runs() -> None:
    """Lists the last runs; one can be looked at again."""
    try:
        found = runs().recent()
    except EarthfieldError as error:
        st.divider()
        st.error(str(error), icon=":material/cloud_off:")
        return
    others = [run for run in found if run.id != st.query_params.get("run")]
    if not others:
        return
    st.divider()
    with st.expander(f"Earlier runs ({len(others)})"):
        for run in others:
            word, colour, icon = _WORDS.get(run.state, (run.state.lower(), "gray", ""))
            named, state, what, look = st.columns([3, 2, 4, 2], vertical_alignment="center")
            named.write(f"**{run.name}**  \n{_when(run.started)}")
            state.badge(word, icon=icon, color=colour)  # type: ignore[arg-type]
            what.caption(f"{', '.join(run.request.get('periods') or ())} · {run.request.get('model', '')}")
            if look.button("Show", key=f"show-{run.id}"):
                st.query_params["run"] = run.id
                st.rerun()


def _worded(name: str) -> str:
    kind, _, rest = name.partition(" ")
    return f"{_KINDS.get(kind, kind).lower()} {rest}".strip()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _when(instant: datetime | None) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC" if instant else "not started"
