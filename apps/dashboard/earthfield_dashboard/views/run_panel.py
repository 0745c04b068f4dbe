"""One run, looked at closely: how far it is, what went wrong, its steps, what it shows, and its log."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import streamlit as st

from earthfield_dashboard.runs import Artefact, LogLine, Run, Step
from earthfield_dashboard.session import runs, told
from earthfield_dashboard.views.run_list import cancel_or_retry
from earthfield_dashboard.views.run_words import BAD, STATES, duration, reason, state_of, title_of, when

_EVERY_S = 2.0


def show_chosen() -> None:
    """Shows the run that the page's address names, if it names one."""
    run_id = st.query_params.get("run")
    if not run_id:
        return
    with told():
        run = runs().run(run_id)
        # While it goes on, only this panel is drawn again.
        st.fragment(_panel, run_every=None if run.is_told else runs().pace(_EVERY_S))(run_id, run.is_told)


def _panel(run_id: str, was_told: bool) -> None:
    with told(), st.container(border=True, key="run-chosen"):
        run = runs().named(run_id)
        if run.is_told != was_told:
            st.rerun()  # the whole page: the list shows its end too, and the clock stops
        shown = state_of(run)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge(shown.word, icon=shown.icon, color=shown.colour)  # type: ignore[arg-type]
            st.subheader(title_of(run), width="stretch")
        _facts(run)
        if run.state in BAD:
            st.error(reason(run.message) or "It did not say why: see its log below.", icon=":material/error:")
        elif run.state == "SCHEDULED":
            st.caption(f"It begins at {when(run.due)}, or when the run before it has ended. {run.message}")
        with st.container(horizontal=True):
            cancel_or_retry(run, place="panel")
            if st.button("Close", key="run-close", icon=":material/close:"):
                del st.query_params["run"]
                st.rerun()
        steps = runs().steps(run_id)
        _progress(run, steps, found := runs().artefacts(run_id))
        _steps(steps)
        _shown(found)
        _asked_for(run)
        _log(run, runs().logs(run_id, steps))


def _facts(run: Run) -> None:
    began = f"began {when(run.started)}" if run.started else "has not begun"
    ended = f", ended {when(run.ended)}" if run.ended else ""
    tries = f" · begun {run.tries} times" if run.tries > 1 else ""
    st.caption(f"{run.name} · {began}{ended} · {duration(run.seconds)}{tries}")


def _progress(run: Run, steps: Sequence[Step], found: Sequence[Artefact]) -> None:
    done = sum(one.state == "COMPLETED" for one in steps)
    if steps and not run.is_over:
        st.progress(min(done / len(steps), 1.0), text=f"{done} of {len(steps)} steps that are known so far")
    if not run.is_over:
        for one in [one for one in found if one.kind == "progress"][-3:]:
            st.progress(min(float(one.data or 0) / 100, 1.0), text=one.title)


def _steps(steps: Sequence[Step]) -> None:
    if not steps:
        return
    rows = [
        {
            "step": one.name,
            "state": STATES[one.state].word if one.state in STATES else one.state.lower(),
            "message": one.message,
        }
        for one in steps
    ]
    with st.expander(f"Steps ({len(steps)})"):
        st.dataframe(rows, hide_index=True, width="stretch")


def _shown(found: Sequence[Artefact]) -> None:
    tables = [one for one in found if one.kind == "table" and one.data]
    pictures = [
        one for one in found if one.kind == "image" and str(one.data).startswith("data:image/png;base64,")
    ]
    reports = [one for one in found if one.kind == "markdown" and "```json" in str(one.data)]
    for one in tables:
        with st.expander(f"{one.title} ({len(one.data)})"):
            st.dataframe(one.data, hide_index=True, width="stretch")
    if pictures:
        with st.expander(f"Pictures ({len(pictures)})"), st.container(horizontal=True):
            for one in pictures:
                st.image(one.data, caption=one.title, width=160)
    for one in reports:
        with st.expander(one.title):
            text = str(one.data).removeprefix("```json").removesuffix("```").strip()
            st.code(text, language="json", height=260)
            st.download_button(
                "Download the report", text, file_name="report.json", mime="application/json",
                icon=":material/download:", key=f"report-{one.title}", on_click="ignore",
            )  # fmt: skip


def _asked_for(run: Run) -> None:
    with st.expander("What was asked for"):
        st.code(json.dumps(_told_of(run.request), indent=1, ensure_ascii=False), language="json")


def _told_of(request: Any) -> dict[str, Any]:
    """Leaves out what was not chosen."""
    return {name: one for name, one in dict(request).items() if one not in (None, [], {}, "", False)}


def _log(run: Run, lines: Sequence[LogLine]) -> None:
    with st.expander(f"Log ({len(lines)} lines)"):
        if not lines:
            st.caption("Nothing was said yet.")
            return
        text = "\n".join(
            f"{one.at:%H:%M:%S}  {one.level:7}  {f'{one.step}: ' if one.step else ''}{one.message}"
            for one in lines
        )
        st.code(text, language=None, height=min(60 + 24 * len(lines), 320))
        st.download_button(
            "Download the log", text, file_name=f"{run.name}.log", mime="text/plain",
            icon=":material/download:", key="run-log", on_click="ignore",
        )  # fmt: skip
