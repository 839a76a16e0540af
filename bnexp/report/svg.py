"""matplotlib's SVG in a third of its bytes: the same picture, for a page that holds two hundred of them.

Groups that only name things go; gridlines, ticks and markers of a kind become one path each; points are told relative to the one
before, to a tenth of a point; a style that occurs again becomes a class.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from html import escape
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np

SVG, LINK = "http://www.w3.org/2000/svg", "{http://www.w3.org/1999/xlink}href"

#: matplotlib's own family, with others of its widths for where it is not there.
FONT = "DejaVu Sans,Verdana,sans-serif"

#: In an axis: gridlines lie under ticks, ticks under words.
ORDER = ("path", "marks", "text")

#: What holds in every picture.
RULES = "*{stroke-linejoin:round}marker{overflow:visible}path,circle{fill:none}"

#: Words of a class.
WORDS = '<text class="{}" [^>]*>[^<]*</text>'

#: Of so many points a line keeps those only from which it bends by more than this, in points of a printer.
MANY, BEND = 12, 0.2


@dataclass(frozen=True)
class Leaf:
    """Something drawn.

    Attributes:
        kind: the element's name; ``marks`` for a shape at some places.
        style: as in CSS, clipping included.
        d: of a path, or of the shape.
        places: where the shape stands.
        element: anything else, as it was.
    """

    kind: str
    style: str = ""
    d: str = ""
    places: tuple[tuple[float, float], ...] = ()
    element: Element | None = None


def lighter(svg: str) -> str:
    """The same picture in fewer bytes; what stands before ``<svg`` is left out, and so are white backgrounds."""
    root = ElementTree.fromstring(svg[svg.index("<svg") :])
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    defined = [one for defs in root.iter("defs") for one in defs]
    shapes = {one.get("id", ""): one for one in defined if one.tag == "path"}
    leaves = list(_joined(_leaves(root, "", shapes)))
    many = [leaf for leaf in leaves if len(leaf.places) > 1 and not _is_line(leaf.d)]
    names = {key: f"m{index}" for index, key in enumerate(dict.fromkeys((leaf.d, leaf.style) for leaf in many))}
    markers = "".join(
        f'<marker id="{name}">{_shape(d, _unclipped(style))}</marker>'
        for (d, style), name in names.items()
    )
    kept = "".join(_as_is(one) for one in defined if one.tag not in ("path", "style"))
    drawn = "".join(_text(leaf, names.get((leaf.d, leaf.style), "")) for leaf in leaves)
    rules, text = _classes(_short_names(f"<defs>{markers}{kept}</defs>{drawn}"))
    width, height = (float(size) for size in (root.get("viewBox") or "").split()[2:])
    head = f'<svg xmlns="{SVG}" viewBox="0 0 {_number(width)} {_number(height)}" font-family="{FONT}">'
    return f"{head}<style>{RULES}{rules}</style>{text.removeprefix('<defs></defs>')}</svg>"


def _leaves(element: Element, clip: str, shapes: dict[str, Element]) -> Iterator[Leaf]:
    """Everything drawn, in order; of an axis its gridlines first, then its ticks."""
    for child in element:
        clipped, style = child.get("clip-path", clip), child.get("style", "")
        if child.tag == "g" and set(child.keys()) <= {"id", "clip-path"}:
            inside = list(_leaves(child, clipped, shapes))
            if child.get("id", "").startswith("matplotlib.axis_") and all(leaf.kind in ORDER for leaf in inside):
                inside.sort(key=lambda leaf: ORDER.index(leaf.kind))
            yield from inside
        elif child.tag == "path":
            if not (style == "fill: #ffffff" and element.get("id", "").startswith("patch_")):
                yield Leaf("path", _filled(style, clipped), child.get("d", ""))
        elif child.tag == "use":
            shape = shapes[child.get(LINK, "").removeprefix("#")]
            place = float(child.get("x", 0)), float(child.get("y", 0))
            yield Leaf("marks", _filled(f"{style};{shape.get('style', '')}", clipped), shape.get("d", ""), (place,))
        elif child.tag not in ("defs", "metadata"):
            yield Leaf(child.tag, _css("", clipped), element=child)


def _joined(leaves: Iterable[Leaf]) -> Iterator[Leaf]:
    """The same shape beside itself as one leaf, and lines of one style too, unless they shine through each other."""
    last: Leaf | None = None
    for leaf in leaves:
        line = leaf.kind == "path" and not re.search("fill:|opacity", leaf.style)
        if last and last.kind == leaf.kind and last.style == leaf.style and (line or (leaf.places and last.d == leaf.d)):
            last = replace(last, d=last.d + leaf.d * line, places=last.places + leaf.places)
        else:
            if last:
                yield last
            last = leaf
    if last:
        yield last


def _text(leaf: Leaf, marker: str) -> str:
    """A leaf as an element.

    Args:
        leaf: what is drawn.
        marker: the name of the shape's marker, where there is one.
    """
    if leaf.element is not None:
        drawn = _as_is(leaf.element)
        return f'<g style="{leaf.style}">{drawn}</g>' if leaf.style else drawn  # around it: clipping moves with its element
    if not leaf.places:
        bent = re.sub(rf"M[^MLQCz]*(?:L[^MLQCz]*){{{MANY},}}", _simpler, leaf.d)
        return f'<path style="{leaf.style}" d="{relative(bent)}"/>'
    starts = [f"M{_number(x)} {_number(y)}" for x, y in leaf.places]
    if _is_line(leaf.d):
        stroke = relative(leaf.d).removeprefix("M0 0")
        return f'<path style="{leaf.style}" d="{"".join(start + stroke for start in starts)}"/>'
    if marker:
        clip = re.findall(r"clip-path:[^;]*", leaf.style)
        return f'<path style="{";".join([f"marker:url(#{marker})", *clip])}" d="{relative(_polyline(leaf.places))}"/>'
    return _shape(leaf.d, leaf.style, leaf.places[0])


def _polyline(places: Iterable[tuple[float, float]]) -> str:
    return "M " + " L ".join(f"{x} {y}" for x, y in places)


def _is_line(d: str) -> bool:
    """Whether a shape is a single stroke that starts where it stands."""
    return re.fullmatch(r"M 0 0\s+L \S+ \S+\s*", d) is not None


def _shape(d: str, style: str, place: tuple[float, float] | None = None) -> str:
    """A marker's shape: matplotlib's circle, eight curves, is a circle; all else is a path."""
    radius = re.match(r"M 0 (\S+)\s+C", d)
    if radius and d.count("C") == 8:
        at = f' cx="{_number(place[0])}" cy="{_number(place[1])}"' if place else ""
        return f'<circle style="{style}"{at} r="{float(radius[1]):.3g}"/>'
    return f'<path style="{style}" d="{relative(d, place or (0, 0))}"/>'


def relative(d: str, at: tuple[float, float] = (0, 0)) -> str:
    """A path of absolute commands with each point told from the one before, in tenths; points on top of each other once.

    Args:
        d: what stood in the path.
        at: where its origin is put.

    Example:
        >>> relative("M 10 10 L 20.04 10 L 20.04 9.5 L 25 5 L 30 0 z")
        'M10 10h10v-.5l5-4.5l5-5z'
    """
    here, parts = (0, 0), []
    for command, numbers in re.findall(r"([MLQCz])([^MLQCz]*)", d):
        values = [round(10 * float(number)) + round(10 * at[place % 2]) for place, number in enumerate(numbers.split())]
        points = list(zip(values[::2], values[1::2], strict=True))
        steps = [(x - here[0], y - here[1]) for x, y in points]
        if command == "M":
            parts.append(f"M{_tenths(values)}")
        elif command == "L":
            (x, y) = steps[0]
            if x and y:
                parts.append(f"l{_tenths((x, y))}")
            elif x or y or parts[-1].startswith("M"):
                parts.append(f"v{_tenths((y,))}" if y else f"h{_tenths((x,))}")
        elif command != "z":
            parts.append(command.lower() + _tenths([one for step in steps for one in step]))
        else:
            parts.append("z")
        here = points[-1] if points else here
    return "".join(parts)


def _simpler(found: re.Match[str]) -> str:
    """A line of many points with those only that it bends at."""
    from matplotlib.path import Path

    path = Path(np.array(re.sub(r"[ML]", " ", found[0]).split(), float).reshape(-1, 2))
    path.simplify_threshold = BEND
    bends = np.asarray(path.cleaned(simplify=True).vertices)
    return _polyline(bends[:-1])  # the last one says that there are no more


def _tenths(values: Iterable[int]) -> str:
    """Whole tenths as numbers, with a blank where no sign parts them."""
    words = [re.sub(r"^(-?)0\.", r"\1.", f"{value / 10:g}") if value % 10 else str(value // 10) for value in values]
    return "".join(word if not index or word.startswith("-") else f" {word}" for index, word in enumerate(words))


def _number(value: float) -> str:
    return _tenths([round(10 * value)])


def _css(style: str, clip: str) -> str:
    """A style without blanks and without what holds anyway; where two parts set the same, the last one counts."""
    parts = dict(part.split(":", 1) for part in re.sub(r"\s*([:;])\s*", r"\1", style.strip()).split(";") if part)
    parts = {name: re.sub(r"^#(.)\1(.)\2(.)\3$", r"#\1\2\3", value) for name, value in parts.items()}
    if parts.get("stroke-dashoffset") == "0":
        del parts["stroke-dashoffset"]
    if parts.get("font-family") == "'DejaVu Sans'":
        del parts["font-family"]
    if clip:
        parts["clip-path"] = clip
    return ";".join(f"{name}:{value}" for name, value in parts.items())


def _filled(style: str, clip: str) -> str:
    """A style of a shape, for which nothing said means unfilled; in SVG it means black."""
    css = _css(style, clip)
    return re.sub(r"fill:none;?", "", css) if "fill:" in css else f"fill:#000;{css}"


def _unclipped(style: str) -> str:
    return ";".join(part for part in style.split(";") if not part.startswith("clip-path"))


def _as_is(element: Element) -> str:
    """An element with all in it, its numbers to a tenth."""
    css = _css(element.get("style", ""), element.get("clip-path", ""))
    words = f' style="{css}"' if css else ""
    for name, value in element.items():
        if name in ("style", "clip-path", "type") or (name == "transform" and value.startswith("rotate(-0 ")):
            continue
        if name == "d":
            value = relative(value)
        elif name in ("x", "y", "width", "height", "transform") and "%" not in value:
            value = re.sub(r"-?\d+\.\d+", lambda found: _number(float(found[0])), value)
        words += f' {name.rpartition("}")[2]}="{escape("".join(value.split()) if name == LINK else value)}"'
    inside = escape((element.text or "").strip(), quote=False)
    inside += "".join(_as_is(one) + escape((one.tail or "").strip(), quote=False) for one in element)
    return f"<{element.tag}{words}>{inside}</{element.tag}>" if inside else f"<{element.tag}{words}/>"


def _short_names(svg: str) -> str:
    """Ids of two letters, and those only that are used."""
    used = {name: f"i{number}" for number, name in enumerate(dict.fromkeys(re.findall(r'(?:url\(|href=")#([\w.-]+)', svg)))}
    svg = re.sub(r'(url\(#|href="#| id=")([\w.-]+)', lambda found: found[1] + used.get(found[2], ""), svg)
    return svg.replace(' id=""', "")


def _classes(svg: str) -> tuple[str, str]:
    """Rules for the styles that occur more than once, and the picture with their classes in their place."""
    counts = Counter(re.findall(r' style="([^"]+)"', svg))
    names = {style: f"a{number}" for number, (style, count) in enumerate(counts.items()) if count > 1}
    svg = re.sub(r' style="([^"]*)"', lambda found: f' class="{names[found[1]]}"' if found[1] in names else found[0], svg)
    svg = re.sub(WORDS.format("(a[0-9]+)") + "(?:" + WORDS.format(r"\1") + ")+", _grouped, svg)
    return "".join(f".{name}{{{style}}}" for style, name in names.items()), svg.replace(' style=""', "")


def _grouped(found: re.Match[str]) -> str:
    """Words of one class, said once."""
    said = f' class="{found[1]}"'
    return f"<g{said}>{found[0].replace(said, '')}</g>"
