"""Whether what a file of a record holds has the form of a record, whoever wrote it, so that no reader has to ask again.

A key that is absent is no fault, for older records lack some, except where readers cannot do without.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: A run with one of these is done; ``diverged`` is a result, not a failure.
COMPLETE = ("finished", "diverged")

#: Levels of lists and objects in what a record says; ours have five.
MOST_DEEP = 100

NUMBER = (int, float)
NUMBER_OR_NONE = (int, float, type(None))

#: Where in ``run.json`` to what stands there.
HEADER: Mapping[str, Any] = {
    "run_id": str, "arm_id": str, "command": str, "created": str, "device": str, "schema_version": int, "threads": int,
    "data": dict, "hashes": dict, "versions": dict, "git": (dict, type(None)), "machine": dict,
}  # fmt: skip

#: Sections of a recorded config to what stands in them; of a run that trained all of these are there, but for ``LATER``.
CONFIG: Mapping[str, Mapping[str, Any]] = {
    "train": {
        "steps": int, "batch_size": int, "eval_every": int, "log_every": int, "targets": list,
        "stop_at_accuracy": NUMBER_OR_NONE, "stop_at_loss": NUMBER_OR_NONE,
    },
    "model": {"name": str, "options": dict},
    "norm": {"name": str, "options": dict},
    "dataset": {"name": str, "options": dict},
    "optimizer": {"name": str, "lr": NUMBER},
    "schedule": {"name": str},
}  # fmt: skip

#: Settings of a training that runs of version 0.1 do not know.
LATER = ("stop_at_accuracy", "stop_at_loss")

#: The same of ``end.json``.
END: Mapping[str, Any] = {
    "status": str, "step": int, "stopped_at": int, "execution": str, "reason": str, "evaluations": int, "events": int,
    "step_ms": NUMBER_OR_NONE, "targets": list, "probes": dict, "seconds": dict, "validation": dict, "test": (dict, type(None)),
    "weights": dict, "peak_memory_mb": NUMBER_OR_NONE,
}  # fmt: skip
#: What ``end.json`` of a complete run that trained does not lack.
TRAINED = ("step", "test", "validation", "targets", "seconds")

SCORES: Mapping[str, Any] = dict.fromkeys(
    ("accuracy", "loss", "recomputed_accuracy", "recomputed_loss", "num_examples", "final", "area", "train", "eval", "probe",
     "record", "compile", "measure"), NUMBER_OR_NONE,
)  # fmt: skip
TARGET: Mapping[str, Any] = {"target": NUMBER, "steps": int, "examples": int, "seconds": NUMBER, "observed": bool}
CELL: Mapping[str, Any] = {
    "grid": int, "regime": str, "arm": str, "value": NUMBER_OR_NONE, "seed": int, "run_id": str, "command": (str, type(None)),
}  # fmt: skip


def header_misfit(content: Mapping[str, Any]) -> str:
    """What in ``run.json`` is not as bnexp writes it: a key, or nothing."""
    if wrong := _wrong(content, HEADER):
        return wrong
    if wrong := _wrong(content, {"measurement": dict, "config": dict}):
        return wrong
    if wrong := _wrong(content.get("hashes") or {}, {"init": dict, "order": str}):
        return f"hashes.{wrong}"
    config = content.get("config")
    if config is None:
        return ""
    whole = "schema_version" in content
    if whole and (absent := [key for key in ("run_id", "arm_id") if key not in content]):
        return absent[0]
    if wrong := _wrong(config, {"seed": int, "probes": dict, "plugins": list}, all_of_them=whole):
        return f"config.{wrong}"
    for section, shape in CONFIG.items():
        if section in config or whole:
            inner = config.get(section)
            if not isinstance(inner, dict):
                return f"config.{section}"
            required = {key: kind for key, kind in shape.items() if whole and key not in LATER}
            if wrong := _wrong(inner, shape) or _wrong(inner, required, all_of_them=True):
                return f"config.{section}.{wrong}"
    if not all(inner is None or isinstance(inner, dict) for inner in (config.get("probes") or {}).values()):
        return "config.probes"
    return "" if all(type(one) is str for one in config.get("plugins") or ()) else "config.plugins"


def end_misfit(content: Mapping[str, Any], header: Mapping[str, Any]) -> str:
    """What in ``end.json``, beside this ``run.json``, is not as bnexp writes it: a key, or nothing."""
    if wrong := _wrong(content, END):
        return wrong
    trained = content.get("status") in COMPLETE and isinstance(header.get("config"), dict) and "schema_version" in header
    if trained and (absent := [key for key in TRAINED if key not in content]):
        return absent[0]
    if trained and "final" not in content["validation"]:
        return "validation.final"
    for part in ("test", "validation", "seconds"):
        if wrong := _wrong(content.get(part) or {}, SCORES):
            return f"{part}.{wrong}"
    if content.get("test") and content["test"].get("accuracy") is None:
        return "test.accuracy"
    for row in content.get("targets") or ():
        if not isinstance(row, dict):
            return "targets"
        if "target" not in row or _wrong(row, TARGET):
            return "targets"
    return ""


def is_name(word: Any) -> bool:
    """Whether this may be the name of a run's folder, which leads nowhere else."""
    return isinstance(word, str) and 0 < len(word) < 256 and word[0] != "." and not any(sign in "/\\\0" for sign in word)


def are_cells(rows: Any) -> bool:
    """Whether this is a claim's list of runs."""
    return isinstance(rows, list) and all(
        isinstance(row, dict) and row.keys() <= CELL.keys() and not _wrong(row, CELL) and is_name(row.get("run_id")) for row in rows
    )


def is_event(line: Any) -> bool:
    """Whether this is what a line of ``events.jsonl`` says."""
    try:
        return (
            type(line["step"]) is int and line["step"] >= 0 and type(line["name"]) is str
            and type(line["value"]) in NUMBER_OR_NONE and type(line["seconds"]) in NUMBER
            and type(line.get("kind", "")) is str
        )  # fmt: skip
    except (TypeError, KeyError, IndexError, AttributeError):
        return False


def _wrong(content: Mapping[str, Any], shape: Mapping[str, Any], all_of_them: bool = False) -> str:
    """The first key whose value is of another type; a truth value is no number."""
    for key, kind in shape.items():
        if key not in content:
            if all_of_them:
                return key
            continue
        value = content[key]
        if not isinstance(value, kind) or (type(value) is bool and kind is not bool):
            return key
    return ""


def is_sane(value: Any, levels: int = MOST_DEEP) -> bool:
    """Whether what JSON said can be walked through and written down again: no hundreds of levels, no halves of characters."""
    if isinstance(value, str):
        return _is_text(value)
    if isinstance(value, dict):
        return levels > 0 and all(_is_text(key) and is_sane(one, levels - 1) for key, one in value.items())
    return not isinstance(value, list) or (levels > 0 and all(is_sane(one, levels - 1) for one in value))


def _is_text(word: str) -> bool:
    """Whether a word can be written to a file."""
    return word.isascii() or not any(0xD800 <= ord(sign) < 0xE000 for sign in word)
