"""Where am I: settings read from `EARTHFIELD_*` at the edges, never at import."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr
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
    index: Annotated[RootField | None, NoDecode] = Field(
        default=None,
        description="Folder or s3://bucket/prefix of the vector index, where it does not lie under the root.",
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
    search_key: str = Field(
        default="", description="Key that this installation's own programs send to the search service."
    )
    api_keys: Path | None = Field(
        default=None,
        description="File of the keys that the search service asks for; open to all without one.",
    )
    api_open: bool = Field(
        default=False, description="Serve other machines too although no keys are asked for."
    )
    api_cors: str = Field(
        default="", description="Origins whose web pages may ask the search service, with commas; * for any."
    )
    api_rate: float = Field(
        default=100.0, ge=0, description="Requests a second for each key or address; 0 for no limit."
    )
    api_body_mb: float = Field(default=16.0, gt=0, description="Largest request, megabytes.")
    api_seconds: float = Field(default=300.0, gt=0, description="Longest that a request may take, seconds.")
    api_jobs: int = Field(default=2, ge=1, description="Long questions answered at a time.")
    api_cache_mb: float = Field(
        default=384.0, ge=0, description="Decoded fields that are kept in memory, megabytes; a tile takes 67."
    )
    api_answers: int = Field(
        default=200, ge=1, description="Answers kept as files for each key; the oldest make room."
    )
    prefect_url: str = Field(default="http://127.0.0.1:8802/api", description="Address of Prefect's API.")
    encoder_url: str = Field(
        default="",
        description="Address of the encoder that flows use where a request names none: grpc://host:port.",
    )
    encoder_http: str = Field(
        default="",
        description="The same encoder's HTTP address, http://host:port, which tells whether it is ready.",
    )
    dashboard_port: int = Field(default=8800, description="Port of the dashboard.")
    dashboard_host: str = Field(
        default="127.0.0.1",
        description="Address that the dashboard listens at; any but loopback needs a login.",
    )
    dashboard_url: str = Field(
        default="",
        description="Address under which people open the dashboard, https://maps.example.org behind a proxy.",
    )
    dashboard_password: SecretStr = Field(
        default=SecretStr(""),
        description="Password of the dashboard; no login where empty, on loopback only.",
    )
    dashboard_secret: SecretStr = Field(
        default=SecretStr(""),
        description="What logins are signed with, so that they outlive a restart; random where empty.",
    )
    dashboard_hours: float = Field(default=12.0, gt=0, description="Hours that a login holds.")
    oidc_issuer: str = Field(
        default="", description="Address of an OpenID Connect provider that logs people in."
    )
    oidc_client_id: str = Field(default="", description="Id of the dashboard at that provider.")
    oidc_client_secret: SecretStr = Field(default=SecretStr(""), description="Its secret there.")
    oidc_allowed: str = Field(
        default="",
        description="Who of them may come in, with commas: ann@example.org, @example.org, or * for anybody there.",
    )
    metrics_host: str = Field(default="127.0.0.1", description="Address that the flows' metrics are told at.")
    metrics_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="Port for Prometheus in the process that serves the flows; 0 for none.",
    )
    webhook: str = Field(
        default="",
        description="Address that is told of failed runs and of news: https, or http on this machine.",
    )
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
