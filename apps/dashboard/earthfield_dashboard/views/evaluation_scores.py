"""How far a few labels carry: scores of a model's fields beside descriptions that need no model."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from earthfield_dashboard.views.charts import draw_scores

_KINDS = {"field": "model", "classical": "without a model", "coordinates": "place alone"}
_PROTOCOLS = {
    "block": "blocks held out",
    "parcels": "parcels held out",
    "random": "random pixels: measures interpolation",
}


def show_scores(model: Mapping[str, Any], told: Mapping[str, Any]) -> None:
    """Shows the evaluations of a model, or says which command makes one.

    Args:
        model: as the list of models has it.
        told: its evaluations, newest first.
    """
    if told["unreadable"]:
        st.warning(
            f"Reports that cannot be read are left out: {', '.join(told['unreadable'])}. Evaluate again to make "
            "them anew.", icon=":material/warning:",
        )  # fmt: skip
    # What interpolates comes last: it must not be taken for the score.
    found = sorted(told["evaluations"], key=lambda one: list(_PROTOCOLS).index(one["protocol"]))
    if not found:
        _none(model)
        return
    at = st.selectbox("Labels", range(len(found)), format_func=lambda one: _title(found[one]))
    one = found[at]
    for words in one["warnings"]:
        st.warning(f"{words[:1].upper()}{words[1:]}.", icon=":material/warning:")
    st.markdown("\n".join(margin_words(one)))
    rows = best_rows(one)
    order = list(dict.fromkeys(row["described by"] for row in rows))
    groups = [_labels_words(one, shots["shots"]) for shots in one["shots"]]
    chance = 100 * one["chance"]
    st.caption(f"The dashed line is guessing, {chance:.0f} %. Lines through points are standard errors.")
    draw_scores(rows, order, groups, chance=chance, alt=f"Scores: {_spoken(rows)}")
    _table(one, order, groups, rows)
    _how(one)
    _files(one)


def margin_words(one: Mapping[str, Any]) -> list[str]:
    """Gives how each field stands beside the best description without a model, as sentences."""
    lines = []
    for margin in one["margins"]:
        own, rival, fewer = (
            100 * margin["accuracy"],
            100 * margin["rival_accuracy"],
            margin["error_reduction"],
        )
        if fewer is None:
            compared = ""
        elif fewer >= 0:
            compared = f" That is {fewer:.0%} fewer mistakes."
        else:
            compared = f" That is {-fewer:.0%} **more** mistakes."
        lines.append(
            f"- {_labels_words(one, margin['shots']).capitalize()}: **{margin['field']}** names {own:.1f} % "
            f"rightly; the best without a model, {margin['rival']}, {rival:.1f} %.{compared}"
        )
    return lines


def best_rows(one: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Gives the better probe's score of every description and number of labels, fields first, then by score."""
    best: dict[tuple[str, str], Mapping[str, Any]] = {}
    for score in one["scores"]:
        key = (score["features"], score["shots"])
        if key not in best or score["mean"] > best[key]["mean"]:
            best[key] = score
    tops = {name: max(score["mean"] for (own, _), score in best.items() if own == name) for name, _ in best}
    order = sorted(tops, key=lambda name: (one["kinds"].get(name) != "field", -tops[name]))
    found = []
    for name in order:
        for shots in one["shots"]:
            score = best.get((name, shots["shots"]))
            if score is None:
                continue
            mean, sem = 100 * score["mean"], 100 * (score["sem"] or 0.0)
            found.append(
                {
                    "described by": name, "kind": _KINDS.get(one["kinds"].get(name, ""), ""),
                    "labels": _labels_words(one, shots["shots"]), "score": round(mean, 2),
                    "low": round(mean - sem, 2), "high": round(mean + sem, 2), "probe": score["probe"],
                }
            )  # fmt: skip
    return found


def _none(model: Mapping[str, Any]) -> None:
    """Says which command makes an evaluation."""
    st.info(
        f"*{model['name']}* was not scored on labels yet. Whoever runs Earthfield does it with a raster of "
        "classes, or polygons with a column that names them:", icon=":material/monitoring:",
    )  # fmt: skip
    period = model["periods"][-1] if model["periods"] else "2018"
    st.code(
        f"earthfield evaluate --labels labels.tif --period {period} --model {model['name']}", language="bash"
    )
    if not model["periods"]:
        st.caption("There is no map of it yet: make one on the page *Area* first, where there are labels.")


def _title(one: Mapping[str, Any]) -> str:
    return f"{one['labels']} · {one['period']} · {_PROTOCOLS.get(one['protocol'], one['protocol'])}"


def _labels_words(one: Mapping[str, Any], shots: str) -> str:
    found = next((entry for entry in one["shots"] if entry["shots"] == shots), None)
    num = found["labels"] if found else shots
    most = " (as many as there are)" if shots == "max" else ""
    return f"{num} label{'s' if str(num) != '1' else ''} a class{most}"


def _spoken(rows: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(f"{row['described by']}, {row['labels']}, {row['score']:.1f} %" for row in rows)


def _table(
    one: Mapping[str, Any], order: Sequence[str], groups: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> None:
    by = {(row["described by"], row["labels"]): row for row in rows}
    kinds = {row["described by"]: row["kind"] for row in rows}
    table = [
        {"described by": name, "kind": kinds[name], "numbers a pixel": one["features"].get(name)}
        | {group: _cell(by.get((name, group))) for group in groups}
        for name in order
    ]
    st.dataframe(
        table, hide_index=True, width="stretch", alt="Balanced accuracy, %",
        column_order=["described by", *groups, "kind", "numbers a pixel"],
        column_config={group: st.column_config.TextColumn(f"{group}, %") for group in groups},
    )  # fmt: skip


def _cell(row: Mapping[str, Any] | None) -> str:
    return f"{row['score']:.1f} ± {row['high'] - row['score']:.1f}" if row else "–"


def _how(one: Mapping[str, Any]) -> None:
    with st.expander("How it was scored"):
        st.markdown(
            f"The score is *balanced accuracy*: of each class the share that was named rightly, mean over "
            f"{len(one['classes'])} classes. {one['splits']} times labels were drawn anew and the rest was tested, "
            f"on {one['test_px']:,.0f} pixels each time. Of two simple methods, nearest neighbours and least "
            "squares, the better one counts."
        )
        st.dataframe(
            [{"class": entry["name"], "labelled pixels": entry["pixels"]} for entry in one["classes"]],
            hide_index=True, width="stretch", alt="Classes",
        )  # fmt: skip
        for name, why in one["left_out"].items():
            st.markdown(f"- Class {name} was left out: {why}.")
        for note in one["notes"]:
            st.markdown(f"- {note}.")


def _files(one: Mapping[str, Any]) -> None:
    with st.container(horizontal=True, gap="small"):
        st.download_button(
            "Scores (CSV)", _csv(one), file_name=f"{one['name']}.csv", mime="text/csv",
            icon=":material/download:", on_click="ignore",
        )  # fmt: skip
        st.download_button(
            "Whole report (JSON)", json.dumps(one, ensure_ascii=False, indent=1), file_name=f"{one['name']}.json",
            mime="application/json", icon=":material/download:", on_click="ignore",
        )  # fmt: skip


def _csv(one: Mapping[str, Any]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["described_by", "kind", "shots", "probe", "balanced_accuracy", "sem"])
    for score in one["scores"]:
        kind = one["kinds"].get(score["features"], "")
        table.writerow([score["features"], kind, score["shots"], score["probe"], score["mean"], score["sem"]])
    return text.getvalue()
