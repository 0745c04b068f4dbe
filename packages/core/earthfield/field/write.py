"""Writing a field: every file whole, the manifest last."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from earthfield.catalog import Catalog
from earthfield.field.collection import keep_collection
from earthfield.field.content import (
    EMBEDDING,
    ITEM,
    MANIFEST,
    PREVIEW,
    QUALITY,
    SCHEMA,
    THREE_AXES,
    FieldContent,
)
from earthfield.field.item import field_item
from earthfield.field.raster import write_embedding, write_quality
from earthfield.storage import hash_of_file, make_folder, whole_file, write_json, writing


def write_field(catalog: Catalog, content: FieldContent) -> Path:
    """Writes the files of a field; the manifest comes last, and without it the field is not there.

    Nothing in the files depends on the time of writing, so equal content gives equal bytes. Afterwards the
    collection of the model tells of it.

    Raises:
        Unavailable: the disk is full.
        InvalidInput: the root cannot be written, or the content is of a type that cannot be stored.
    """
    embedding, folder = content.embedding, make_folder(catalog.field(content.key))
    with writing(folder):
        (folder / MANIFEST).unlink(missing_ok=True)
        for name in {QUALITY, THREE_AXES} - _files(content).keys():
            (folder / name).unlink(missing_ok=True)
    hashes = {}
    for name, write in _files(content).items():
        with whole_file(folder / name) as path:
            write(path)
        hashes[name] = {"sha256": hash_of_file(folder / name), "bytes": (folder / name).stat().st_size}
    manifest = {"schema": SCHEMA, **content.manifest, "embedding": embedding.section(), "files": hashes}
    write_json(folder / ITEM, field_item(content.key, manifest, quality=tuple(content.quality)))
    write_json(folder / MANIFEST, manifest)
    keep_collection(catalog, content.key.model, changed=content.key)
    return folder


def _files(content: FieldContent) -> dict[str, Callable[[Path], None]]:
    files: dict[str, Callable[[Path], None]] = {
        EMBEDDING: lambda path: write_embedding(path, content),
        PREVIEW: lambda path: Image.fromarray(content.preview, "RGBA").save(path),
    }
    if content.quality:
        files[QUALITY] = lambda path: write_quality(path, content)
    picture = content.axes
    if picture is not None:
        files[THREE_AXES] = lambda path: Image.fromarray(picture, "RGBA").save(path)
    return files
