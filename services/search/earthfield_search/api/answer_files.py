"""Files of answers: where a request's files go, and how their owner, and nobody else, fetches them."""

from __future__ import annotations

import re
import secrets
import shutil
from pathlib import Path
from typing import Any

from earthfield.catalog import Catalog
from earthfield.errors import Internal, NotFound

MEDIA_TYPES = {
    ".tif": "image/tiff; application=geotiff; profile=cloud-optimized",
    ".png": "image/png",
    ".geojson": "application/geo+json",
    ".json": "application/json",
    ".parquet": "application/vnd.apache.parquet",
    ".csv": "text/csv; charset=utf-8",
}
"""Kinds of files that are served, by ending."""
_FILE = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,214}$")
_FOLDER = re.compile(r"^a-[0-9a-f]{16}$")


def new_answer_folder(catalog: Catalog, owner: str, *, keep: int) -> Path:
    """Names a folder for the files of one answer, and removes an owner's oldest ones beyond `keep`.

    The folder appears with its first file: most questions write none.
    """
    home = catalog.owned_answers(owner)
    for old in answer_folders(home)[: -max(1, keep) or None]:
        shutil.rmtree(old, ignore_errors=True)
    return home / f"a-{secrets.token_hex(8)}"


def answer_folders(home: Path) -> list[Path]:
    """Lists the folders of answers of one owner, oldest first."""
    if not home.is_dir():
        return []
    found = [
        (one.stat().st_mtime_ns, one)
        for one in home.iterdir()
        if _FOLDER.fullmatch(one.name) and one.is_dir()
    ]
    return [one for _, one in sorted(found)]


def link_of(root_path: str, home: Path, path: Path) -> dict[str, str]:
    """Gives the link of an answer's file.

    Args:
        root_path: what stands before every path of the service, behind a proxy.
        home: the owner's folder of answers.
        path: the file.

    Raises:
        Internal: the file does not lie in a folder of that owner's answers.
    """
    is_ours = (
        path.parent.parent == home and _FOLDER.fullmatch(path.parent.name) and _FILE.fullmatch(path.name)
    )
    if not is_ours:
        raise Internal(f"{path} was not written as an answer: report this to the authors")
    media = MEDIA_TYPES.get(path.suffix, "application/octet-stream")
    return {"href": f"{root_path}/answers/{path.parent.name}/{path.name}", "type": media, "title": path.name}


def answer_file(home: Path, answer: str, name: str) -> tuple[Path, str]:
    """Finds a file of an owner's answer, with its media type.

    Raises:
        NotFound: there is none of this name, or what lies there is no plain file.
    """
    absent = NotFound(
        f"there is no answer {answer[:64]}/{name[:64]} of yours: it may have made room for newer ones"
    )
    if not (_FOLDER.fullmatch(answer) and _FILE.fullmatch(name)):
        raise absent
    path = home / answer / name
    if path.suffix not in MEDIA_TYPES or path.is_symlink() or not path.is_file():
        raise absent
    return path, MEDIA_TYPES[path.suffix]


def told(root_path: str, folder: Path) -> dict[str, Any]:
    """Tells the files of one answer."""
    files = sorted(
        one for one in folder.iterdir() if one.suffix in MEDIA_TYPES and not one.name.startswith(".")
    )
    return {"id": folder.name, "files": [link_of(root_path, folder.parent, one) for one in files]}
