"""Providers: whose servers hold scenes, and what each of them wants from a guest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from earthfield.errors import Unavailable


@dataclass(frozen=True)
class Provider:
    """One provider of scenes."""

    name: str
    """What `--catalog` calls it."""
    title: str
    """What a person calls it."""
    url: str
    """Address of its STAC API."""
    hosts: tuple[str, ...] = ()
    """Hosts of its API and assets, with all their subdomains; buckets as `s3://name`."""
    max_connections: int = 8
    """Connections that one job may hold to it at a time."""
    sign: Callable[[str], str] | None = None
    """Turns an asset's address into one that may be read."""
    s3: Mapping[str, str] = field(default_factory=dict)
    """Settings of its object store: `endpoint`, `region`, `anonymous`, `requester_pays`."""


def _signed(address: str) -> str:
    import planetary_computer
    import requests

    try:
        return str(planetary_computer.sign(address))
    except requests.RequestException as error:
        raise Unavailable(
            f"the Planetary Computer signs no address now ({error}): try again later"
        ) from error


PROVIDERS: tuple[Provider, ...] = (
    Provider(
        "planetary-computer",
        "Microsoft Planetary Computer",
        "https://planetarycomputer.microsoft.com/api/stac/v1",
        hosts=("planetarycomputer.microsoft.com", "blob.core.windows.net"),
        sign=_signed,
    ),
    Provider(
        "earth-search",
        "Earth Search by Element 84",
        "https://earth-search.aws.element84.com/v1",
        hosts=("earth-search.aws.element84.com", "s3://sentinel-cogs"),
        s3={"region": "us-west-2", "anonymous": "true"},
    ),
    Provider(
        "cdse",
        "Copernicus Data Space Ecosystem",
        "https://stac.dataspace.copernicus.eu/v1",
        hosts=("dataspace.copernicus.eu", "s3://eodata"),
        max_connections=4,
        s3={"endpoint": "https://eodata.dataspace.copernicus.eu"},
    ),
)
UNKNOWN = Provider("", "a server", "")


def provider_of(address: str) -> Provider:
    """Gives the provider that an address belongs to, or one without any rules of its own."""
    parts = urlsplit(address)
    host = f"s3://{parts.netloc}" if parts.scheme == "s3" else (parts.hostname or "")
    for provider in PROVIDERS:
        if any(host == own or host.endswith(f".{own}") for own in provider.hosts):
            return provider
    return UNKNOWN


def address_of(catalog: str) -> str:
    """Gives the address that `--catalog` means: a provider's API where its name is given, else what was given."""
    known = {provider.name: provider.url for provider in PROVIDERS}
    return known.get(catalog.strip().lower(), catalog)
