"""A real S3 server (moto) in a thread, for the tests that keep cubes and assets in a bucket."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import obstore
from moto.backends import get_backend
from moto.server import ThreadedMotoServer
from obstore.store import S3Store

from earthfield.catalog import Catalog
from earthfield.cube import Cube
from earthfield.grid import Window

BUCKET = "earth"
_ACCOUNT = "123456789012"


@dataclass(frozen=True)
class ObjectStore:
    """A running server with one bucket, which the environment of this process and its children leads to."""

    endpoint: str
    """Its address."""

    def address(self, name: str) -> str:
        """Gives the address of a prefix of the bucket."""
        return f"s3://{BUCKET}/{name}"

    def open(self, name: str = "") -> S3Store:
        """Opens a prefix of the bucket."""
        return S3Store(BUCKET, prefix=name, client_options={"allow_http": True})

    def sizes(self, name: str) -> dict[str, int]:
        """Gives the objects below a prefix with their sizes in bytes."""
        return {one["path"]: one["size"] for page in self.open(name).list() for one in page}

    def count(self) -> int:
        """Gives how many objects the bucket holds, without asking over the wire."""
        return len(get_backend("s3")[_ACCOUNT]["aws"].buckets[BUCKET].keys)

    def upload(self, folder: Path, name: str) -> None:
        """Puts every file below a folder under a prefix."""
        store = self.open(name)
        for path in folder.rglob("*"):
            if path.is_file():
                obstore.put(store, str(path.relative_to(folder)), path.read_bytes())

    def age(self, by: timedelta) -> None:
        """Makes every object look older."""
        for key in get_backend("s3")[_ACCOUNT]["aws"].buckets[BUCKET].keys.values():
            key.last_modified -= by


@contextmanager
def running() -> Iterator[ObjectStore]:
    """Starts a server on a free port with an empty bucket, and stops it afterwards."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    told = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ALLOW_HTTP": "true",
    }
    backend = get_backend("s3")[_ACCOUNT]["aws"]
    try:
        with patch.dict(os.environ, told):
            backend.create_bucket(BUCKET, "us-east-1")
            yield ObjectStore(told["AWS_ENDPOINT_URL"])
    finally:
        server.stop()
        backend.reset()  # the backend lives in this process, and outlives its server


def lead_to(store: ObjectStore, catalog: Path, copy: Path, name: str) -> None:
    """Copies a static catalogue's JSON so that its assets are those uploaded under a prefix of the bucket."""
    for path in catalog.rglob("*.json"):
        content = json.loads(path.read_text())
        beside = path.parent.relative_to(catalog)
        for asset in content.get("assets", {}).values():
            where = os.path.normpath(beside / asset["href"])
            asset["href"] = store.address(f"{name}/{where}")
        target = copy / path.relative_to(catalog)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(content))


def everything(root: str | Path) -> dict[str, Any]:
    """Gives all that the cubes of a root hold and remember, by tile, source and step, whatever the slots."""
    found: dict[str, Any] = {}
    for tile in Catalog(root).cube_tiles():
        cube = Cube(Catalog(root).cube(tile))
        for source in cube.sources:
            told = dict(cube.attributes(source))
            part = _known(told["ledger"])
            seen = cube.observations(source)
            values, valid = cube.read(source, [one.slot for one in seen], part)
            for one, numbers, clear in zip(seen, values, valid, strict=True):
                found[f"{tile.id}/{source}/{one.step}"] = (
                    one.acquired, one.items, one.about, numbers.tobytes(), clear.tobytes(),
                )  # fmt: skip
            found[f"{tile.id}/{source}"] = told
    return found


def commits(root: str | Path) -> dict[str, list[str]]:
    """Gives the messages of every cube's commits, the last first, without Icechunk's own."""
    places = map(Catalog(root).cube, Catalog(root).cube_tiles())
    return {
        place.tile.id: [one.message for one in place.open().ancestry(branch="main")][:-1] for place in places
    }


def _known(ledger: Mapping[str, Any]) -> Window:
    """The pixels that a ledger tells of, and some around them."""
    windows = [Window(*entry["window"]) for entry in ledger.values()]
    hull = windows[0]
    for one in windows:
        hull |= one
    return hull.padded(4) & Window(0, 1024, 0, 1024)
