"""Milliseconds per step and seed of every loop as bars, with the floors of all cores as lines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

from benchmark.modes import MODES
from benchmark.numbers import milliseconds, spread
from benchmark.targets import table_rows
from bnexp.figures.style import COLORS, SETTINGS, save

TITLES = {"mlp": "the paper's network, batch 60", "cnn": "model=cnn, 32x32, batch 64"}
NORMS = {"batch": "with BN", "none": "without BN"}
BAR = 0.38


def draw(bench: Mapping[str, Any], file: Path) -> None:
    """Write PNG and SVG: a panel a network."""
    networks = list(dict.fromkeys(table["network"] for table in bench["tables"] if table["device"] == "cpu"))
    with plt.rc_context(dict(SETTINGS)):
        figure, panels = plt.subplots(1, len(networks), figsize=(6.6 * len(networks), 4.6), squeeze=False)
        for axes, network in zip(panels[0], networks, strict=True):
            draw_network(bench, network, axes)
        handles, words = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, words, loc="outside lower center", ncols=len(words))
        save(figure, file)
        plt.close(figure)


def draw_network(bench: Mapping[str, Any], network: str, axes: Axes) -> None:
    """One bar a loop and norm; whiskers from the 5th to the 95th percentile of rounds."""
    ran = {name for norm in NORMS for name in table_rows(bench, network, norm, "cpu")}
    names = [name for name in MODES if name in ran and not name.startswith(("floor", "looks"))]
    for place, norm in enumerate(NORMS):
        rows = table_rows(bench, network, norm, "cpu")
        shown = [(height, spread(milliseconds(rows[name]))) for height, name in enumerate(names) if name in rows]
        if not shown:
            continue
        heights = [height + (place - 0.5) * BAR for height, _ in shown]
        medians = [one.median for _, one in shown]
        whiskers = [[one.median - one.low for _, one in shown], [one.high - one.median for _, one in shown]]
        axes.barh(heights, medians, BAR, xerr=whiskers, color=COLORS[norm], label=NORMS[norm], error_kw={"lw": 0.8})
    _floor(bench, network, axes)
    axes.grid(visible=False, axis="y")
    axes.set(xscale="log", xlabel="ms per step and seed (log scale)", title=TITLES[network])
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(range(len(names)), [MODES[name].words for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)


def _floor(bench: Mapping[str, Any], network: str, axes: Axes) -> None:
    rows = table_rows(bench, network, "batch", "cpu")
    lines = (
        ("floor_pair", "--", "bare products, two processes"),
        ("floor_best_pair", ":", "the same, fastest kernels"),
    )
    for name, style, words in lines:
        if name in rows:
            floor = spread(milliseconds(rows[name])).median
            axes.axvline(floor, color="black", linestyle=style, linewidth=1, label=words)
