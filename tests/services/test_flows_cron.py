"""Served flows on a real Prefect server: a schedule fires by itself, and a cancelled run can be run again."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flow_parts import (
    HELD_S,
    S2,
    WAIT_S,
    Held,
    Hook,
    answered,
    deployment,
    listening,
    prefect_server,
    runs,
    until,
)
from local_http import Answer, Asked, Server, serving
from small import small_land, small_model
from typer.testing import CliRunner

from earthfield.catalog import Catalog, FieldKey
from earthfield.field import Field
from earthfield.grid import Tile
from earthfield.timeline import Period, step_of, step_start
from earthfield_flows.schedule_cli import schedule
from earthfield_search.cells.opening import open_index
from earthfield_search.cells.rows import fingerprint_of

YEAR = datetime.now(UTC).year


@dataclass
class Served:
    """A root whose flows are served."""

    api: str
    """Prefect's API."""
    root: Path
    """The root."""
    archive: Server
    """The catalogue's server."""
    gate: threading.Event
    """Set from when on the archive answers at once."""
    held: Held
    """A scene that the catalogue does not tell of yet."""
    hook: Hook
    """The webhook that runs tell."""

    @property
    def news(self) -> dict[str, Any]:
        """What was last new in the schedule `here`."""
        path = Catalog(self.root).report("refresh", "here")
        return json.loads(path.read_text()) if path.is_file() else {}

    def command(self, *words: str) -> Any:
        """Runs `earthfield schedule` and gives its report."""
        done = CliRunner().invoke(
            schedule, [*words, "--root", str(self.root), "--json"], catch_exceptions=False
        )
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    def run(self, flow: str, request: dict[str, Any]) -> str:
        """Asks for a run; gives its id."""
        served = deployment(self.api, f"{flow}/{flow}")
        assert served is not None
        content = {"parameters": {"request": request}, "state": {"type": "SCHEDULED"}}
        address = f"{self.api}/deployments/{served['id']}/create_flow_run"
        return answered("POST", address, json=content).raise_for_status().json()["id"]

    def state(self, run: str) -> str:
        """The state of a run."""
        return answered("GET", f"{self.api}/flow_runs/{run}").raise_for_status().json()["state_type"]


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    root, land, gate = tmp_path / "root", tmp_path / "land", threading.Event()

    def answer(asked: Asked) -> Answer:
        gate.wait(HELD_S)
        path = land / asked.path.lstrip("/")
        return Answer(path.read_bytes()) if path.is_file() else Answer(status=404)

    def prepare() -> None:
        small_land(land, start_year=YEAR - 1)
        small_model(root)

    with listening() as hook, serving(answer) as archive:
        monkeypatch.setenv("EARTHFIELD_WEBHOOK", hook.address)
        with prefect_server(tmp_path / "run", root, serve=True, meanwhile=prepare) as api:
            monkeypatch.setenv("PREFECT_API_URL", api)
            until(lambda: deployment(api, "refresh/rebuild"), WAIT_S, "the deployments")
            try:
                yield Served(api, root, archive, gate, Held.back(land, begins=f"_{YEAR}"), hook)
            finally:
                gate.set()


def test_a_cancelled_run_is_made_up_for_by_a_cron_which_finds_only_what_is_new(served: Served) -> None:
    never, often = "0 0 29 2 *", "* * * * * */10"
    own = (
        "--catalog", f"{served.archive.url}/catalog.json", "--late-days", "400", "--no-agreement",
        "--model", "untrained",
    )  # fmt: skip
    assert served.command("add", "here", "--cron", never, *own)["is_live"], "the server was told at once"

    # A run that is cancelled ends, and leaves nothing that is in the way of the next.
    first = served.run("refresh", {"root": str(served.root), "name": "here"})
    until(lambda: served.archive.asked, WAIT_S, "a question to the archive")
    ending = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    answered("POST", f"{served.api}/flow_runs/{first}/set_state", json=ending).raise_for_status()
    until(lambda: served.state(first) == "CANCELLED", WAIT_S, "the end of the cancelled run")
    served.gate.set()

    assert served.command("add", "here", "--cron", often, "--overwrite", *own)["is_live"]
    until(lambda: served.news, WAIT_S, "the first refresh")
    (tile,) = served.news["ingested"]
    catalog, held = Catalog(served.root), served.held
    keys = [FieldKey("untrained", Tile.parse(tile), Period.parse(str(one))) for one in (YEAR - 1, YEAR)]
    before = [Field(catalog, key).manifest for key in keys]

    held.drop()
    until(lambda: held.id in str(served.news), WAIT_S, "the acquisition")
    assert served.command("remove", "here")["is_live"]

    news = served.news
    assert news["sources"].keys() == {S2}
    assert news["sources"][S2]["named"] == [held.id]
    day = datetime.strptime(held.id.split("_")[2], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    assert news["sources"][S2]["steps"] == [f"{step_start(step_of(day)):%Y-%m-%d}"]
    assert [one["period"] for one in news["fields"]] == [str(YEAR)]
    assert news["kept"] == 1
    after, index = [Field(catalog, key) for key in keys], open_index(catalog, "untrained")
    assert after[0].manifest == before[0]
    assert held.id not in json.dumps(before[1])
    assert held.id in json.dumps(after[1].manifest)
    for field in after:
        marked = index.fingerprint(tile=tile, period=field.key.period.id)
        assert marked == fingerprint_of(field, cell_px=8), "the index holds this very field"

    def completed() -> list[dict[str, Any]]:
        return [one for one in runs(served.api, "refresh") if one["state_type"] == "COMPLETED"]

    until(lambda: len(completed()) > 1, WAIT_S, "the end of the second refresh")
    assert all(one["auto_scheduled"] for one in completed())
    assert [one["event"] for one in served.hook.told] == ["new", "new"], "a cancelled run is no news"
    assert served.hook.told[1]["new"]["sources"][S2]["named"] == [held.id]
    known = deployment(served.api, "refresh/refresh")
    assert known is not None
    assert known["schedules"] == [], "it is forgotten"
