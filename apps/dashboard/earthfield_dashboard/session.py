"""What every page shares: the services, and failures told with what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from earthfield.errors import EarthfieldError, Unavailable
from earthfield.settings import Settings
from earthfield_dashboard.client import Bounds, Heat, Layer, Place, RunClient, SearchClient


@st.cache_resource
def settings() -> Settings:
    """Gives where the services are."""
    return Settings()


@st.cache_resource
def search() -> SearchClient:
    """Gives the search service."""
    return SearchClient(settings().search_url)


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
        st.error(str(error), icon=":material/cloud_off:")
    except EarthfieldError as error:
        st.warning(str(error), icon=":material/info:")


# The stamp is part of every key: a field that was made again is fetched again.


@st.cache_data(max_entries=16, show_spinner=False)
def picture(_layer: Layer, key: str, style: str) -> tuple[bytes, Bounds]:
    """Gives a layer in colour, and where it lies."""
    return search().picture(_layer, style), search().bounds(_layer)


@st.cache_data(max_entries=16, show_spinner=False)
def heat(_layer: Layer, key: str, place: Place) -> Heat:
    """Gives how alike every pixel of a layer is to a place."""
    return search().heat(_layer, place)


def key_of(layer: Layer) -> str:
    """Gives the key of a layer in caches and widgets."""
    return f"{layer.model}/{layer.period_id}/{layer.stamp}"
