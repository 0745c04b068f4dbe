"""What every page shares: the services, the layer that is looked at, and failures told with what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import streamlit as st

from earthfield.client import Client
from earthfield.errors import EarthfieldError, Unavailable
from earthfield.settings import Settings
from earthfield_dashboard.layers import Layer, layers_of
from earthfield_dashboard.runs import RunClient


@st.cache_resource
def settings() -> Settings:
    """Gives where the services are."""
    return Settings()


@st.cache_resource
def search() -> Client:
    """Gives the search service."""
    return Client(settings().search_url, settings().search_key)


@st.cache_resource
def runs() -> RunClient:
    """Gives Prefect."""
    return RunClient(settings().prefect_url)


@contextmanager
def told() -> Iterator[None]:
    """Shows a failure of the block as a sentence, and goes on below."""
    try:
        yield
    except Unavailable as error:
        st.error(f"{error}. `earthfield up` starts it; then reload this page.", icon=":material/cloud_off:")
    except EarthfieldError as error:
        st.warning(str(error), icon=":material/info:")


def layers() -> list[Layer] | None:
    """Lists the maps that exist; None, and a message on the page, where none can be asked about now."""
    found: list[Layer] = []
    try:
        found = layers_of(search())
    except EarthfieldError as error:
        with told():
            raise error
        return None
    if not found:
        st.info("There is no map yet. Make one on the page *Area*.", icon=":material/map:")
        return None
    return found


def map_in_address(model: str, period: str) -> dict[str, str]:
    """Gives what names a map in the address of a page that takes it with `take_map_in_address`."""
    return {"model": model, "period": period}


def take_map_in_address() -> None:
    """Chooses the map that the page's address names, once: a person may choose another one then."""
    asked = st.query_params
    if "model" in asked and "period" in asked:
        st.session_state["kept-layer"] = (asked["model"], asked["period"])
        del asked["model"], asked["period"]


def choose_layer(found: Sequence[Layer], *, title: str = "Map", name: str = "layer") -> Layer:
    """Lets a person choose a layer; the choice holds on every page that asks under the same name.

    Args:
        found: the layers, at least one.
        title: what stands over the choice.
        name: under which name the session keeps it.
    """
    kept = st.session_state.get(f"kept-{name}")
    names = [(one.model, one.period) for one in found]
    at = names.index(kept) if kept in names else 0
    number = st.selectbox(title, range(len(found)), index=at, format_func=lambda one: found[one].title)
    st.session_state[f"kept-{name}"] = names[number]
    return found[number]
