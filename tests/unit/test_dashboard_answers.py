"""What pages say of answers, apart from any page: groups, pairs of periods, scores, cards."""

from __future__ import annotations

from typing import Any

from earthfield_dashboard.layers import Layer
from earthfield_dashboard.views.change_asked import _usual
from earthfield_dashboard.views.change_found import Found
from earthfield_dashboard.views.cluster_kept import Clustered
from earthfield_dashboard.views.evaluation_card import plain_card
from earthfield_dashboard.views.evaluation_scores import best_rows, margin_words


def layer(period_id: str, *tiles: str) -> Layer:
    return Layer("m", period_id, period_id, tiles or ("a",), (), (0, 0, 1, 1), "s")


def test_a_place_belongs_to_the_nearest_mean_not_to_the_longest() -> None:
    answer: dict[str, Any] = {"centres": [[0.9, 0.0], [0.5, 0.4]], "numbers": [3, 7], "method": "kmeans"}
    # Of the cosine alone, the longer mean would take it: 0.648 against 0.638.
    assert Clustered(answer, {}).nearest([0.72, 0.694]) == 7
    assert Clustered(answer, {}).nearest([1.0, 0.0]) == 3


def test_names_are_escaped_where_they_become_html() -> None:
    named = Clustered({"clusters": []}, {}, {1: "<img src=x>"})
    assert named.escaped_name(1) == "&lt;img src=x&gt;" and named.name(2) == "group 2"
    assert named.name(255) == "no group"


def test_the_usual_pair_are_the_last_two_that_compare() -> None:
    halves = [layer("20180101_20180701"), layer("20180101_20190101"), layer("20180701_20181101")]
    first, second = _usual(halves)
    assert (first, second) == (0, 2), "a year overlaps both"
    years = [layer("20200101_20210101"), layer("20210101_20220101"), layer("20220101_20230101", "b")]
    assert _usual(years) == (0, 1), "the last one is of other land"


def test_patches_know_their_middle_and_who_was_clicked() -> None:
    ring = [[3.0, 50.0], [3.2, 50.0], [3.2, 50.2], [3.0, 50.2], [3.0, 50.0]]
    told = {"patch": 4, "hectares": 2.0, "mean_distance": 0.4, "max_distance": 0.6, "false_alarm": 0.02}
    feature = {"geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": told}
    found = Found({"features": [feature], "median": 0.1}, {})
    [patch] = found.patches
    assert patch.bounds == (3.0, 50.0, 3.2, 50.2) and found.patch_at(patch.place) == patch
    assert found.patch_at((2.9, 50.1)) is None and found.farthest == 0.6


def test_scores_are_those_of_the_better_probe_fields_first() -> None:
    def score(features: str, probe: str, mean: float) -> dict[str, Any]:
        return {"features": features, "shots": "max", "probe": probe, "mean": mean, "sem": 0.01}

    margin = {
        "field": "m field", "shots": "max", "accuracy": 0.6, "rival": "harmonics", "rival_accuracy": 0.7,
        "error_reduction": -1 / 3,
    }  # fmt: skip
    report = {
        "scores": [score("harmonics", "knn", 0.7), score("m field", "knn", 0.5), score("m field", "ridge", 0.6)],
        "kinds": {"m field": "field", "harmonics": "classical"}, "shots": [{"shots": "max", "labels": 53}],
        "margins": [margin],
    }  # fmt: skip
    rows = best_rows(report)
    assert [(row["described by"], row["score"], row["probe"]) for row in rows] == [
        ("m field", 60.0, "ridge"), ("harmonics", 70.0, "knn"),
    ]  # fmt: skip
    assert (rows[0]["low"], rows[0]["high"], rows[0]["kind"]) == (59.0, 61.0, "model")
    [line] = margin_words(report)
    assert "53 labels a class (as many as there are): **m field** names 60.0 %" in line
    assert "33% **more** mistakes" in line


def test_a_card_on_a_page_fetches_nothing() -> None:
    shown = plain_card(
        "# m\nwords\n![a](http://x.example/a.png) ![b][c]\n## Reads ##\n[c]: http://x.example/c.png\n"
    )
    assert "![" not in shown and "a.png" not in shown
    assert "**m**" in shown and "**Reads**" in shown and "#" not in shown
