"""*Evaluation* in a browser: scores beside classical descriptions, curves of a training, a model in words."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from browsing import Land, Seen, choose, downloaded, is_narrow, keep
from playwright.sync_api import Page, expect

Opened = Callable[..., Page]


def evaluated(land: Land) -> None:
    """Has the land's model scored on labels, as `earthfield evaluate` writes it."""
    from earthfield_train.evaluation.jobs import EvaluateRequest, evaluate_fields

    assert land.labels is not None
    evaluate_fields(
        EvaluateRequest(
            root=land.root, labels=land.labels, period="2018", models=(land.model,), shots=(1, 10), draws=2
        )
    )


def trained(land: Land, name: str) -> None:
    """Puts a model there with its card, and the log of its training."""
    folder, log = land.root / "models" / name, land.root / "reports" / "train" / f"{name}.jsonl"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"dim": 64}')
    (folder / "card.md").write_text(
        f"# {name}\n\nIt learnt.\n\n![losses](losses.png)\n![x](http://x.example/y.png)\n"
    )
    figures: dict[str, Any] = {"parameters": 1234567, "steps": 40, "samples": 320, "seconds": 7200}
    (folder / "metrics.json").write_text(json.dumps(figures | {"health": {"effective_rank": 12.5}}))
    log.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"step": at, "loss": 2 / (at + 1), "l1/sentinel-2-l2a": 1.0, "gradient": 3.0} for at in range(40)]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_scores_stand_beside_what_needs_no_model(
    real: Land, opened: Opened, seen: Seen, pictures: Path
) -> None:
    evaluated(real)
    page = opened(f"{real.url}/evaluation")
    expect(page.get_by_text("The dashed line is guessing, 25 %")).to_be_visible()
    expect(page.get_by_text("10 labels a class: starter field names")).to_be_visible()
    chart = page.get_by_test_id("stVegaLiteChart").first
    for name in ("starter field", "monthly composites", "harmonics", "coordinates"):
        expect(chart.get_by_text(name, exact=True).first).to_be_attached()
    page.get_by_text("How it was scored").click()
    expect(page.get_by_text("labels were drawn anew")).to_be_visible()
    keep(page, pictures, "evaluation")
    table = downloaded(page, "Scores (CSV)")
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert {row["kind"] for row in rows} == {"field", "classical", "coordinates"}
    assert {row["shots"] for row in rows} == {"1", "10"}
    seen.check()


def test_curves_and_the_card_of_a_model_that_was_trained_here(
    real: Land, opened: Opened, seen: Seen, pictures: Path
) -> None:
    trained(real, "mine")
    page = opened(f"{real.url}/evaluation", phone=True)
    choose(page, "Model", "mine")
    page.get_by_role("tab", name="Training").click()
    expect(page.get_by_text("40 steps were logged")).to_be_visible()
    expect(page.get_by_test_id("stVegaLiteChart").first).to_be_visible()
    assert is_narrow(page)
    keep(page, pictures, "evaluation-phone")
    page.get_by_text("Error by sensor").click()
    expect(page.get_by_text("what the sensor measured")).to_be_visible()
    page.get_by_role("tab", name="The model in words").click()
    expect(page.get_by_text("It was trained for 2.0 hours: 40 steps")).to_be_visible()
    page.get_by_text("Its card, as it was written").click()
    expect(page.get_by_text("It learnt.")).to_be_visible()
    seen.check()


def test_a_model_without_scores_says_which_command_makes_them(
    simulated: Land, opened: Opened, seen: Seen
) -> None:
    page = opened(f"{simulated.url}/evaluation")
    command = (
        f"earthfield evaluate --labels labels.tif --period {simulated.periods[-1]} --model {simulated.model}"
    )
    expect(page.get_by_text(command)).to_be_visible()
    page.get_by_role("tab", name="Training").click()
    expect(page.get_by_text("log of this training did not come along")).to_be_visible()
    page.get_by_role("tab", name="The model in words").click()
    expect(page.get_by_text(re.compile("There are maps of it: .*2022.*2023"))).to_be_visible()
    seen.check()
