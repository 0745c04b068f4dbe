"""A picture of scores: balanced accuracy against labels per class, one panel per probe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from earthfield.storage import whole_file
from earthfield_analysis.probes import PROBES, Probe
from earthfield_train.evaluation.report import EvaluateReport

_TITLES: dict[Probe, str] = {"knn": "kNN (k = 3, cosine)", "ridge": "ridge classifier"}
_FIELDS = ("#D55E00", "#CC79A7", "#8B0000", "#E69F00")
_BASELINES = ("#0072B2", "#009E73", "#56B4E9", "#5B4FA0", "#999999")


def draw_scores(path: Path, report: EvaluateReport) -> None:
    """Draws one curve per description with its standard error, and the level of guessing."""
    figure = Figure(figsize=(10.5, 5.4), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(PROBES), sharey=True)
    styles = _styles(report)
    for axes, probe in zip(panels, PROBES, strict=True):
        _panel(axes, report, probe, styles)
    panels[0].set_ylabel("balanced accuracy, %")
    classes = ", ".join(one.name for one in report.classes)
    figure.suptitle(
        f"{Path(report.labels).stem}, {report.period}: classes {classes}\n{report.protocol} protocol, "
        f"{report.splits} splits" + (" – measures interpolation only" if report.protocol == "random" else ""),
        fontsize=11, fontweight="bold",
    )  # fmt: skip
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    FigureCanvasAgg(figure)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})


def _panel(axes: Axes, report: EvaluateReport, probe: Probe, styles: dict[str, dict[str, Any]]) -> None:
    places = {one.shots: max(one.mean, 1.0) for one in report.shots}
    for name, style in styles.items():
        own = [one for one in report.scores if one.features == name and one.probe == probe]
        own.sort(key=lambda one: places[one.shots])
        axes.errorbar(
            [places[one.shots] for one in own], [100 * one.mean for one in own],
            yerr=[100 * one.sem if one.sem == one.sem else 0 for one in own], capsize=2.5, label=name, **style,
        )  # fmt: skip
    axes.axhline(100 * report.chance, color="black", linestyle=":", linewidth=1.2, label="guessing")
    axes.set_xscale("log")
    ticks = {places[one.shots]: f"{one.mean:.0f}" for one in report.shots}
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.minorticks_off()
    axes.set_xlabel("labels per class (mean drawn)")
    axes.set_title(_TITLES[probe], fontsize=10)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _styles(report: EvaluateReport) -> dict[str, dict[str, Any]]:
    """Fields stand out: thick and warm; the others are thin and cool."""
    styles: dict[str, dict[str, Any]] = {}
    for kind, colours, rest in (
        ("field", _FIELDS, {"linewidth": 2.6, "marker": "o", "markersize": 6, "zorder": 5}),
        ("other", _BASELINES, {"linewidth": 1.3, "marker": "s", "markersize": 4}),
    ):
        names = [name for name, own in report.kinds.items() if (own == "field") == (kind == "field")]
        for number, name in enumerate(names):
            dashed = number >= len(colours)
            styles[name] = {
                "color": colours[number % len(colours)], "linestyle": "--" if dashed else "-", **rest
            }  # fmt: skip
    return styles
