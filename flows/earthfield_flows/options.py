"""Options that every command has which reads scenes by a flow."""

from __future__ import annotations

from typing import Annotated

import typer

SourcesOption = Annotated[
    list[str] | None, typer.Option("--source", help="Sources to read (all input sources); repeatable.")
]
SkipUnreadableOption = Annotated[
    bool, typer.Option("--skip-unreadable", help="Leave unreadable items out, counted, and go on.")
]
AllowOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow", help="Folders and hosts that items may lead to beyond the catalogue's own; repeatable."
    ),
]
CoregisterOption = Annotated[
    bool, typer.Option("--coregister", help="Shift each acquisition onto the tile's reference.")
]
