"""What a classification says, on the page *Classify*: hectares, scores, confusion, and what to label next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import streamlit as st

from earthfield.client import Place
from earthfield_dashboard.views.chosen import chosen_row
from earthfield_dashboard.views.classify_labels import Sheet, add_place
from earthfield_dashboard.views.classify_map import swatch
from earthfield_dashboard.views.downloads import offer_files
from earthfield_dashboard.words import degrees, hectares

_CELL = "padding:.3rem .55rem;border:1px solid #cbd6d1;text-align:right;white-space:nowrap"
Cell = str | tuple[str, str]
"""HTML of a cell of a table, or that with its style."""
_HEAD = "padding:.3rem .55rem;border:1px solid #cbd6d1;text-align:left;font-weight:600;background:#eef3f0"


def show_found(answer: Mapping[str, Any], now: Sheet) -> None:
    """Shows what was found, and hands over its files."""
    _scores(answer)
    left, right = st.columns([3, 2], gap="large")
    with left:
        _classes(answer, now)
    with right:
        _confusion(answer, now)
    _learnt(answer)
    st.subheader("Download")
    offer_files(answer["links"], name="classify", words=_file_words)


def _scores(answer: Mapping[str, Any]) -> None:
    score = answer["score"]
    st.subheader("How good it is")
    if score["balanced_accuracy"] is None:
        st.info(f"There is no score yet: {score['why_not']}.", icon=":material/info:")
        return
    first, second, third = st.columns(3)
    first.metric(
        "Balanced accuracy", f"{score['balanced_accuracy']:.1%} ± {score['sem']:.1%}",
        help="Share of each class that was found, averaged over the classes; ± is its standard error, from drawing "
        "whole blocks anew.",
    )  # fmt: skip
    second.metric(
        "Labelled pixels found", f"{score['accuracy']:.1%}", help=f"Of {score['pixels']:,} labelled pixels."
    )
    third.metric(
        "Log loss", f"{score['log_loss']:.2f}", help="How far probabilities are from the truth; 0 is best."
    )
    st.caption(
        f"{score['pixels']:,} labelled pixels in {score['blocks']} blocks of {score['block_m']:,.0f} m; each was "
        f"told by labels of other blocks, {score['rim_m']:g} m and more away. {answer['caution']}"
    )


def _classes(answer: Mapping[str, Any], now: Sheet) -> None:
    score = answer["score"]
    head = ["Class", "Labels", "Hectares", "Share", "Sure", "Found", "Right"]
    rows: list[list[Cell]] = []
    for place, one in enumerate(answer["classes"]):
        found, right = (
            _percent(score[name][place] if score[name] else None) for name in ("recall", "precision")
        )
        rows.append([
            f"{swatch(one['colour'], _number(now, one['name']))} {escape(one['name'])}", f"{one['labels']:,}",
            hectares(one["hectares"]), f"{one['share']:.1%}", _percent(one["probability"]), found, right,
        ])  # fmt: skip
    st.subheader("Classes")
    st.html(_table("Hectares and scores of each class", head, rows))
    st.caption(
        "*Sure*: mean probability. *Found*: share of its labels that were told so (recall). *Right*: share of what "
        "was told so that is so (precision)."
    )


def _confusion(answer: Mapping[str, Any], now: Sheet) -> None:
    table = answer["score"]["confusion"]
    if not table:
        return
    st.subheader("Confusion")
    names = [one["name"] for one in answer["classes"]]
    shown = [f"{_number(now, one)} {escape(one)}".strip() for one in names]
    rows: list[list[Cell]] = []
    for name, row in zip(shown, table, strict=True):
        total = max(sum(row), 1)
        rows.append([name, *(_shaded(count, count / total) for count in row)])
    st.html(_table("Labelled pixels by true and told class", ["Is, told as →", *shown], rows))
    st.caption(
        "Labelled pixels: rows what they are, columns what they were told to be. Darker: more of the row."
    )


def _shaded(count: int, share: float) -> tuple[str, str]:
    """A cell with its background: from white to dark blue by its share of the row."""
    red, green, blue = (round(255 + share * (to - 255)) for to in (0, 72, 120))
    ink = "#ffffff" if share > 0.5 else "#16241f"
    return f"{count:,}", f"background:rgb({red},{green},{blue});color:{ink}"


def _table(caption: str, head: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A table that scrolls in itself; cells are HTML, or HTML with its style."""
    above = "".join(f'<th scope="col" style="{_HEAD}">{one}</th>' for one in head)
    body = ""
    for first, *others in rows:
        cells = "".join(
            f'<td style="{_CELL};{one[1]}">{one[0]}</td>'
            if isinstance(one, tuple)
            else f'<td style="{_CELL}">{one}</td>'
            for one in others
        )
        body += f'<tr><th scope="row" style="{_HEAD}">{first}</th>{cells}</tr>'
    return (
        f'<div style="overflow-x:auto" role="region" tabindex="0" aria-label="{caption}">'
        f'<table style="border-collapse:collapse;font-size:.92rem"><thead><tr>{above}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _learnt(answer: Mapping[str, Any]) -> None:
    training = answer["training"]
    left = training["labels"] - training["used"]
    words = [f"Learnt from {training['pixels']:,} pixels of {training['used']:,} labels."]
    if left:
        words.append(
            f"{left:,} labels gave nothing: {training['outside']} outside of every map, {training['not_in_time']} "
            f"not in time, {training['no_data']} without data."
        )
    if training["contradicting_px"]:
        words.append(f"{training['contradicting_px']:,} pixels with labels of several classes were left out.")
    st.caption(" ".join(words))


def _number(now: Sheet, name: str) -> str:
    return str(now.number(name)) if name in now.classes else ""


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def _file_words(name: str) -> str:
    if name.endswith("_probability.tif"):
        return "How sure"
    return "Everything told" if name.endswith(".json") else "Map of classes"


def chosen_place(answer: Mapping[str, Any] | None, name: str) -> Place | None:
    """Gives the suggested place whose row is chosen in the list `name`."""
    places = answer["suggestions"] if answer else []
    row = chosen_row(name, len(places))
    return None if row is None else (places[row]["lon"], places[row]["lat"])


def show_suggestions(answer: Mapping[str, Any], now: Sheet, name: str) -> None:
    """Lists places that are worth a label; the one that is chosen can be labelled here."""
    places = answer["suggestions"]
    if not places:
        return
    st.subheader("Where to label next")
    st.caption(
        "Here the map is least sure. **Choose a row** to see the place, then say what it is, and make the map "
        "again."
    )
    rows = [
        {
            "rank": rank, "doubt": one["doubt"], "one": f"{one['likely'][0]} ({one['probability'][0]:.0%})",
            "other": f"{one['likely'][1]} ({one['probability'][1]:.0%})", "place": degrees(one["lon"], one["lat"]),
        }
        for rank, one in enumerate(places, 1)
    ]  # fmt: skip
    column = st.column_config
    st.dataframe(
        rows, hide_index=True, width="stretch", height=min(40 + 35 * len(rows), 330), key=name, on_select="rerun",
        selection_mode=("single-row", "single-cell"), alt="Places to label next, the most doubtful first",
        column_config={
            "rank": column.NumberColumn("?", width=44),
            "doubt": column.ProgressColumn("Doubt", min_value=0, max_value=1, format="%.2f"),
            "one": column.TextColumn("It would be"), "other": column.TextColumn("or"),
            "place": column.TextColumn("Latitude, longitude"),
        },
    )  # fmt: skip
    place = chosen_place(answer, name)
    if place:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown("**This place is**", width="content")
            for one in now.classes:
                if st.button(f"{now.number(one)} {one}", key=f"classify-is-{one}"):
                    add_place(place, one)
                    st.rerun()
