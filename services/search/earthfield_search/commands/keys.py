"""`earthfield keys`: who may ask the search service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from earthfield.errors import InvalidInput
from earthfield.terminal import JsonOption, show_json

keys = typer.Typer(
    help="Keys for the search service: `earthfield serve search --keys FILE` asks for them.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
)

_USUAL = ("read", "ask", "write")
FileOption = Annotated[
    Path | None, typer.Option("--keys", help="The file of keys [EARTHFIELD_API_KEYS].", show_default=False)
]


def _file(path: Path | None) -> Path:
    from earthfield.settings import Settings

    found = path or Settings().api_keys
    if found is None:
        raise InvalidInput("no file of keys is named: give --keys FILE, or set EARTHFIELD_API_KEYS")
    return found


@keys.command()
def add(
    owner: Annotated[str, typer.Argument(help="Whose labels, searches and answers it reaches.")],
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", help="read, ask, write or admin; repeatable [read, ask and write]."),
    ] = None,
    path: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and print it, this once: the file keeps a hash only.

    \b
      earthfield keys add ann --keys keys.json
      earthfield keys add prometheus --scope admin --keys keys.json
    """
    from earthfield_search.api.keys import add_key

    file = _file(path)
    text, key = add_key(file, owner, scope or _USUAL)
    if as_json:
        show_json({"key": text, "id": key.id, "owner": key.owner, "scopes": list(key.scopes), "file": file})
        return
    Console(soft_wrap=True).print(text, highlight=False)
    told = f"key {key.id} of {key.owner}, for {', '.join(key.scopes)}; {file} keeps its hash, nothing keeps the key"
    Console(stderr=True, soft_wrap=True).print(told, highlight=False)


@keys.command("list")
def list_keys(path: FileOption = None, as_json: JsonOption = False) -> None:
    """List the keys of a file, without the keys themselves."""
    from earthfield_search.api.keys import read_keys

    found = read_keys(_file(path))
    if as_json:
        about = [
            {"id": key.id, "owner": key.owner, "scopes": list(key.scopes), "made": key.made} for key in found
        ]
        show_json({"keys": about})
        return
    table = Table("id", "owner", "for", "made")
    for key in found:
        table.add_row(key.id, key.owner, ", ".join(key.scopes), key.made)
    Console().print(table)


@keys.command()
def remove(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the key (`earthfield keys list`).")],
    path: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a key: a running service refuses it from then on. What its owner keeps stays."""
    from earthfield_search.api.keys import remove_key

    gone = remove_key(_file(path), key_id)
    if as_json:
        show_json({"removed": gone.id, "owner": gone.owner})
        return
    Console(soft_wrap=True).print(f"removed the key {gone.id} of {gone.owner}", highlight=False)
