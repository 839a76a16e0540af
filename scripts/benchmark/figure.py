"""Milliseconds per step and seed of every loop as dots, with the floors as lines; and every cost against its size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FormatStrFormatter, FuncFormatter, LogLocator, NullFormatter, NullLocator

from benchmark.growth import slope
from benchmark.modes import MODES
from benchmark.numbers import milliseconds, spread
from benchmark.targets import table_rows
from bnexp.figures.style import SERIES, own_look, save_as

TITLES = {"mlp": "the paper's network, batch 60, with BN", "cnn": "model=cnn, 32x32, batch 64, with BN"}
SPREAD = 0.38

#: Panels in a row of the figure of growth.
COLUMNS = 4

#: On a projector, letters have to be larger than on a page.
LARGE = {"font.size": 12, "axes.titlesize": 12}


def draw(steps: Mapping[str, Any], file: Path) -> None:
    """Write a PNG: a panel a network, a dot a loop and instruction set: on a logarithmic axis a bar would have no length.

    Args:
        steps: instruction set to what was measured with it.
        file: without its ending.
    """
    tables = [table for found in steps.values() for table in found["tables"]]
    networks = list(dict.fromkeys(table["network"] for table in tables if table["device"] == "cpu"))
    with own_look(LARGE):
        figure, panels = plt.subplots(1, len(networks), figsize=(8.6 * len(networks), 6.4), squeeze=False)
        for axes, network in zip(panels[0], networks, strict=True):
            draw_network(steps, network, axes)
        handles, words = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, words, loc="outside lower center", ncols=3)
        save_as(figure, file.with_suffix(""), ("png",))
        plt.close(figure)


def draw_network(steps: Mapping[str, Any], network: str, axes: Axes) -> None:
    """Whiskers from the 5th to the 95th percentile of rounds; floors of two processes as lines in their set's colour."""
    tables = {isa: table_rows(found, network, "batch", "cpu") for isa, found in steps.items()}
    ran = {name for rows in tables.values() for name in rows}
    names = [name for name in MODES if name in ran and not name.startswith(("floor", "looks"))]
    height_of = 2 * SPREAD / len(tables)
    for place, (isa, rows) in enumerate(tables.items()):
        color = SERIES[place][0]
        shown = [(height, spread(milliseconds(rows[name]))) for height, name in enumerate(names) if name in rows]
        heights = [height - SPREAD + (place + 0.5) * height_of for height, _ in shown]
        medians = [one.median for _, one in shown]
        whiskers = [[one.median - one.low for _, one in shown], [one.high - one.median for _, one in shown]]
        axes.errorbar(medians, heights, xerr=whiskers, fmt=SERIES[place][1], color=color, label=isa, markersize=8, linewidth=2)
        for name, style, words in (("floor_pair", "--", "bare products"), ("floor_best_pair", ":", "fastest kernels")):
            if name in rows:
                at = spread(milliseconds(rows[name])).median
                axes.axvline(at, color=color, linestyle=style, linewidth=2, label=f"{isa}: {words}, two processes")
    axes.set_axisbelow(True)
    axes.set(xscale="log", xlabel="ms per step and seed (log scale)", title=TITLES[network])
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(range(len(names)), [MODES[name].words.replace(" (", "\n(") for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)


def draw_growth(found: Mapping[str, Any], file: Path) -> None:
    """Write a PNG: a small panel a curve, on logarithmic axes, with a dotted line of slope 1 through its last point."""
    curves = [curve for curve in found["curves"].values() if "skipped" not in curve]
    rows = -(-len(curves) // COLUMNS)
    with own_look(LARGE):
        figure, panels = plt.subplots(rows, COLUMNS, figsize=(4.4 * COLUMNS, 3.3 * rows), squeeze=False)
        for axes, curve in zip(panels.flat, curves, strict=False):
            draw_curve(curve, axes)
        for axes in panels.flat[len(curves) :]:
            axes.set_axis_off()
        figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center")
        save_as(figure, file.with_suffix(""), ("png",))
        plt.close(figure)


def draw_curve(curve: Mapping[str, Any], axes: Axes) -> None:
    """Medians, the range of rounds, and the exponent in words."""
    what, _, over = curve["words"].rpartition(": ")
    sizes, costs = np.array(curve["sizes"], float), [np.array(row) for row in curve["costs"]]
    medians = np.array([np.median(row) for row in costs])
    color, marker, _ = SERIES[0]
    ends = [medians - [row.min() for row in costs], [row.max() for row in costs] - medians]
    axes.errorbar(sizes, medians, ends, color=color, marker=marker, linewidth=2, markersize=6)
    axes.plot(sizes, medians[-1] * sizes / sizes[-1], color="black", linestyle=":", linewidth=1.2, label="proportional")
    low, high = medians.min() / 2.5, medians.max() * 2.5
    axes.set(xscale="log", yscale="log", xlabel=over, ylabel=curve["unit"], title=what, ylim=(low, high))
    axes.set_xticks(sizes, [short(size) for size in curve["sizes"]])
    axes.xaxis.set_minor_locator(NullLocator())
    plain = FuncFormatter(lambda value, _: f"{value:,.6g}")
    axes.yaxis.set_major_locator(LogLocator(subs=(1,) if high / low > 30 else (1, 2, 5)))
    axes.yaxis.set_major_formatter(plain)
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.text(0.04, 0.92, f"exponent {slope(curve):.2f}", transform=axes.transAxes, va="top", fontweight="bold", color=color)


def short(size: float) -> str:
    """A size in a few signs: 800, 10k, 1.9M."""
    for unit, sign in ((1e6, "M"), (1e3, "k")):
        if size >= unit:
            return f"{size / unit:.3g}{sign}"
    return f"{size:g}"
