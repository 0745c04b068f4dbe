"""The log as JSON: one line a record, with the ids of what it is about."""

from __future__ import annotations

import io
import json
import logging
import sys
from typing import Any

import pytest

from earthfield.errors import InvalidInput
from earthfield.log import JsonLines, about, is_json, set_up

log = logging.getLogger("earthfield.test")


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv("PREFECT__FLOW_RUN_ID", raising=False)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Gives what was logged, as read from JSON."""
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    monkeypatch.setenv("EARTHFIELD_LOG", "json")
    set_up(verbose=True)
    return lambda: [json.loads(line) for line in written.getvalue().splitlines()]


def test_a_line_is_json_with_time_level_and_where_it_is_from(lines: Any) -> None:
    log.info('read %d items of "%s"\nand more', 3, "näme")
    (told,) = lines()
    assert told["message"] == 'read 3 items of "näme"\nand more'
    assert told["level"] == "INFO" and told["logger"] == "earthfield.test"
    assert told["time"].endswith("+00:00") and "tile" not in told


def test_a_line_carries_the_ids_of_the_blocks_around_it(lines: Any) -> None:
    with about(run="r1", flow="map"), about(tile="32631_0048_0549", task=None):
        log.info("in both")
    log.info("after")
    inside, after = lines()
    assert (inside["run"], inside["flow"], inside["tile"]) == ("r1", "map", "32631_0048_0549")
    assert "task" not in inside and not {"run", "flow", "tile"} & set(after)


def test_what_a_line_says_itself_counts_more_than_the_block(lines: Any) -> None:
    with about(run="outer", request="a"):
        log.info("x", extra={"flow_run_id": "inner", "task_run_name": "embed", "about": {"status": 200}})
    (told,) = lines()
    assert (
        told["run"] == "inner"
        and told["task"] == "embed"
        and told["status"] == 200
        and told["request"] == "a"
    )


def test_outside_of_every_block_a_run_is_known_by_its_process(
    lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", "r2")
    log.info("x")
    assert lines()[0]["run"] == "r2"


def test_a_failure_is_told_on_the_same_line(lines: Any) -> None:
    try:
        raise ValueError("why")
    except ValueError:
        log.exception("it failed")
    (told,) = lines()
    assert (
        told["message"] == "it failed" and "ValueError: why" in told["error"] and "Traceback" in told["error"]
    )


def test_what_is_no_json_is_told_by_its_text() -> None:
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "x", None, None)
    record.about = {"where": sys}
    assert "module" in json.loads(JsonLines("default", None, "%").format(record))["where"]


def test_text_stays_the_default_and_another_word_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    monkeypatch.delenv("EARTHFIELD_LOG", raising=False)
    set_up(verbose=True)
    log.info("plain")
    assert written.getvalue().endswith("INFO earthfield.test: plain\n")
    monkeypatch.setenv("EARTHFIELD_LOG", "xml")
    with pytest.raises(InvalidInput, match="text or json"):
        is_json()
