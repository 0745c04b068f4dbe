"""API keys: who may ask for what; the file holds hashes only, so a key can be seen once, when it is made."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from earthfield.errors import BrokenArtefact, InvalidInput, NotFound
from earthfield.storage import make_folder, one_at_a_time, whole_file

SCOPES = {
    "read": "what is there, embeddings, pictures and tiles, your own answers, labels and saved searches",
    "ask": "questions: similarity, classes, values, clusters, change",
    "write": "labels and saved searches of your own, removing answers",
    "admin": "metrics",
}
"""What a key may be for."""
_SCHEMA = "earthfield-keys/1"
_OWNER = re.compile(r"^[a-z0-9][a-z0-9_-]{0,39}$")
_KEY = re.compile(r"^ef_([0-9a-f]{12})_[A-Za-z0-9_-]{43}$")


@dataclass(frozen=True)
class Key:
    """What is kept of a key."""

    id: str
    """Second part of the key itself; no secret."""
    owner: str
    """Whose labels, searches and answers it reaches."""
    scopes: tuple[str, ...]
    """What it is for."""
    sha256: str
    """Hash of the whole key: it has 256 random bits, so a slow hash would protect nothing more."""
    made: str
    """When, UTC."""


@dataclass(frozen=True)
class Caller:
    """Who asks."""

    id: str
    """Id of the key, or the address where there is none."""
    owner: str = ""
    """Whose things it reaches; empty where the service has no keys."""
    scopes: tuple[str, ...] = tuple(SCOPES)
    """What it may ask for."""


class KeyRing:
    """The keys of a file, read again when it changes: a key that was removed is refused at once."""

    def __init__(self, path: Path) -> None:
        """Reads the file.

        Raises:
            NotFound: it is absent.
            BrokenArtefact: it cannot be read as one.
        """
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._keys: dict[str, Key] = {}
        self.refresh()

    def refresh(self) -> None:
        """Reads the file again if it changed; errors as above, and then no key is good."""
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._keys, self._stamp = {}, None
        self._keys = {key.id: key for key in read_keys(self._path)}
        self._stamp = stamp

    def caller(self, text: str) -> Caller | None:
        """Gives who carries a key, or None where it is not good."""
        self.refresh()
        match = _KEY.fullmatch(text)
        known = self._keys.get(match[1]) if match else None
        if known is None or not hmac.compare_digest(known.sha256, _hash(text)):
            return None
        return Caller(known.id, known.owner, known.scopes)


def read_keys(path: Path) -> list[Key]:
    """Reads a file of keys; errors as in `KeyRing`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != _SCHEMA:
            raise ValueError(f"its schema is not {_SCHEMA}")
        return [_checked(Key(**{**one, "scopes": tuple(one["scopes"])})) for one in content["keys"]]
    except FileNotFoundError as error:
        raise NotFound(f"there is no file of keys {path}: make one with `earthfield keys add`") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BrokenArtefact(f"{path} cannot be read as a file of keys ({error}): repair it") from error


def add_key(path: Path, owner: str, scopes: Sequence[str]) -> tuple[str, Key]:
    """Makes a key and adds it to a file, which only its owner on this machine can read.

    Returns:
        The key itself, which is kept nowhere, and what is kept of it.

    Raises:
        InvalidInput: no name for an owner, or a scope that there is not.
        BrokenArtefact: the file cannot be read.
    """
    key_id = secrets.token_hex(6)
    text = f"ef_{key_id}_{secrets.token_urlsafe(32)}"
    key = _checked(
        Key(
            key_id,
            owner,
            tuple(dict.fromkeys(scopes)),
            _hash(text),
            f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        )
    )
    with one_at_a_time(make_folder(path.parent)):
        _write(path, [*(read_keys(path) if path.exists() else []), key])
    return text, key


def remove_key(path: Path, key_id: str) -> Key:
    """Removes a key from a file by its id; what its owner keeps stays.

    Raises:
        NotFound: no key of the file has this id, or there is no file.
        BrokenArtefact: the file cannot be read.
    """
    with one_at_a_time(make_folder(path.parent)):
        keys = read_keys(path)
        gone = next((key for key in keys if key.id == key_id), None)
        if gone is None:
            raise NotFound(f"{path} holds no key {key_id!r}: `earthfield keys list` tells which there are")
        _write(path, [key for key in keys if key != gone])
    return gone


def _write(path: Path, keys: Sequence[Key]) -> None:
    content = {"schema": _SCHEMA, "keys": [asdict(key) for key in keys]}
    with whole_file(path) as temporary:
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _checked(key: Key) -> Key:
    if not _OWNER.fullmatch(key.owner):
        raise InvalidInput(
            f"{key.owner!r} cannot own a key: small letters, digits, '_' and '-' only, at most 40"
        )
    if not (isinstance(key.sha256, str) and len(key.sha256) == 64):
        raise InvalidInput(f"what is kept of the key {key.id!r} holds no hash")
    strange = [one for one in key.scopes if one not in SCOPES]
    if strange or not key.scopes:
        raise InvalidInput(
            f"{', '.join(strange) or 'nothing'} is not a scope of keys: choose of {', '.join(SCOPES)}"
        )
    return key


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        told = path.stat()
    except OSError as error:
        raise NotFound(f"there is no file of keys {path}: make one with `earthfield keys add`") from error
    return told.st_mtime_ns, told.st_ino, told.st_size
