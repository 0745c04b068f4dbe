"""Wikipedia: lists of articles that have coordinates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from earthfield_ingest.texts.records import NO_ID, NO_PLACE, NO_TEXT, Dropped, Found, Record, place_of

_HOST = re.compile(r"^([a-z]{2,3}(?:-[a-z]+)*)(?:\.m)?\.wikipedia\.org$")


def is_articles(content: Any) -> bool:
    """Tells whether JSON is a list of articles: objects with a page id and a title."""
    return isinstance(content, list) and any(
        isinstance(one, dict) and "pageid" in one for one in content[:100]
    )


def articles(content: list[Any]) -> Iterator[Found]:
    """Yields the articles of a list: `pageid`, `title`, `lat`, `lon` and `url` each. The text is the title."""
    for one in content:
        yield _article(one if isinstance(one, dict) else {})


def _article(one: dict[str, Any]) -> Found:
    url, title = str(one.get("url") or ""), str(one.get("title") or "").strip()
    host = _HOST.match(urlsplit(url).hostname or "")
    # Without its address nobody can tell which Wikipedia an article is of, and so whom to name.
    if host is None or not one.get("pageid"):
        return Dropped(NO_ID)
    place = place_of(one.get("lon"), one.get("lat"))
    if place is None:
        return Dropped(NO_PLACE)
    if not title:
        return Dropped(NO_TEXT)
    language = host[1]
    return Record(
        lon=place[0],
        lat=place[1],
        text=title,
        kind="wikipedia",
        id=f"{language}:{one['pageid']}",
        name=title,
        licence="CC-BY-SA-4.0",
        attribution=f"Wikipedia contributors, {language}.wikipedia.org",
        url=url,
        language=language,
    )
