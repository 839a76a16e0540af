"""The interactive page: Bokeh's figures, the data, a small script and style, all in one file that needs no network.

Units' percentiles travel as half floats (11 bits), which a screen cannot tell from the record.

Legend: T looks, U units, Q percentiles, G bins.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bnexp.figures.style import COLORS
from bnexp.look.tracks import POINTS, Scene, Seen, tracks
from bnexp.records.jsonfile import write_text

if TYPE_CHECKING:
    from bokeh.model import Model
    from bokeh.plotting import figure as Figure  # noqa: N812 - a class after all

#: Columns side by side at most; other runs are in the menu above each.
MOST_COLUMNS = 4

#: Bytes that units' tracks may take on the page. Bokeh takes 1.1 MB, and the page stays under 3.
BUDGET = 750_000

#: Where step 0 stands on the logarithmic axis.
ZERO = 0.5

#: Okabe & Ito's palette less the colours of the two main arms, and two greys: on white, and on black where those are too dark.
_OTHERS = (
    ("#009E73", "#2FC79B"), ("#CC79A7", "#E39BC3"), ("#8A6D00", "#F0E442"), ("#56B4E9", "#A5D8F5"),
    ("#E69F00", "#FFC857"), ("#333333", "#E0E0E0"), ("#7f7f7f", "#9f9f9f"),
)  # fmt: skip
_ON_BLACK = {"none": "#F58A42", "batch": "#56B4E9"}

_HERE = Path(__file__).parent


def colours(runs: Sequence[Seen]) -> list[tuple[str, str]]:
    """The colour of each run, on white and on black; one an arm, and never the same for neighbours."""
    arms: dict[str, tuple[str, str]] = {}
    for run in runs:
        if run.arm in arms:
            continue
        main = (COLORS[run.norm], _ON_BLACK[run.norm]) if run.norm in _ON_BLACK else _OTHERS[0]
        free = [pair for pair in (main, *_OTHERS) if pair not in arms.values()]
        arms[run.arm] = free[0] if free else _OTHERS[len(arms) % len(_OTHERS)]
    return [arms[run.arm] for run in runs]


def write_page(scene: Scene, out: Path, point: str) -> Path:
    """Write the page; returns the file.

    Args:
        scene: what is on it.
        out: the folder.
        point: where the layers are looked at when the page opens.
    """
    from bokeh.document import Document
    from bokeh.embed import components
    from bokeh.resources import Resources
    from jinja2 import Environment, FileSystemLoader

    num_columns = min(len(scene.columns), MOST_COLUMNS)
    last = max(float(run.steps[-1]) for run in scene.runs)
    figures: dict[str, Model] = {"accuracy": _accuracy(scene, last)}
    for row in range(len(scene.layers)):
        for column in range(num_columns):
            figures[f"tracks_{row}_{column}"] = _tracks(f"tracks_{row}_{column}", last)
            figures[f"ridges_{row}_{column}"] = _ridges(f"ridges_{row}_{column}")
    document = Document()
    with document.models.freeze():  # else every figure makes it look through all of those before
        for one in figures.values():
            document.add_root(one)
    script, divs = components(figures)
    environment = Environment(loader=FileSystemLoader(_HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    data = page_data(scene, num_columns, point)
    html = environment.get_template("page.html.j2").render(
        bokeh=Resources(mode="inline", components=["bokeh"], log_level="error").render_js(),
        script=script,
        divs=divs,
        data=json.dumps(data, allow_nan=False).replace("</", "<\\/"),
        css=(_HERE / "page.css").read_text(encoding="utf-8"),
        js=(_HERE / "page.js").read_text(encoding="utf-8"),
        scene=scene,
        points=[(name, POINTS[name]) for name in scene.points],
        point=point,
        columns=range(num_columns),
        layers=_layer_words(scene),
        notes=_notes(scene, num_columns, data["units"]),
    )
    out.mkdir(parents=True, exist_ok=True)
    file = out / "index.html"
    write_text(file, html)
    return file


def page_data(scene: Scene, num_columns: int, point: str) -> dict[str, Any]:
    """What the page's script draws.

    Under ``runs``, ``places`` holds of each layer and point the percentiles ``q`` (half floats in base64, ``[T, U, Q]`` of the
    ``units`` that are kept), the distribution ``d`` (``[T, G]`` in 255ths of its peak; empty where there is none), and two
    sentences.
    """
    units = _kept_units(scene)
    colour = colours(scene.runs)
    return {
        "columns": list(scene.columns[:num_columns]),
        "layers": list(scene.layers),
        "point": point,
        "zero": ZERO,
        "units": units,
        "tracks": {layer: _tracked(scene, layer, kept) for layer, kept in units.items()},
        "limits": {f"{layer}/{at}": limits for (layer, at), limits in scene.limits.items()},
        "wide": {f"{layer}/{at}": limits for (layer, at), limits in scene.wide_limits.items()},
        "runs": [_run_data(run, pair, units) for run, pair in zip(scene.runs, colour, strict=True)],
    }


def _kept_units(scene: Scene) -> dict[str, list[int]]:
    """The units of each layer that the page can show: all, or as many as fit into ``BUDGET``, those that are drawn first."""
    looks = sum(len(run.steps) for run in scene.runs)
    most = int(BUDGET * 3 / 4 / (2 * 3 * looks * len(scene.points) * len(scene.layers)))
    kept = {}
    for layer in scene.layers:
        number = _num_units(scene, layer)
        first = tracks(number)
        spread = np.linspace(0, number - 1, max(most - len(first), 0)).round().astype(int).tolist()
        kept[layer] = sorted({*first, *spread}) if number > most else list(range(number))
    return kept


def _num_units(scene: Scene, layer: str) -> int:
    """Units of a layer; of nets of different widths those of the narrowest."""
    return min(run.places[layer, scene.points[0]].quantiles.shape[1] for run in scene.runs)


def _tracked(scene: Scene, layer: str, kept: Sequence[int]) -> list[int]:
    return [kept.index(unit) for unit in tracks(_num_units(scene, layer))]


def _run_data(run: Seen, colour: tuple[str, str], units: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    places = {}
    for (layer, point), place in run.places.items():
        with np.errstate(over="ignore"):  # beyond 65,504 it leaves every axis
            half = place.quantiles[:, units[layer]].astype("<f2")
        known = bool(np.isfinite(place.density).any())
        bytes_TG = np.nan_to_num(place.density * 255).round().astype(np.uint8)
        places[f"{layer}/{point}"] = {
            "q": base64.b64encode(half.tobytes()).decode(),
            "d": base64.b64encode(bytes_TG.tobytes()).decode() if known else "",
            "said": [place.tracks_sentence, place.pooled_sentence],
        }
    return {
        "label": run.label,
        "name": run.name,
        "arm": run.arm,
        "colour": colour,
        "dash": "dashed" if run.norm == "none" else "solid",
        "steps": run.steps.tolist(),
        "accuracy": [list(run.accuracy.steps), [None if v is None else round(v, 4) for v in run.accuracy.values]],
        "places": places,
    }


def _layer_words(scene: Scene) -> list[str]:
    plain = all(name == f"hidden{number}" for number, name in enumerate(scene.layers, start=1))
    return [f"Layer {number}" if plain else f"Layer {name}" for number, name in enumerate(scene.layers, start=1)]


def _notes(scene: Scene, num_columns: int, units: Mapping[str, Sequence[int]]) -> list[str]:
    """What a reader has to know of how it was drawn."""
    notes = [
        "Tracks: the median of a unit over held-out examples and the band from its 15th to its 85th percentile, for ten units "
        "evenly spaced by number, the same in every column. Axes are shared by all runs. Sentences compare the last look with "
        "the first; a width is that of a unit's first band.",
        "Ridges: all units' values together, each scaled to its own peak; filled: the step of the slider.",
    ]
    if len(scene.layers) < scene.num_layers:
        notes.append(f"{len(scene.layers)} of {scene.num_layers} layers are drawn, evenly spaced.")
    if len(scene.columns) > num_columns:
        notes.append(
            f"{num_columns} of {len(scene.columns)} arms are side by side; the menus above the columns have the others."
        )
    kept = {layer: (len(kept), _num_units(scene, layer)) for layer, kept in units.items()}
    if any(have < there for have, there in kept.values()):
        notes.append(
            f"So that the page stays small it holds {min(have for have, _ in kept.values())} units of a layer."
        )
    if not all(run.has_histograms for run in scene.runs):
        notes.append(
            "Some records are older than histograms: their ridges are put together from the units, each as a normal "
            "distribution with its median and band."
        )
    return notes


def _base(name: str, height: int, **options: Any) -> Figure:
    from bokeh.plotting import figure

    plot = figure(
        name=name, height=height, sizing_mode="stretch_width", min_width=100, tools="", toolbar_location=None, min_border=2,
        output_backend="canvas", **options,
    )  # fmt: skip
    plot.background_fill_alpha = plot.border_fill_alpha = 0.0
    plot.background_fill_color = plot.border_fill_color = None
    plot.outline_line_color = None
    plot.axis.axis_label_text_font_style = "normal"
    plot.axis.major_label_text_font_size = plot.axis.axis_label_text_font_size = "11px"
    plot.axis.minor_tick_line_color = None
    return plot


def _log_steps(plot: Figure, last: float) -> None:
    """A logarithmic axis of steps with step 0 on it."""
    from bokeh.models import FixedTicker
    from bokeh.models.annotations import Span

    powers = [10**power for power in range(7) if 10**power <= last]
    ticker = FixedTicker(ticks=[ZERO, *powers])
    words: dict[float | str, Any] = {ZERO: "0"} | {power: f"{power:,}" for power in powers}
    plot.xaxis.ticker = plot.xgrid.ticker = ticker
    plot.xaxis.major_label_overrides = words
    plot.add_layout(Span(location=ZERO, dimension="height", line_width=1.5, name=f"{plot.name}_cursor"))


def _tracks(name: str, last: float) -> Figure:
    from bokeh.models import ColumnDataSource, HoverTool

    plot = _base(name, 200, x_axis_type="log", x_range=(ZERO * 0.85, last * 1.15), y_range=(-1, 1))
    _log_steps(plot, last)
    columns = ("xs", "ys", "bx", "by", "colour", "line", "band", "width", "unit")
    source = ColumnDataSource({column: [] for column in columns}, name=f"{name}_data")
    plot.patches("bx", "by", source=source, fill_color="colour", fill_alpha="band", line_color=None)
    lines = plot.multi_line("xs", "ys", source=source, line_color="colour", line_alpha="line", line_width="width")
    plot.add_tools(HoverTool(renderers=[lines], tooltips=[("unit", "@unit"), ("median", "$y{0.00}")]))
    return plot


def _ridges(name: str) -> Figure:
    from bokeh.models import ColumnDataSource

    plot = _base(name, 200, x_range=(-1, 1), y_range=(-11, 1.9))
    plot.yaxis.visible = plot.ygrid.visible = False
    source = ColumnDataSource({column: [] for column in ("xs", "ys", "fill", "alpha", "line")}, name=f"{name}_data")
    plot.patches("xs", "ys", source=source, fill_color="fill", fill_alpha="alpha", line_color="line", line_width=1)
    text = ColumnDataSource({column: [] for column in ("x", "y", "text", "colour")}, name=f"{name}_text")
    plot.text("x", "y", "text", source=text, text_font_size="10px", text_color="colour", text_baseline="bottom")
    return plot


def _accuracy(scene: Scene, last: float) -> Figure:
    from bokeh.models import BasicTicker, ColumnDataSource, HoverTool, NumeralTickFormatter

    values = [value for run in scene.runs for value in run.accuracy.values if value is not None]
    bottom = max(0.0, min(values, default=0.0) - 0.03)
    plot = _base("accuracy", 130, x_axis_type="log", x_range=(ZERO * 0.85, last * 1.15), y_range=(bottom, 1.0))
    _log_steps(plot, last)
    plot.yaxis.formatter = NumeralTickFormatter(format="0 %")
    plot.yaxis.ticker = BasicTicker(desired_num_ticks=3)
    columns = ("xs", "ys", "colour", "alpha", "width", "dash", "label")
    source = ColumnDataSource({column: [] for column in columns}, name="accuracy_data")
    lines = plot.multi_line(
        "xs", "ys", source=source, line_color="colour", line_alpha="alpha", line_width="width", line_dash="dash"
    )
    plot.add_tools(HoverTool(renderers=[lines], tooltips=[("run", "@label"), ("accuracy", "$y{0.0 %}")]))
    return plot
