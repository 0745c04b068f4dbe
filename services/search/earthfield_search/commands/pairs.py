"""Options of two numbers that may be repeated, which typer does not have: `--at LON LAT --at LON LAT`."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

from earthfield.errors import InvalidInput

PAIRS = ("--at", "--not-at")
"""Options that take LON LAT."""


class PairsCommand(TyperCommand):
    """A command whose options of pairs are handed on as one word each; `pairs_of` reads them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Puts the two words after each such option together, then goes on as usual."""
        joined: list[str] = []
        left = list(reversed(args))
        while left:
            joined.append(left.pop())
            pair: list[str] = []
            while joined[-1] in PAIRS and len(pair) < 2 and left and not _is_option(left[-1]):
                pair.append(left.pop())
            joined += [" ".join(pair)] if pair else []
        return super().parse_args(ctx, joined)


def _is_option(word: str) -> bool:
    """Tells an option from a negative number."""
    return word.startswith("-") and not word[1:2].isdigit() and word[1:2] != "."


def pairs_of(option: str, words: list[str] | None) -> tuple[tuple[float, float], ...]:
    """Reads what `PairsCommand` handed on.

    Raises:
        InvalidInput: not two numbers.
    """
    found = []
    for word in words or ():
        try:
            lon, lat = (float(part) for part in word.replace(",", " ").split())
        except ValueError as error:
            raise InvalidInput(f"{option} {word!r} is no place: write {option} LON LAT in degrees") from error
        found.append((lon, lat))
    return tuple(found)
