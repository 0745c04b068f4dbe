"""`earthfield index`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from earthfield.terminal import JsonOption, ModelOption, RootOption, bars, root_or_default, show_json

if TYPE_CHECKING:
    from earthfield.schemas import IndexReport
    from earthfield_search.jobs.index import IndexState


def index(
    model: ModelOption = "starter",
    cell_px: Annotated[
        int, typer.Option("--cell-px", help="Side of a cell in pixels: 1, 2, 4, 8, .. 128.")
    ] = 8,
    at: Annotated[
        str | None,
        typer.Option(
            "--index",
            metavar="FOLDER|s3://...",
            help="Where the index lies [EARTHFIELD_INDEX, else ROOT/index].",
        ),
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS|local|none",
            help="Dask scheduler that makes the cells, a field a task: its address, `local` for one of our own, "
            "`none` for this process alone (`local` from eight fields on where there are more than two cores).",
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Tell which fields are missing or out of date, and write nothing.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Take out the cells of fields that are there no longer.")
    ] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Begin with an empty table, as after a model was trained anew.")
    ] = False,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put every field of a model into the vector index; what is there already is left alone.

    Fields that were added or made again since are found by their fingerprints, so the same command goes on after a
    stop and brings in what is new; whoever searches meanwhile finds the version before.

    Examples:

    earthfield index --model starter --check

    earthfield index --model starter --index s3://bucket/index --dask tcp://10.0.0.5:8786
    """
    from earthfield.schemas import IndexRequest, checked_request
    from earthfield_search.jobs.index import check_index, index_fields

    request = checked_request(
        IndexRequest, root=root_or_default(root), model=model, cell_px=cell_px, index=at, dask=dask,
        rebuild=rebuild, prune=prune,
    )  # fmt: skip
    if check:
        state = check_index(request)
        show_json(state) if as_json else _show_state(model, state)
        return
    with bars() as progress:
        report = index_fields(request, progress=progress)
    show_json(report) if as_json else _show(model, report)


def _show(model: str, report: IndexReport) -> None:
    from earthfield_search.commands.shown import show_answer, table_of

    table = table_of(f"Index of {model}", ["", ">"])
    table.add_row("fields", str(report.fields))
    table.add_row("added, made again", f"{report.added}, {report.changed}")
    if report.gone:
        table.add_row("gone (--prune)", str(report.gone))
    table.add_row("cells", f"{report.cells:,}")
    table.add_row("written now", f"{report.written:,}" if report.written else "nothing: all of it was there")
    table.add_row("seconds", f"{report.seconds:.1f}")
    show_answer(table, [report.table])


def _show_state(model: str, state: IndexState) -> None:
    from earthfield_search.commands.shown import show_answer, table_of

    table = table_of(f"Index of {model}", ["", ">", ""])
    table.add_row("cells", f"{state.cells:,}", "")
    table.add_row("fields", str(state.fields), "")
    kinds = (("missing", state.added), ("made again since", state.changed), ("gone since", state.gone))
    for name, fields in kinds:
        more = f" and {len(fields) - 3} more" if len(fields) > 3 else ""
        table.add_row(name, str(len(fields)), " ".join(fields[:3]) + more)
    show_answer(table, [state.table] if state.table else [])
