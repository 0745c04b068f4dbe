"""Buttons that hand over files of the search service: fetched when they are pressed, not before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import streamlit as st

from earthfield.client import Client
from earthfield_dashboard.session import search

_KINDS = {
    ".tif": "GeoTIFF",
    ".png": "picture",
    ".json": "report",
    ".geojson": "GeoJSON",
    ".parquet": "GeoParquet",
}


def offer_files(links: Sequence[Mapping[str, str]], *, name: str, words: Callable[[str], str] = str) -> None:
    """Shows a button for each file of an answer.

    Args:
        links: as the service gave them.
        name: of the group of buttons, another one for each place on a page.
        words: what a file is called, by its name.
    """
    client = search()
    with st.container(horizontal=True, gap="small", key=f"files-{name}"):
        for link in links:
            kind = _KINDS.get(Path(link["title"]).suffix, "file")
            st.download_button(
                f"{words(link['title'])} ({kind})", _fetch(client, link), file_name=link["title"],
                mime=link["type"].partition(";")[0], icon=":material/download:", key=f"{name}-{link['href']}",
                on_click="ignore",
            )  # fmt: skip


def saved(write: Callable[[Path], Any], ending: str) -> Callable[[], bytes]:
    """Gives what reads a file that `write` makes, for a button: nothing is made before it is pressed."""

    def read() -> bytes:
        with TemporaryDirectory() as folder:
            path = Path(folder) / f"answer{ending}"
            write(path)
            return path.read_bytes()

    return read


def _fetch(client: Client, link: Mapping[str, str]) -> Callable[[], bytes]:
    def read() -> bytes:
        with TemporaryDirectory() as folder:
            [path] = client.download({"links": [link]}, folder)
            return path.read_bytes()

    return read
