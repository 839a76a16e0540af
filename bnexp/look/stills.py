"""The same picture for slides: layers below each other, arms side by side, as SVG, PNG and PDF; and growing step by step, as a GIF.

Legend: T looks, U units, Q percentiles, G bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from bnexp.figures.style import own_look
from bnexp.look.page import MOST_COLUMNS, ZERO, colours
from bnexp.look.tracks import POINTS, Place, Scene, Seen, tracks
from bnexp.records.jsonfile import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Rows of layers on a still at most: more would be too small to read.
MOST_ROWS = 4

#: Arms on a still at most: ``MOST_COLUMNS`` beside each other, the others below these with half as many layers.
MOST_ARMS = 8

#: Dots an inch of the PNG.
DPI = 160

#: Ridges of a still.
NUM_RIDGES = 8

#: Milliseconds a frame stands, and the last one.
FRAME, LAST_FRAME = 320, 3000

#: Colours of the file; flat surfaces need no more.
NUM_COLOURS = 48


def write_stills(scene: Scene, out: Path, point: str) -> list[Path]:
    """Write ``look.svg``, ``look.png`` and ``look.pdf``; returns the files."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    out.mkdir(parents=True, exist_ok=True)
    with own_look():
        figure = draw(scene, point)
        figure.set_dpi(DPI)
        # Figure.savefig draws everything twice, and looks for the layout each time; what the first format found holds for all.
        write_whole(out / "look.png", lambda place: FigureCanvasAgg(figure).print_png(place, metadata={"Software": None}))
        figure.set_layout_engine("none")
        write_whole(out / "look.svg", lambda place: FigureCanvasSVG(figure).print_svg(place, metadata={"Date": None}))
        write_whole(out / "look.pdf", lambda place: FigureCanvasPdf(figure).print_pdf(place, metadata={"CreationDate": None}))
    return [out / f"look.{ending}" for ending in ("svg", "png", "pdf")]


def write_gif(scene: Scene, file: Path, point: str, most_layers: int = 3) -> Path:
    """A frame for each look of the shown runs, at the last one of which it stays; of at most ``most_layers`` layers.

    The first and the last layer are among them. Returns the file.
    """
    from io import BytesIO

    from PIL import Image
    from tqdm import tqdm

    steps = sorted({int(step) for index in scene.columns for step in scene.runs[index].steps})
    number = min(len(scene.layers), most_layers)
    rows = sorted({round(row) for row in np.linspace(0, len(scene.layers) - 1, number)})
    frames = []
    with own_look({"path.simplify_threshold": 0.5}):
        for step in tqdm(steps, desc=file.name, unit="frame", leave=False, disable=None):
            stream = BytesIO()
            draw(scene, point, step, rows).savefig(stream, dpi=96, format="png")
            frames.append(Image.open(stream).convert("RGB"))
    # One palette for all frames, the last one's, or still parts would flicker.
    palette = frames[-1].quantize(NUM_COLOURS, dither=Image.Dither.NONE)
    flat = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    file.parent.mkdir(parents=True, exist_ok=True)
    durations = [FRAME] * (len(flat) - 1) + [LAST_FRAME]
    movie: dict[str, Any] = {"save_all": True, "append_images": flat[1:], "duration": durations, "loop": 0, "optimize": True}
    write_whole(file, lambda place: flat[0].save(place, **movie))
    return file


def draw(scene: Scene, point: str, step: int | None = None, rows: Sequence[int] | None = None) -> Figure:
    """The picture as a figure of matplotlib.

    Args:
        scene: what is drawn.
        point: where the layers are looked at.
        step: only what was seen up to this step; None for everything.
        rows: the layers by their number in ``scene.layers``; by default at most ``MOST_ROWS``, evenly spaced.

    The arms are the first ``MOST_ARMS``, of a frame the first ``MOST_COLUMNS``; those that are left out are named.
    """
    from matplotlib.figure import Figure

    columns = scene.columns[: MOST_ARMS if step is None else MOST_COLUMNS]
    num_blocks = -(-len(columns) // MOST_COLUMNS)
    if rows is None:
        number = min(len(scene.layers), MOST_ROWS // num_blocks)
        rows = sorted({round(row) for row in np.linspace(0, len(scene.layers) - 1, number)})
    shown = [scene.runs[index] for index in columns]
    colour = [colours(scene.runs)[index][0] for index in columns]
    width, height = -(-len(shown) // num_blocks), num_blocks * len(rows)
    figure = Figure(figsize=(4.6 * max(width, 1.4), (2.15 if step is None else 1.85) * height + 1.5))
    grid = figure.add_gridspec(
        height + 1, 2 * width, width_ratios=[3, 2] * width, height_ratios=[1.0] * height + [0.62]
    )
    last = max(int(run.steps[-1]) for run in shown)
    for place, row in enumerate(rows):
        layer = scene.layers[row]
        for number, (run, ink) in enumerate(zip(shown, colour, strict=True)):
            block, column = divmod(number, width)
            seen = run.places[layer, point]
            left, right = (figure.add_subplot(grid[block * len(rows) + place, 2 * column + side]) for side in (0, 1))
            name = f"layer {row + 1}" if layer == f"hidden{row + 1}" else f"layer {layer}"
            _draw_tracks(left, run, seen, ink, last if step is None else step)
            left.set(ylim=scene.limits[layer, point])
            left.set_title(f"{run.label}: {name}")
            _draw_ridges(right, run, seen, scene.wide_limits[layer, point], ink, last if step is None else step)
            _step_axis(left, last, words=place == len(rows) - 1)
            if step is None:
                left.set_xlabel(fill(seen.tracks_sentence, 58), fontsize=6.5, loc="left")
    bottom = figure.add_subplot(grid[height, :])
    for run, ink in zip(shown, colour, strict=True):
        values = np.array(run.accuracy.values, float)
        style = "--" if run.norm == "none" else "-"
        bottom.plot(_spots(run.accuracy.steps), values, color=ink, linestyle=style, label=run.label)
    if step is not None:
        bottom.axvline(max(step, ZERO), color="black", linewidth=1)
    _step_axis(bottom, last, words=True)
    bottom.yaxis.set_major_formatter("{x:.0%}")
    bottom.set_title(f"accuracy after {step:,} steps" if step is not None else "accuracy")
    bottom.set_xlabel("training steps")
    bottom.legend(loc="upper left", ncols=num_blocks)
    bare = point != "next_input" and any(run.norm == "none" for run in shown)
    title = f"What enters each layer ({POINTS[point]}{', or where it would stand' * bare}). {scene.sentence}"
    if left_out := [scene.runs[index].label for index in scene.columns[len(columns) :]]:
        title += f"\n{len(columns)} of {len(scene.columns)} arms; left out: {', '.join(left_out)}"
    figure.suptitle(title, fontsize=9, x=0.01, ha="left")
    return figure


def _draw_tracks(ax: Axes, run: Seen, seen: Place, colour: str, upto: int) -> None:
    """Ten units' medians with their 15-85 % bands."""
    kept_T = run.steps <= upto
    spots_T = _spots(run.steps[kept_T])
    for unit in tracks(seen.quantiles.shape[1]):
        low_T, middle_T, high_T = np.where(np.isfinite(seen.quantiles), seen.quantiles, np.nan)[kept_T, unit].T
        ax.fill_between(spots_T, low_T, high_T, color=colour, alpha=0.08, linewidth=0)
        ax.plot(spots_T, middle_T, color=colour, linewidth=1)


def _draw_ridges(ax: Axes, run: Seen, seen: Place, limits: tuple[float, float], colour: str, upto: int) -> None:
    """All units together, a ridge a look, the last one filled; the first at the top."""
    places = np.linspace(0, len(run.steps) - 1, min(NUM_RIDGES, len(run.steps))).round().astype(int)
    edges = np.linspace(*limits, seen.density.shape[1] + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    current = max(int((run.steps <= upto).sum()) - 1, 0)
    filled = max(int((places <= current).sum()) - 1, 0)
    told: dict[int, str] = {}
    for slot, place in enumerate(places[: filled + 1]):
        look = current if slot == filled else place
        height = -slot + 1.7 * np.nan_to_num(seen.density[look])
        inside = colour if slot == filled else "white"
        ax.fill_between(middles, -slot, height, color=inside, alpha=0.85, linewidth=0, zorder=2 + slot)
        ax.plot(middles, height, color="black" if slot == filled else colour, linewidth=0.7, zorder=2 + slot)
        told[-slot] = f"{run.steps[look]:,}"
    ax.set(xlim=limits, ylim=(-len(places) + 0.8, 1.9))
    ax.set_yticks(list(told), list(told.values()), fontsize=6.5, va="bottom")
    ax.tick_params(axis="y", length=0, pad=1)
    ax.spines["left"].set_visible(False)
    ax.grid(visible=False)


def _step_axis(ax: Axes, last: int, *, words: bool) -> None:
    """A logarithmic axis with step 0 on it."""
    powers = [10**power for power in range(7) if 10**power <= last]
    ax.set_xscale("log")
    ax.set_xlim(ZERO * 0.9, max(last, 1) * 1.1)
    ax.set_xticks([ZERO, *powers], ["0", *(f"{power:,}" for power in powers)] if words else [""] * (len(powers) + 1))
    ax.set_xticks([], minor=True)


def _spots(steps: Sequence[int] | np.ndarray) -> np.ndarray:
    return np.maximum(np.asarray(steps, float), ZERO)
