"""When schedules run and what they look at, in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TIMES = {
    "0 3 */5 * *": "every five days",
    "0 3 * * *": "every day",
    "0 3 * * 1": "every Monday",
    "0 3 1 * *": "once a month",
}
"""Choices of how often, by cron expression; all of them at 03:00 UTC."""
KINDS = {"year": "years", "season": "seasons", "month": "months"}


def how_often(cron: str) -> str:
    """Says how often a cron expression fires."""
    return f"{TIMES[cron]}, 03:00 UTC" if cron in TIMES else f"by cron `{cron}`, UTC"


def news_text(news: Mapping[str, Any] | None) -> str:
    """Says what was last new in a schedule."""
    if not news:
        return "Nothing new yet."
    found = [
        f"{one['items']} new scene{'s' if one['items'] != 1 else ''} of {name}"
        for name, one in (news.get("sources") or {}).items()
    ]
    num = len(news.get("fields") or [])
    made = f"{num} map part{'s' if num != 1 else ''} made, {news.get('kept', 0)} left as they were"
    return (
        f"{str(news.get('at', ''))[:16].replace('T', ' ')} UTC: {', '.join(found) or 'no new scene'}; {made}."
    )
