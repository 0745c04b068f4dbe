"""The legend of groups: colour, name to fill in, how much land; and everything as files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import streamlit as st

from earthfield.client import Client
from earthfield_dashboard.session import search
from earthfield_dashboard.views.cluster_kept import NOISE, Clustered
from earthfield_dashboard.views.downloads import offer_files
from earthfield_dashboard.words import hectares

_LOW_COSINE = 0.9


def show_legend(found: Clustered) -> None:
    """Shows the groups with their size, lets a person name them, and offers the files."""
    answer = found.answer
    st.subheader(f"{answer['k']} groups on {hectares(answer['pixels'] / 100)}")
    if found.is_dense:
        st.caption(f"{answer['noise']:.0%} of the land fits no group well and stays grey.")
    st.caption("Name what you recognise; names go into the files.")
    # Down the first column, then the second: on a phone they stand below one another.
    half = -(-len(found.sizes) // 2)
    for column, own in zip(
        st.columns(2, gap="medium"), (found.sizes[:half], found.sizes[half:]), strict=True
    ):
        with column:
            for one in own:
                _row(found, one)
    _files(found)


def _row(found: Clustered, one: Mapping[str, Any]) -> None:
    number = one["cluster"]
    label = "—" if number == NOISE else str(number)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.html(
            f'<span style="display:inline-flex;align-items:center;gap:.4rem;min-width:3.2rem">'
            f'<i style="width:1.4rem;height:1.4rem;border-radius:.25rem;border:1px solid #5b6b64;'
            f'background:{one["colour"]}"></i><b>{label}</b></span>', width="content",
        )  # fmt: skip
        if number == NOISE:
            st.markdown("fits no group", width="stretch")
        else:
            # The answer's own links tell one answer's names from another's.
            key = f"cluster-name-{found.answer['links'][0]['href']}-{number}"
            name = st.text_input(
                f"Name of group {number}", value=found.names.get(number, ""), key=key, max_chars=60,
                placeholder=f"Name of group {number}", label_visibility="collapsed",
            )  # fmt: skip
            _called(found, number, name.strip())
        st.markdown(f"{hectares(one['hectares'])} · {one['share']:.0%}{_kept(one)}", width="content")


def _called(found: Clustered, number: int, name: str) -> None:
    if name:
        found.names[number] = name
    else:
        found.names.pop(number, None)


def _kept(one: Mapping[str, Any]) -> str:
    """Says where a group took a number over from one that is hardly like it."""
    cosine = one.get("kept")
    return " · another kind than before" if cosine is not None and cosine < _LOW_COSINE else ""


def _files(found: Clustered) -> None:
    st.subheader("Download")
    client, names, stem = search(), dict(found.names), found.links(".json")[0]["title"].removesuffix(".json")
    with st.container(horizontal=True, gap="small"):
        for number, link in enumerate(found.links(".geojson")):
            st.download_button(
                "Outlines with names (GeoJSON)", lambda one=link: named_outlines(client, one, names),  # type: ignore[misc]
                file_name=link["title"], mime="application/geo+json", key=f"cluster-outlines-{number}",
                icon=":material/download:", on_click="ignore",
            )  # fmt: skip
        st.download_button(
            "Groups, sizes, names and centres (JSON)", json.dumps(_told(found), ensure_ascii=False, indent=1),
            file_name=f"{stem}_named.json", mime="application/json", icon=":material/download:",
            on_click="ignore",
        )  # fmt: skip
    offer_files([*found.rasters, *found.links(".png")], name="cluster", words=lambda _: "Map of the groups")
    if not found.answer["outlined"]:
        st.caption("Outlines are made of up to eight tiles: draw an area and ask again to get them.")


def _told(found: Clustered) -> dict[str, Any]:
    """Gives the answer as a file that stands on its own."""
    left_out = ("links", "clusters")
    groups = [{**one, "name": found.name(one["cluster"])} for one in found.answer["clusters"]]
    return {name: value for name, value in found.answer.items() if name not in left_out} | {
        "clusters": groups
    }


def named_outlines(client: Client, link: Mapping[str, str], names: Mapping[int, str]) -> bytes:
    """Fetches the outlines of groups and puts in what a person calls them."""
    with TemporaryDirectory() as folder:
        [path] = client.download({"links": [link]}, Path(folder))
        content = json.loads(path.read_bytes())
    for feature in content["features"]:
        number = feature["properties"]["cluster"]
        feature["properties"]["name"] = names.get(number) or feature["properties"]["name"]
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
