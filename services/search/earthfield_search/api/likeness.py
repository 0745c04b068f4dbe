"""How alike every pixel of an area is to examples, as files."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from earthfield_search.api.asked import SimilarRequest, about
from earthfield_search.api.deps import AnswerFolder, Owner, Served, links_of
from earthfield_search.jobs.similar import find_similar, write_similar

router = APIRouter()


class Link(BaseModel):
    """A file of an answer."""

    href: str = Field(description="Path on this service.")
    type: str = Field(description="Media type.")
    title: str = Field(description="Name of the file.")


class LikenessMap(BaseModel):
    """Where files of an answer are."""

    query: dict[str, Any] = Field(description="What was asked, as /similarity tells it.")
    links: list[Link] = Field(
        description="The best places as GeoJSON; for each period and group of touching tiles a cloud-optimised "
        "GeoTIFF of cosines (NaN where there is no data) and a PNG of it."
    )


@router.post("/similarity/map", response_model=LikenessMap)
def likeness(
    request: Request, catalog: Served, owner: Owner, folder: AnswerFolder, asked: SimilarRequest
) -> dict[str, Any]:
    """Compares every pixel of the area with the examples; gives links to GeoTIFF, picture and best places."""
    answer = find_similar(catalog, asked.question(), owner=owner)
    files = write_similar(catalog, answer, folder=folder)
    return {"query": about(answer)["query"], "links": links_of(request, files)}
