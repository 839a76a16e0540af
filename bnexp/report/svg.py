"""matplotlib's SVG in a quarter of its bytes: the same picture as a part of a page that holds a hundred of them.

Groups that only name things go; gridlines, ticks and markers of a kind become one path each; points are told relative to the one
before, in whole tenths of a point, which are the drawing's unit; clipping goes where nothing sticks out. Styles, markers and areas
for clipping are the page's, each once (:func:`shared`).
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

LINK = "{http://www.w3.org/1999/xlink}href"

#: Units of a drawing in a point of matplotlib: whole ones are as exact as anybody sees.
UNITS = 10

#: Points of matplotlib (1/72 inch) to CSS pixels (1/96 inch).
PIXELS_PER_POINT = 96 / 72

#: In an axis: gridlines lie under ticks, ticks under words.
ORDER = ("path", "marks", "text")

#: Words of a style.
WORDS = '<text style="{}" [^>]*>[^<]*</text>'

#: What lies no further outside, in points, is not clipped: half of a line's width.
OUTSIDE = 1.0

#: Of each transform, which numbers are lengths.
LENGTHS = {"translate": 0, "rotate": 1, "matrix": 4, "scale": 6}

#: An element of a picture with its style, which comes first.
STYLED = r'(<(?:path|circle|text|g|rect|image)) style="([^"]*)"'

#: Left, upper edge, width and height.
Box = tuple[float, ...]

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


def lighter(svg: str, label: str = "", box: Box | None = None) -> str:
    """The same picture as an element of a page; what stands before ``<svg`` is left out, and so are white backgrounds.

    Args:
        svg: by matplotlib, with words as words.
        label: what a screen reader says.
        box: the part that is shown, in points; all of it for none.
    """
    root = ElementTree.fromstring(svg[svg.index("<svg") :])
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    defined = [one for defs in root.iter("defs") for one in defs]
    shapes = {one.get("id", ""): one for one in defined if one.tag in ("path", "clipPath")}
    leaves = list(_joined(_leaves(root, "", shapes)))
    many = [leaf for leaf in leaves if len(leaf.places) > 1 and not _is_line(leaf.d)]
    names = {key: f"m{index}" for index, key in enumerate(dict.fromkeys((leaf.d, leaf.style) for leaf in many))}
    markers = "".join(
        f'<marker id="{name}" markerUnits="userSpaceOnUse">{_shape(d, _unclipped(style))}</marker>'
        for (d, style), name in names.items()
    )
    drawn = "".join(_text(leaf, names.get((leaf.d, leaf.style), "")) for leaf in leaves)
    used = set(re.findall(r'(?:url\(|href=")#([\w.-]+)', drawn))
    kept = "".join(_as_is(one) for one in defined if one.get("id") in used and one.tag not in ("path", "style"))
    drawn = re.sub(WORDS.format("([^\"]+)") + "(?:" + WORDS.format(r"\1") + ")+", _grouped, drawn.replace(' style=""', ""))
    corners = box or tuple(float(size) for size in (root.get("viewBox") or "").split())
    defs = f"<defs>{markers}{kept}</defs>" if markers or kept else ""
    width = round(corners[2] * PIXELS_PER_POINT)
    head = f'class="plot" viewBox="{" ".join(map(_number, corners))}" width="{width}" role="img" aria-label="{escape(label)}"'
    return f"<svg {head}>{defs}{drawn}</svg>"


def shared(page: str) -> tuple[str, str, str]:
    """A page with what its pictures have in common said once.

    Returns:
        The page; rules of the classes that stand in it for styles; markers and areas for clipping that it refers to.
    """
    definitions: dict[str, str] = {}

    def with_names_of_the_page(found: re.Match[str]) -> str:
        names = {}
        for whole, tag, name in re.findall(r'(<(\w+) id="([\w.-]+)".*?</\2>)', found[2] or ""):
            names[name] = definitions.setdefault(whole.replace(f' id="{name}"', "", 1), f"{tag[0]}{len(definitions)}")
        drawn = re.sub(r"url\(#([\w.-]+)\)", lambda one: f"url(#{names[one[1]]})", found[3])
        return found[1] + drawn

    page = re.sub(r'(<svg class="plot"[^>]*>)(?:<defs>(.*?)</defs>)?(.*?</svg>)', with_names_of_the_page, page, flags=re.S)
    texts = "".join(re.sub(r"<\w+", rf'\g<0> id="{name}"', text, count=1) for text, name in definitions.items())
    counts = Counter(part for text in (page, texts) for found in re.findall(STYLED, text) for part in _parts(found[1]))
    names = {style: f"a{number}" for number, (style, count) in enumerate(counts.items()) if count > 1}

    def with_classes(found: re.Match[str]) -> str:
        known = [names[part] for part in _parts(found[2]) if part in names]
        rest = ";".join(part for part in _parts(found[2]) if part not in names)
        return found[1] + (f' class="{" ".join(known)}"' if known else "") + (f' style="{rest}"' if rest else "")

    page, texts = (re.sub(STYLED, with_classes, text) for text in (page, texts))
    return page, "".join(f".{name}{{{style}}}" for style, name in names.items()), texts


def _parts(style: str) -> list[str]:
    """A style apart from what refers to a marker or an area."""
    referring = [part for part in style.split(";") if "url(" in part]
    rest = ";".join(part for part in style.split(";") if "url(" not in part)
    return [part for part in (rest, *referring) if part]


def _leaves(element: Element, clip: str, shapes: dict[str, Element]) -> Iterator[Leaf]:
    """Everything drawn, in order; of an axis its gridlines first, then its ticks."""
    for child in element:
        clipped, style = child.get("clip-path", clip), child.get("style", "")
        where = _box(shapes.get(clipped.removeprefix("url(#").rstrip(")")))
        if child.tag == "g" and set(child.keys()) <= {"id", "clip-path"}:
            inside = list(_leaves(child, clipped, shapes))
            if child.get("id", "").startswith("matplotlib.axis_") and all(leaf.kind in ORDER for leaf in inside):
                inside.sort(key=lambda leaf: ORDER.index(leaf.kind))
            yield from inside
        elif child.tag == "path":
            if not (style == "fill: #ffffff" and element.get("id", "").startswith("patch_")):
                d = child.get("d", "")
                yield Leaf("path", _filled(style, "" if _inside(d, where) else clipped), d)
        elif child.tag == "use":
            shape = shapes[child.get(LINK, "").removeprefix("#")]
            place = float(child.get("x", 0)), float(child.get("y", 0))
            d = shape.get("d", "")
            clipping = "" if _inside(d, where, place) else clipped
            yield Leaf("marks", _filled(f"{style};{shape.get('style', '')}", clipping), d, (place,))
        elif child.tag not in ("defs", "metadata"):
            yield Leaf(child.tag, _css("", clipped), element=child)


def _box(area: Element | None) -> Box | None:
    """Of an area for clipping that is a rectangle."""
    rect = area.find("rect") if area is not None else None
    return tuple(float(rect.get(name, 0)) for name in ("x", "y", "width", "height")) if rect is not None else None


def _inside(d: str, box: Box | None, at: tuple[float, float] = (0, 0)) -> bool:
    """Whether a path lies in a box, but for half of its line's width."""
    if box is None:
        return False
    numbers = np.array(re.findall(r"-?[\d.]+(?:e-?\d+)?", d), float).reshape(-1, 2) + at - box[:2]
    return bool(((numbers >= -OUTSIDE) & (numbers <= np.add(box[2:], OUTSIDE))).all())


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
    if _is_line(leaf.d):
        stroke = re.findall(r"-?[\d.]+", leaf.d)[2:]
        ends = [(x + float(stroke[0]), y + float(stroke[1])) for x, y in leaf.places]
        return f'<path style="{leaf.style}" d="{relative("".join(map(_polyline, zip(leaf.places, ends, strict=True))))}"/>'
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
        return f'<circle style="{style}"{at} r="{UNITS * float(radius[1]):.3g}"/>'
    return f'<path style="{style}" d="{relative(d, place or (0, 0))}"/>'


def relative(d: str, at: tuple[float, float] = (0, 0)) -> str:
    """A path of absolute commands with each point told from the one before, in whole tenths; points on top of each other once.

    Args:
        d: what stood in the path.
        at: where its origin is put.

    Example:
        >>> relative("M 10 10 L 20.04 10 L 20.04 9.5 L 25 5 L 30 0 z M 30 1 L 31 2")
        'M100 100h100v-5l50-45 50-50zM300 10l10 10'
    """
    here, last, parts = (0, 0), "", []
    for command, numbers in re.findall(r"([MLQCz])([^MLQCz]*)", d):
        values = [round(UNITS * float(number)) + round(UNITS * at[place % 2]) for place, number in enumerate(numbers.split())]
        points = list(zip(values[::2], values[1::2], strict=True))
        steps = [one - here[place % 2] for place, one in enumerate(values)]
        letter, words = command.lower(), _listed(steps)
        if command == "M":
            onward = f"m{words}" if last not in ("", "z") else ""
            words = min(filter(None, (f"M{_listed(values)}", onward)), key=len)
        elif command == "L" and 0 in steps:
            if not any(steps) and last != "m":
                continue
            letter, words = ("v", f"v{steps[1]}") if steps[1] else ("h", f"h{steps[0]}")
        elif letter == last:
            words = words if words.startswith("-") else f" {words}"
        else:
            words = f"{letter}{words}"
        parts.append(words)
        here, last = points[-1] if points else here, letter
    return "".join(parts)


def _simpler(found: re.Match[str]) -> str:
    """A line of many points with those only that it bends at."""
    from matplotlib.path import Path

    path = Path(np.array(re.sub(r"[ML]", " ", found[0]).split(), float).reshape(-1, 2))
    path.simplify_threshold = BEND
    bends = np.asarray(path.cleaned(simplify=True).vertices)
    return _polyline(bends[:-1])  # the last one says that there are no more


def _listed(values: Iterable[int]) -> str:
    """Numbers with a blank where no sign parts them."""
    return "".join(f" {value}" if index and value >= 0 else str(value) for index, value in enumerate(values))


def _number(value: float) -> str:
    return str(round(UNITS * value))


def _scaled(found: re.Match[str]) -> str:
    return f"{UNITS * float(found[0]):g}"


def _css(style: str, clip: str) -> str:
    """A style without blanks and without what holds anyway; where two parts set the same, the last one counts."""
    parts = dict(part.split(":", 1) for part in re.sub(r"\s*([:;])\s*", r"\1", style.strip()).split(";") if part)
    parts = {name: re.sub(r"^#(.)\1(.)\2(.)\3$", r"#\1\2\3", value) for name, value in parts.items()}
    for name, value in {"stroke-dashoffset": "0", "font-family": "'DejaVu Sans'", "text-anchor": "start"}.items():
        if parts.get(name) == value:
            del parts[name]
    for name in ("stroke-width", "stroke-dasharray", "stroke-dashoffset", "font-size", "font"):
        if name in parts:
            parts[name] = re.sub(r"\d*\.?\d+(?=px|,|$)" if name == "font" else r"\d*\.?\d+", _scaled, parts[name])
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
    """An element with all in it, its numbers in whole units; words stand upright unless they are turned."""
    css, attributes = _css(element.get("style", ""), element.get("clip-path", "")), dict(element.items())
    if element.tag == "text":
        css = css if "fill:" in css else f"{css};fill:#000".removeprefix(";")
        attributes = _placed(attributes)
    words = f' style="{css}"' if css else ""
    for name, value in attributes.items():
        if name in ("style", "clip-path", "type") or (name == "id" and element.tag in ("image", "text", "tspan", "g")):
            continue
        if name == "d":
            value = relative(value)
        elif name in ("x", "y", "width", "height") and "%" not in value:
            value = " ".join(_number(float(one)) for one in value.split())
        elif name == "transform":
            value = re.sub(r"(\w+)\(([^)]*)\)", _transform, value)
        words += f' {name.rpartition("}")[2]}="{escape("".join(value.split()) if name == LINK else value)}"'
    inside = escape((element.text or "").strip(), quote=False)
    inside += "".join(_as_is(one) + escape((one.tail or "").strip(), quote=False) for one in element)
    return f"<{element.tag}{words}>{inside}</{element.tag}>" if inside else f"<{element.tag}{words}/>"


def _placed(attributes: dict[str, str]) -> dict[str, str]:
    """Of words: where they stand, and by how much they are turned there."""
    told = re.fullmatch(r"(?:translate\((\S+) (\S+)\))?\s*(?:rotate\((\S+?)(?: \S+ \S+)?\))?", attributes.get("transform", ""))
    if not told:
        return attributes
    x, y = told[1] or attributes.get("x", "0"), told[2] or attributes.get("y", "0")
    kept = {name: value for name, value in attributes.items() if name not in ("x", "y", "transform")}
    turned = float(told[3] or 0)
    return kept | ({"transform": f"translate({x} {y})rotate({turned:g})"} if turned else {"x": x, "y": y})


def _transform(found: re.Match[str]) -> str:
    numbers = re.split(r"[ ,]+", found[2].strip())
    first = LENGTHS.get(found[1], 0)
    told = [_number(float(one)) if place >= first else one for place, one in enumerate(numbers)]
    return f"{found[1]}({' '.join(told)})"


def _grouped(found: re.Match[str]) -> str:
    """Words of one style, said once."""
    said = f' style="{found[1]}"'
    return f"<g{said}>{found[0].replace(said, '')}</g>"
