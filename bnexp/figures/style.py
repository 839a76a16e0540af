"""How every figure looks: one palette that colour-blind readers can tell apart, thin frames, direct labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from bnexp.records.jsonfile import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Okabe & Ito's palette (2008), safe for the common colour blindnesses; arms also differ by line style.
COLORS = {"none": "#D55E00", "batch": "#0072B2", "batch_same_lr": "#56B4E9"}
LINE_STYLES = {"none": "--", "batch": "-", "batch_same_lr": "-."}

#: Colour, marker and line style of several series in their order: with BN and without first, where those are among them.
SERIES = (
    ("#0072B2", "o", "-"), ("#D55E00", "s", "--"), ("#009E73", "^", "-."), ("#CC79A7", "D", ":"),
    ("#56B4E9", "v", "-"), ("#E69F00", "P", "--"), ("#000000", "X", "-."), ("#7f7f7f", "*", ":"),
)  # fmt: skip

#: How wide a bold letter is on average, in its size, and the share of a panel that is above its horizontal axis.
LETTER, ABOVE_AXIS = 0.66, 0.8

#: Settings of matplotlib that hold for every figure.
SETTINGS: dict[Any, Any] = {
    "font.size": 9,
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": "#e5e5e5",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "svg.hashsalt": "bnexp",
    "svg.fonttype": "path",  # outlines look the same everywhere
}


@contextmanager
def own_look(more: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Inside, figures look the same for everybody, whatever a ``matplotlibrc`` in the working or the home folder says."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS | dict(more or {}))
        yield


def plain_log_axis(ax: Axes, values: Sequence[float]) -> None:
    """A logarithmic y axis with 200 and 1,500 on it and no powers; linear as it was where a value is not positive.

    Args:
        ax: to be drawn on.
        values: everything on it; the narrower their range, the more ticks between the powers of ten.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if min(values) <= 0:
        return
    ax.set_yscale("log")
    ratio = max(values) / min(values)
    subs = (1, 1.5, 2, 3, 5, 7) if ratio < 10 else (1, 2, 5) if ratio < 30 else (1,)
    ax.yaxis.set_major_locator(LogLocator(subs=subs))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())


def rate_axis(ax: Axes) -> None:
    """The horizontal axis logarithmic in learning rates that are powers of two, every third of which is named: 1/64, 1/8, 1, 8."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_locator(LogLocator(base=8, numticks=99))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}" if value >= 1 else f"1/{1 / value:.0f}"))


def fit_titles(figure: Figure) -> None:
    """Break each panel's title into lines that are no wider than the panel."""
    from matplotlib.text import Text

    for axes in figure.axes:
        place, titles = axes.get_subplotspec(), {axes.get_title(loc=where) for where in ("left", "center", "right")} - {""}
        if place is None:
            continue
        width = ABOVE_AXIS * len(place.colspan) / place.get_gridspec().ncols * axes.figure.bbox.width / axes.figure.dpi
        for text in axes.get_children():
            if isinstance(text, Text) and text.get_text() in titles:
                text.set_text(fill(text.get_text(), max(12, int(72 * width / (LETTER * float(text.get_fontsize()))))))


def legend_above(figure: Figure, columns: int = 2) -> None:
    """One legend above all panels, of what the first one shows, in the place of each panel's own."""
    shown = figure.axes[0].get_legend_handles_labels()
    for axes in figure.axes:
        if legend := axes.get_legend():
            legend.remove()
    figure.legend(*shown, loc="outside upper center", ncols=columns)


#: Ending to what makes a figure's bytes the same each time.
FORMATS: dict[str, dict[str, Any]] = {
    "svg": {"metadata": {"Date": None}},
    "png": {"dpi": 160, "metadata": {"Software": None}},
    "pdf": {"metadata": {"CreationDate": None}},
}


def save_as(figure: Figure, file: Path, formats: Sequence[str]) -> list[Path]:
    """Write the figure under ``file`` with each ending of ``formats``, the same bytes for the same figure; returns the files."""
    file.parent.mkdir(parents=True, exist_ok=True)
    files = [file.with_name(f"{file.name}.{ending}") for ending in formats]
    for ending, written in zip(formats, files, strict=True):
        write_whole(written, _few_colours(figure) if ending == "png" else partial(figure.savefig, format=ending, **FORMATS[ending]))
    return files


def _few_colours(figure: Figure) -> Callable[[Path], None]:
    """Writes a PNG of 256 colours, which a drawing can do with: 40 % of the bytes."""
    from PIL import Image

    drawn = BytesIO()
    figure.savefig(drawn, format="png", **FORMATS["png"])
    picture = Image.open(drawn).convert("RGB").quantize(dither=Image.Dither.NONE)
    return lambda file: picture.save(file, "PNG", optimize=True)
