"""Matplotlib figures as SVG inside a page: text as outlines, so that it looks the same everywhere, and ids of its own."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

from bnexp.figures.style import SETTINGS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Points of matplotlib (1/72 inch) to CSS pixels (1/96 inch).
PIXELS_PER_POINT = 96 / 72


def inline_svg(
    draw: Callable[[Figure], object], *, name: str, label: str, size: tuple[float, float] = (5.2, 3.3)
) -> str:
    """A figure as an ``<svg>`` element.

    Args:
        draw: draws on an empty figure.
        name: unique on the page; every id in the figure starts with it.
        label: what a screen reader says.
        size: width and height in inches, which ``draw`` may change.
    """
    import matplotlib
    from matplotlib.figure import Figure

    settings: Any = {**SETTINGS, "svg.fonttype": "path", "svg.hashsalt": name}
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=size)
        draw(figure)
        stream = io.StringIO()
        figure.savefig(
            stream, format="svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight", pad_inches=0.05
        )
    return clean(stream.getvalue(), name=name, label=label)


def clean(svg: str, *, name: str, label: str) -> str:
    """Only what a page needs of a standalone SVG file: no prolog, no metadata, no style that leaks, ids with a prefix.

    Example:
        >>> clean('<?xml?><svg width="72pt" viewBox="0 0 72 9"><g id="a"/><use xlink:href="#a"/></svg>',
        ...       name="f1", label="Line")
        '<svg role="img" aria-label="Line" viewBox="0 0 72 9" style="max-width:96px"><g id="f1-a"/><use xlink:href="#f1-a"/></svg>'
    """
    body = svg[svg.index("<svg") :].strip()
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", body, flags=re.S)
    body = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", body)
    opening, rest = body[: body.index(">") + 1], body[body.index(">") + 1 :]
    box = _attribute(opening, "viewBox")
    width = float(_attribute(opening, "width").removesuffix("pt")) * PIXELS_PER_POINT
    told = f'role="img" aria-label="{escape(label)}" viewBox="{box}" style="max-width:{width:.0f}px"'
    return f"<svg {told}>" + re.sub(r"\s*\n\s*", "\n", rest)


def _attribute(tag: str, name: str) -> str:
    match = re.search(rf'\b{name}="([^"]*)"', tag)
    if match is None:
        raise ValueError(f"the figure has no {name}: {tag[:80]}")
    return match[1]
