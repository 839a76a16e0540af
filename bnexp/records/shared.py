"""What runs have in common of their headers, stated once: how an archive writes ``run.json`` in few characters, without loss.

A header is a template that the runs of an arm share, with ``null`` in the places of what is a run's own. In the template, what
other arms have too (versions, machine, data, sections of the config) are names of parts. A part's name is a word and a hash of its
content: a run's line does not depend on which other runs are there, and a diff shows which part moved.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

#: Parts of a header that runs of several arms share: where it stands, outer key first.
PARTS = (
    ("versions",), ("git",), ("machine",), ("data",), ("hashes", "init"),
    *(("config", section) for section in ("train", "model", "norm", "dataset", "optimizer", "schedule", "probes")),
)  # fmt: skip

#: What is a run's own.
OWN = (("run_id",), ("config", "seed"), ("measurement",), ("hashes",), ("created",))

#: The seed in a template's command.
SEED = " seed={}"

Json = dict[str, Any]


def pack(header: Mapping[str, Any], run: str, parts: Json) -> tuple[str, Json]:
    """A header as the name of its template and what is the run's own; templates and parts are added to ``parts``.

    Args:
        header: what ``run.json`` said.
        run: the name of the run's folder.
        parts: name to content, of an archive so far.
    """
    rest: Json = json.loads(json.dumps(header))
    for path in PARTS:
        holder = _holder(rest, path)
        if holder is not None and isinstance(holder[path[-1]], dict):
            holder[path[-1]] = _named(path[-1], holder[path[-1]], parts)
    own: Json = {}
    for path in OWN:
        holder = _holder(rest, path)
        if holder is not None:
            inner = own
            for key in path[:-1]:
                inner = inner.setdefault(key, {})
            inner[path[-1]], holder[path[-1]] = holder[path[-1]], None
    if own.get("run_id") == run:
        del own["run_id"]
    if isinstance(command := rest.get("command"), str):
        seed = _seed_word(own)
        rest["command"] = command.replace(seed, SEED) if seed else command
        if _command(rest, own) != command:
            own["command"] = command
            rest["command"] = None
    return _named("arm", rest, parts), own


def unpack(template: str, own: Mapping[str, Any], run: str, parts: Mapping[str, Any]) -> Json:
    """The header that :func:`pack` was given; parts are not copied.

    Raises:
        KeyError: a part is missing.
    """
    header = _merged(parts[template], own)
    if "run_id" in header and "run_id" not in own:
        header["run_id"] = run
    header |= {"command": _command(header, own)} if "command" in header else {}
    for path in PARTS:
        holder = _holder(header, path)
        if holder is not None and isinstance(holder[path[-1]], str):
            holder[path[-1]] = parts[holder[path[-1]]]
    return header


def _command(header: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    command: str = header["command"]
    return command if "command" in own else command.replace(SEED, _seed_word(own) or SEED)


def _seed_word(own: Mapping[str, Any]) -> str:
    """The run's seed as it stands in its command; empty where its config has none."""
    config = own.get("config")
    return f" seed={config['seed']}" if config else ""


def _named(kind: str, content: Any, parts: Json) -> str:
    """The name of a part, added to ``parts``."""
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    length = 8
    while parts.setdefault(name := f"{kind}-{digest[:length]}", content) != content:
        length += 1
    return name


def _holder(content: Json, path: tuple[str, ...]) -> Json | None:
    """The dict that a path ends in; None where the path leads nowhere."""
    for key in path[:-1]:
        inner = content.get(key)
        if not isinstance(inner, dict):
            return None
        content = inner
    return content if path[-1] in content else None


def _merged(template: Mapping[str, Any], own: Mapping[str, Any]) -> Json:
    """A template with a run's own values in their places, in the template's order."""
    merged = dict(template)
    for key, value in own.items():
        there = merged.get(key)
        merged[key] = _merged(there if isinstance(there, dict) else {}, value) if isinstance(value, Mapping) else value
    return merged
