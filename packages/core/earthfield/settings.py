"""Where am I: settings read from `EARTHFIELD_*` at the edges, never at import."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from earthfield.places import RootField, folder_of


def _state_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "earthfield"


class Settings(BaseSettings):
    """Settings of this installation."""

    model_config = SettingsConfigDict(env_prefix="EARTHFIELD_", extra="ignore")

    root: Annotated[RootField, NoDecode] = Field(
        default=Path("earthfield-data"),
        description="Folder that holds every artefact, or s3://bucket/prefix for cubes.",
    )
    state: Path = Field(
        default_factory=_state_folder, description="Folder for what may be lost: run history."
    )
    catalog: str = Field(default="", description="STAC catalogue that the dashboard offers first.")
    osm_url: str = Field(
        default="https://overpass-api.de/api/interpreter",
        description="Overpass server, or an address with {relation} that answers GeoJSON.",
    )
    search_url: str = Field(default="http://127.0.0.1:8801", description="Address of the search service.")
    prefect_url: str = Field(default="http://127.0.0.1:8802/api", description="Address of Prefect's API.")
    dashboard_port: int = Field(default=8800, description="Port of the dashboard.")
    threads: int = Field(default=0, description="Threads for computing; 0 takes all cores.")
    devices: str = Field(
        default="", description="Devices that encode, such as cuda:0,cuda:1 or cpu; every GPU where empty."
    )

    @property
    def folder(self) -> Path:
        """The root where it must be a folder.

        Raises:
            InvalidInput: it is a bucket.
        """
        return folder_of(self.root)
