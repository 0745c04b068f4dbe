"""A bar chart of scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from earthfield.storage import whole_file
from earthfield_train.evaluation.report import EvaluateReport

_COLOURS = {"knn": "#0072B2", "linear": "#E69F00"}
_NAMES = {"knn": "kNN, k = 3", "linear": "logistic regression"}
_TITLES = {"parcels": "whole parcels held out", "blocks": "blocks held out"}


def draw_scores(path: Path, report: EvaluateReport) -> None:
    """Draws balanced accuracy with its standard error, one panel per split, and the level of guessing."""
    figure = Figure(figsize=(4.6 * len(report.splits) + 1.6, 4.2), dpi=150, layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(report.splits), sharey=True, squeeze=True))
    for axes, split in zip(panels, report.splits, strict=True):
        names = list(split.scores)
        places = np.arange(len(names))
        for offset, probe in ((-0.19, "knn"), (0.19, "linear")):
            means = [split.scores[name][probe]["mean"] for name in names]
            sems = np.nan_to_num([split.scores[name][probe]["sem"] for name in names])
            axes.barh(
                places + offset, means, 0.36, xerr=sems, color=_COLOURS[probe], label=_NAMES[probe],
                error_kw={"ecolor": "#333333", "elinewidth": 1, "capsize": 2},
            )  # fmt: skip
            for place, mean in zip(places + offset, means, strict=True):
                axes.text(
                    0.012, place, f"{mean:.3f}", va="center", fontsize=8, color="white", fontweight="bold"
                )
        axes.axvline(split.chance, color="black", linestyle=":", linewidth=1.2, label="guessing")
        axes.set_yticks(places, names)
        axes.set_xlim(0, 1)
        axes.set_xlabel("balanced accuracy")
        classes = ", ".join(str(code) for code in split.classes)
        axes.set_title(f"{_TITLES[split.split]}\nclasses {classes}", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].invert_yaxis()
    figure.suptitle(
        f"{report.model}, {report.period}: {report.shots} labels per class, {report.draws} draws",
        fontweight="bold", fontsize=12,
    )  # fmt: skip
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    FigureCanvasAgg(figure)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
