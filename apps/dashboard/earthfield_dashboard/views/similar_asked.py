"""What is asked on the page *Similar*: examples by click, drawing and words, and where to look for the like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from earthfield.client import Place
from earthfield_dashboard.layers import Layer
from earthfield_dashboard.session import search
from earthfield_dashboard.words import degrees

_APART_M = (0, 50, 100, 250, 500, 1000)
_MEANING = "similar-meaning"
_LIKE, _UNLIKE, _WITHIN = "Like this", "Not like this", "Look only here"
_MEANINGS = {
    _LIKE: "Click places, or draw a shape, that look like what you want.",
    _UNLIKE: "Click places that do not look like it: answers that were wrong.",
    _WITHIN: "Draw a box or a polygon: only places in it are found.",
}


@dataclass(frozen=True)
class Examples:
    """What it looks like, and where to look; it lives in the session."""

    at: tuple[Place, ...] = ()
    """Places that look like it."""
    not_at: tuple[Place, ...] = ()
    """Places that do not."""
    polygon: Mapping[str, Any] | None = None
    """A shape that looks like it, GeoJSON."""
    text: str = ""
    """Words for it."""
    area: Mapping[str, Any] | None = None
    """Where to look; everywhere when absent."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing says yet what is looked for."""
        return not (self.at or self.polygon or self.text)

    @property
    def words(self) -> str:
        """What is looked for, in few words."""
        parts = [degrees(*self.at[0])] if len(self.at) == 1 else [f"{len(self.at)} places"] if self.at else []
        parts += ["the shape you drew"] if self.polygon else []
        parts += [f"“{self.text}”"] if self.text else []
        count = len(self.not_at)
        unlike = f", but not like {count} other{'s' if count != 1 else ''}" if count else ""
        return " and ".join(parts) + unlike


def examples() -> Examples:
    """Gives what is asked now."""
    found: Examples = st.session_state.get("similar-examples", Examples())
    return found


def change(**what: Any) -> None:
    """Asks something else; `undo` comes back from it."""
    st.session_state.setdefault("similar-past", []).append(examples())
    st.session_state["similar-examples"] = replace(examples(), **what)
    st.session_state.pop("similar-again", None)


def undo() -> None:
    """Takes the last change back."""
    past = st.session_state.get("similar-past")
    if past:
        st.session_state["similar-examples"] = past.pop()
    _redraw()


def start_again() -> None:
    """Forgets what was asked; `undo` comes back from it."""
    change(**vars(Examples()))
    _redraw()


def _redraw() -> None:
    """Lets fields and drawings that hold what was asked before be made anew."""
    st.session_state.pop("similar-again", None)
    st.session_state["similar-version"] = version() + 1


def version() -> int:
    """Changes when what was typed or drawn must be shown anew."""
    return int(st.session_state.get("similar-version", 0))


def choose_meaning() -> None:
    """Lets a person choose what the next click or drawing means."""
    st.segmented_control(
        "The next click or drawing on the map means", list(_MEANINGS), default=_LIKE, required=True,
        key=_MEANING,
    )  # fmt: skip
    st.caption(_MEANINGS[meaning()])


def meaning() -> str:
    """Gives what a click or drawing means now."""
    return st.session_state.get(_MEANING) or _LIKE


def take(meaning: str, clicked: Place | None, drawn: Mapping[str, Any] | None) -> None:
    """Takes what was done on the map into the question."""
    if drawn and meaning == _UNLIKE:
        st.toast("Places that it is not like are told by a click each.", icon=":material/info:")
    elif drawn:
        change(**({"area": drawn} if meaning == _WITHIN else {"polygon": drawn}))
    elif clicked and meaning == _WITHIN:
        st.toast("Draw a box or a polygon with the buttons on the map.", icon=":material/info:")
    elif clicked:
        add(clicked, wanted=meaning == _LIKE)


def add(place: Place, *, wanted: bool) -> None:
    """Adds a place that looks like it, or one that does not."""
    if wanted:
        change(at=(*examples().at, place))
    else:
        change(not_at=(*examples().not_at, place))


def show_examples(layer: Layer) -> None:
    """Shows what is looked for, with words and typed places, and what takes it back."""
    st.subheader("What to look for")
    now = examples()
    if now.is_empty and now.not_at:
        st.info("Say what it *is* like too: click a place or draw a shape.", icon=":material/info:")
    elif now.is_empty:
        st.markdown("Nothing yet. **Click the map**, draw a shape, or use words.")
    else:
        st.markdown(f"Places like **{now.words}**.")
    undo_at, again_at = st.columns(2)
    past = bool(st.session_state.get("similar-past"))
    undo_at.button("Undo", icon=":material/undo:", on_click=undo, disabled=not past, width="stretch")
    again_at.button(
        "Start again",
        icon=":material/restart_alt:",
        on_click=start_again,
        disabled=now == Examples(),
        width="stretch",
    )
    _ask_in_words(layer)
    _type_place(layer)


@st.cache_data(ttl=60, show_spinner=False)
def _models() -> dict[str, bool]:
    """Whether models can be asked in words, by name."""
    return {one["name"]: bool(one.get("texts")) for one in search().models()}


def _ask_in_words(layer: Layer) -> None:
    if not _models().get(layer.model):
        st.caption(f"The model {layer.model} was trained without texts, so it cannot be asked in words.")
        return
    typed = st.text_input(
        "In words", value=examples().text, key=f"similar-words-{version()}", placeholder="grassland", max_chars=500,
        help="English words for land, such as grassland, maize, water, town. Alone, or together with places.",
    )  # fmt: skip
    if typed.strip() != examples().text:
        change(text=typed.strip())
        st.rerun()


def _type_place(layer: Layer) -> None:
    with st.expander("Type a place instead of clicking"), st.form("similar-place", border=False):
        west, south, east, north = layer.bounds
        lon_at, lat_at = st.columns(2)
        lon = lon_at.number_input("Longitude", -180.0, 180.0, (west + east) / 2, format="%.6f", step=0.001)
        lat = lat_at.number_input("Latitude", -90.0, 90.0, (south + north) / 2, format="%.6f", step=0.001)
        like_at, unlike_at = st.columns(2)
        if like_at.form_submit_button("It is like this", width="stretch"):
            add((lon, lat), wanted=True)
            st.rerun()
        if unlike_at.form_submit_button("Not like this", width="stretch"):
            add((lon, lat), wanted=False)
            st.rerun()


def choose_limits(layer: Layer, there: Sequence[Layer]) -> dict[str, Any]:
    """Lets a person choose where to look and how many; gives those fields of the question."""
    count_at, apart_at = st.columns(2)
    k = count_at.number_input("How many", 1, 200, 20)
    apart_m = apart_at.selectbox(
        "At least apart", _APART_M, index=2, format_func=lambda one: f"{one} m" if one else "any distance"
    )
    with st.expander("Where to look"):
        others = [one.period for one in there if one.model == layer.model]
        periods = st.multiselect(
            "Periods", others, placeholder=f"{layer.period}, as the map",
            help="Where in these periods does it look as it does here? Compare years with years.",
        )  # fmt: skip
        purity = st.slider(
            "Uniform at least",
            0.0,
            1.0,
            0.0,
            0.05,
            help="How much the pixels of a place of 80 m agree, 0 to 1.",
        )
        if examples().area:
            st.button(
                "Look everywhere again",
                icon=":material/zoom_out_map:",
                on_click=change,
                kwargs={"area": None},
            )
        else:
            st.caption(f"To look only in a part of the map, choose *{_WITHIN}* over the map and draw it.")
    return {"k": int(k), "min_distance_m": apart_m, "min_purity": purity, "periods": periods}


def question_of(asked: Examples, limits: Mapping[str, Any], layer: Layer) -> dict[str, Any]:
    """Gives a question as the search service takes it; what is not asked is left out."""
    told = {
        "at": asked.at, "not_at": asked.not_at, "polygon": asked.polygon, "text": asked.text, "area": asked.area,
        "period": layer.period_id, **limits,
    }  # fmt: skip
    return {name: value for name, value in told.items() if value}


def is_one_click(question: Mapping[str, Any], layer: Layer) -> bool:
    """Tells whether a question is one place and the map's own period: its heat map is there without being asked."""
    richer = any(question.get(name) for name in ("not_at", "polygon", "text", "area"))
    here = question.get("periods", [layer.period]) == [layer.period]
    return here and not richer and len(question.get("at", ())) == 1
