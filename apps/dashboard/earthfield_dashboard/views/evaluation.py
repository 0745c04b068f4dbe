"""The page *Evaluation*: what a model is, how its training went, how far a few labels carry on its fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from earthfield.errors import EarthfieldError
from earthfield_dashboard.session import search, told
from earthfield_dashboard.views.evaluation_card import show_card
from earthfield_dashboard.views.evaluation_curves import show_curves
from earthfield_dashboard.views.evaluation_scores import show_scores


def page() -> None:
    """Draws the page."""
    st.title("Evaluation")
    st.markdown(
        "How good is a model? Its **scores** say how many places are named rightly with a few labels, beside what "
        "can be had without any model; its **training** says how it came to be."
    )
    models = _models()
    if not models:
        return
    chosen = _choose(models)
    name = chosen["name"]
    scores, training, card = st.tabs(["Scores on labels", "Training", "The model in words"])
    with scores, told():
        show_scores(chosen, search().model_evaluations(name))
    with training, told():
        show_curves(name, search().model_curves(name), search().model_report(name))
    with card, told():
        show_card(chosen, search().model_report(name))


def _models() -> list[dict[str, Any]]:
    """Lists the models, those with maps first; empty, and a message on the page, where none can be told."""
    found: list[dict[str, Any]] = []
    try:
        found = search().models()
    except EarthfieldError as error:
        with told():
            raise error
        return []
    if not found:
        st.info("There is no model yet. `earthfield train --name mine` makes one.", icon=":material/school:")
    return sorted(found, key=lambda one: (not one["fields"], one["name"]))


def _choose(models: list[dict[str, Any]]) -> dict[str, Any]:
    """Lets a person choose a model; the choice holds while the session does."""
    names = [one["name"] for one in models]
    kept = st.session_state.get("kept-model")
    at = st.selectbox(
        "Model", range(len(models)), index=names.index(kept) if kept in names else 0,
        format_func=lambda one: _title(models[one]),
    )  # fmt: skip
    st.session_state["kept-model"] = names[at]
    return models[at]


def _title(model: Mapping[str, Any]) -> str:
    num = len(model["periods"])
    return f"{model['name']} · " + (f"maps of {num} period{'s' if num != 1 else ''}" if num else "no map yet")
