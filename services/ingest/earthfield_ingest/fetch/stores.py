"""Stores: pieces of objects in S3, Google Cloud Storage and Azure, through obstore."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

from earthfield.errors import BrokenArtefact
from earthfield_ingest.access import shown
from earthfield_ingest.fetch.limits import Limits
from earthfield_ingest.fetch.patience import Trouble
from earthfield_ingest.fetch.pieces import Piece
from earthfield_ingest.fetch.web import Refused
from earthfield_ingest.providers import provider_of

if TYPE_CHECKING:
    from obstore.store import ObjectStore

T = TypeVar("T")

_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")


class Stores:
    """Opens each bucket once; shared by the threads of a job."""

    def __init__(self, limits: Limits) -> None:
        """Args: how long to wait."""
        self._limits = limits
        self._lock = threading.Lock()
        self._stores: dict[str, ObjectStore] = {}

    def piece(self, address: str, start: int, stop: int) -> Piece:
        """Fetches bytes of an object, once.

        Raises:
            Trouble: another try may help.
            Refused: the store will not give it.
        """
        import obstore

        def asked() -> Piece:
            answer = obstore.get(self._store(address), _key(address), options={"range": (start, stop)})
            data = bytes(answer.bytes())
            if len(data) != answer.range[1] - answer.range[0]:
                raise Trouble("the answer was cut short")
            return Piece(answer.range[0], data, answer.meta["size"], answer.meta["e_tag"] or "")

        return _told(address, asked)

    def whole(self, address: str, *, most: int) -> bytes:
        """Fetches an object of at most `most` bytes; errors as in `piece`."""
        import obstore

        def asked() -> bytes:
            answer = obstore.get(self._store(address), _key(address))
            if answer.meta["size"] > most:
                raise BrokenArtefact(f"{shown(address)} is longer than {most / 1e6:.0f} MB")
            return bytes(answer.bytes())

        return _told(address, asked)

    def _store(self, address: str) -> ObjectStore:
        root = "{0.scheme}://{0.netloc}".format(urlsplit(address))
        with self._lock:
            if root not in self._stores:
                self._stores[root] = self._opened(root)
            return self._stores[root]

    def _opened(self, root: str) -> ObjectStore:
        from obstore.store import from_url

        whole = timedelta(seconds=self._limits.budget_s)
        client: dict[str, Any] = {
            "timeout": whole,
            "read_timeout": timedelta(seconds=self._limits.read_s),
            "connect_timeout": timedelta(seconds=self._limits.connect_s),
        }
        # It tries only once: how often is decided in one place, for every server.
        config: dict[str, Any] = {"retry_config": {"max_retries": 0, "retry_timeout": whole}}
        config |= s3_settings(root) if root.startswith("s3://") else _guest_settings(root)
        client["allow_http"] = str(config.get("endpoint", "")).startswith("http://")
        return from_url(root, client_options=client, **config)  # type: ignore[call-overload, no-any-return]


def s3_settings(root: str) -> dict[str, Any]:
    """What the provider asks for; an endpoint in the environment (`AWS_*`) is the user's, and goes first."""
    ours = dict(provider_of(root).s3)
    settings: dict[str, Any] = {}
    endpoint = next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), ours.get("endpoint"))
    if endpoint:
        settings["endpoint"] = endpoint
    region = ours.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    settings["region"] = region or "us-east-1"
    if ours.get("requester_pays") == "true":
        settings["request_payer"] = True
    if ours.get("anonymous") == "true" and not any(os.environ.get(name) for name in _ENDPOINTS):
        settings["skip_signature"] = True
    return settings


def _guest_settings(root: str) -> dict[str, Any]:
    """Reads as anybody, unless the environment names an account."""
    if root.startswith("gs://"):
        named = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS") or os.environ.get("GOOGLE_SERVICE_ACCOUNT")
    else:
        named = os.environ.get("AZURE_STORAGE_ACCOUNT_KEY") or os.environ.get("AZURE_STORAGE_SAS_TOKEN")
    return {} if named else {"skip_signature": True}


def _key(address: str) -> str:
    return unquote(urlsplit(address).path.lstrip("/"))


def _told(address: str, asked: Callable[[], T]) -> T:
    """Asks, and turns what a store says into our errors."""
    from obstore import exceptions

    try:
        return asked()
    except (FileNotFoundError, exceptions.NotFoundError) as error:
        raise Refused(f"{shown(address)} answers 404: nothing is there", 404) from error
    except (PermissionError, exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        raise Refused(f"{shown(address)} answers 403: it refuses access", 403) from error
    except exceptions.BaseError as error:
        found = re.search(r"status code: (\d{3})", str(error))
        status = int(found[1]) if found else 0
        if 400 <= status < 500 and status not in (408, 429):
            raise Refused(f"{shown(address)} answers {status}: that cannot be used", status) from error
        raise Trouble(f"it answers {status}" if status else _first_line(error)) from error


def _first_line(error: Exception) -> str:
    """Gives what a store says, without the addresses in it: they may be signed."""
    return re.sub(r"https?://\S+", "its server", str(error).split("\n", 1)[0])
