"""Answers that were written as files: listed, fetched and removed by whoever asked for them."""

from __future__ import annotations

import shutil
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import FileResponse

from earthfield.errors import NotFound
from earthfield_search.api.answer_files import MEDIA_TYPES, answer_file, answer_folders, told
from earthfield_search.api.deps import Owner, Served

router = APIRouter()

AnswerId = Annotated[str, Path(max_length=64, description="Id of an answer, as its links have it.")]


@router.get("/answers")
def answers(request: Request, catalog: Served, owner: Owner) -> dict[str, Any]:
    """Lists the answers of this key that were written as files, newest first."""
    root_path = request.scope.get("root_path", "")
    found = reversed(answer_folders(catalog.owned_answers(owner)))
    return {"answers": [told(root_path, folder) for folder in found]}


@router.get(
    "/answers/{answer}/{name}",
    response_class=FileResponse,
    responses={200: {"content": {media: {} for media in MEDIA_TYPES.values()}, "description": "The file."}},
)
def answer(
    catalog: Served,
    owner: Owner,
    answer: AnswerId,
    name: Annotated[str, Path(max_length=200, description="Name of one of its files.")],
) -> FileResponse:
    """Gives a file of an answer; parts of it too (`Range`), so that a COG can be read in place."""
    path, media = answer_file(catalog.owned_answers(owner), answer, name)
    return FileResponse(path, media_type=media, filename=path.name, content_disposition_type="inline")


@router.delete("/answers/{answer}", status_code=204)
def remove_answer(catalog: Served, owner: Owner, answer: AnswerId) -> None:
    """Removes an answer with its files."""
    home = catalog.owned_answers(owner)
    folder = next((one for one in answer_folders(home) if one.name == answer), None)
    if folder is None:
        raise NotFound(f"there is no answer {answer[:64]} of yours")
    shutil.rmtree(folder, ignore_errors=True)
