"""The board, the alerts and what Prometheus is told to ask: all of it is there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from earthfield.settings import Settings
from earthfield_flows import exporter
from earthfield_flows.exporter import FlowMetrics
from earthfield_flows.gpus import Gpu
from earthfield_search.api.app import create_app

INFRA = Path(__file__).resolve().parents[2] / "infra"
OF_PROMETHEUS = {"up"}
OF_TRITON = {
    "nv_inference_request_success", "nv_inference_request_failure", "nv_inference_queue_duration_us",
    "nv_inference_compute_infer_duration_us", "nv_gpu_utilization", "nv_gpu_memory_used_bytes",
}  # fmt: skip
"""As NVIDIA's documentation of Triton's metrics has them; tests/services/test_triton.py asks a real server."""
_LANGUAGE = {"sum", "min", "max", "by", "rate", "increase", "histogram_quantile", "and", "or", "le"}


def series_of(registry: CollectorRegistry) -> dict[str, set[str]]:
    """Every series that can come of a registry, with its labels."""
    found: dict[str, set[str]] = {}
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
    names = dict(getattr(registry, "_collector_to_names", {}))
    for collector in names:
        labels = set(getattr(collector, "_labelnames", ()))
        for family in collector.collect():
            told = labels or {name for sample in family.samples for name in sample.labels}
            for suffix in suffixes.get(family.type, ("",)):
                found[family.name + suffix] = told | ({"le"} if suffix == "_bucket" else set())
    return found


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    root = tmp_path_factory.mktemp("root")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporter, "gpus", lambda: [Gpu("0", "GPU", 0.5, 1.0, 2.0)])
        patch.setattr(exporter, "count_runs", lambda _: {"waiting": 0.0, "running": 0.0})
        flows = series_of(FlowMetrics(Settings(root=root)).registry)
    search = series_of(create_app(root).state.metrics.registry)
    assert not set(flows) & set(search)
    # An index has a model; there is none here to tell of.
    return {**flows, **search, "earthfield_index_rows": {"model"}}


def expressions() -> Iterator[tuple[str, str]]:
    board = json.loads((INFRA / "grafana/dashboards/earthfield.json").read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for group in yaml.safe_load((INFRA / "prometheus/alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def selectors(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Names of series in a query, with the labels that each is chosen by."""
    plain = re.sub(r'"[^"]*"', '""', expression)
    for match in re.finditer(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[^}]*\})?", re.sub(r"\bby \([^)]*\)", "", plain)):
        name, chosen = match[1], match[2] or ""
        if name not in _LANGUAGE and not re.fullmatch(r"[smhd]|e\d+", name):
            yield name, set(re.findall(r"(\w+)\s*[=!]", chosen))


@pytest.mark.parametrize(("title", "expression"), list(expressions()))
def test_every_series_that_is_asked_for_exists_with_its_labels(
    title: str, expression: str, series: dict[str, set[str]]
) -> None:
    found = dict(selectors(expression))
    assert found, f"{title} asks for nothing"
    for name, labels in found.items():
        if name in OF_PROMETHEUS | OF_TRITON:
            continue
        assert name in series, f"{title}: nothing tells {name}"
        assert labels <= series[name] | {"job", "instance", "pool"}, (
            f"{title}: {name} has labels {series[name]}"
        )
    grouped = {label for one in re.findall(r"by \(([^)]*)\)", expression) for label in re.split(r",\s*", one)}
    ours = set().union(*(series.get(name, set()) for name in found))
    outside = {"instance", "job", "pool", "model", "gpu_uuid"}
    assert grouped <= ours | outside, f"{title} groups by {grouped - ours - outside}"
    assert expression.count("(") == expression.count(")")


def test_what_is_told_is_on_the_board_too(series: dict[str, set[str]]) -> None:
    asked = " ".join(expression for _, expression in expressions())
    aside = {
        "earthfield_disk_total_bytes",
        "earthfield_request_seconds_sum",
        "earthfield_request_seconds_count",
    }
    assert not [name for name in series if name not in asked and name not in aside]


def test_panels_have_numbers_places_and_words_of_their_own() -> None:
    board = json.loads((INFRA / "grafana/dashboards/earthfield.json").read_text())
    source = yaml.safe_load((INFRA / "grafana/provisioning/datasources/prometheus.yml").read_text())[
        "datasources"
    ][0]
    panels = board["panels"]
    assert len({one["id"] for one in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for one in panels:
        at = one["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken and at["x"] + at["w"] <= 24
        taken |= cells
        if one["type"] != "row":
            assert one["description"] and one["datasource"]["uid"] == source["uid"]


def test_alerts_say_what_to_do_and_prometheus_reads_them() -> None:
    config = yaml.safe_load((INFRA / "prometheus/prometheus.yml").read_text())
    assert [Path(one).name for one in config["rule_files"]] == ["alerts.yml"]
    rules: list[dict[str, Any]] = [
        rule
        for group in yaml.safe_load((INFRA / "prometheus/alerts.yml").read_text())["groups"]
        for rule in group["rules"]
    ]
    assert len({one["alert"] for one in rules}) == len(rules)
    told = (INFRA.parent / "docs/operate.md").read_text()
    for one in rules:
        assert set(one["annotations"]) == {"summary", "do"}
        assert one["labels"]["severity"] in ("page", "ticket")
        assert one["alert"] in told


def test_prometheus_asks_every_part_of_the_installation_that_tells_of_itself() -> None:
    config = yaml.safe_load((INFRA / "prometheus/prometheus.yml").read_text())
    jobs = {one["job_name"]: one for one in config["scrape_configs"]}
    targets = {host for job in jobs.values() for one in job["static_configs"] for host in one["targets"]}
    parts = set(yaml.safe_load((INFRA / "compose.yaml").read_text())["services"])
    hosts = {one.partition(":")[0] for one in targets} - {"localhost"}
    assert hosts <= parts
    assert {one for one in parts if one.startswith("worker-")} | {"search", "encoder"} == hosts
    assert jobs["search"]["authorization"]["credentials_file"] == "/run/secrets/metrics_key"
    pools = {one["labels"]["pool"] for one in jobs["flows"]["static_configs"]}
    assert pools == {f"earthfield-{one}" for one in ("ingest", "train", "infer", "search", "flows")}
