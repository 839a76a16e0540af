"""What the terminal shows of finished runs: a short report of one, a table of many, JSON for machines."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from bnexp.records.reader import RunRecord
from bnexp.schedule import evaluation_steps, most_evaluations

if TYPE_CHECKING:
    from bnexp.runs.sweep import Row


def program() -> str:
    """How the user calls bnexp: the checkout's script names itself here."""
    return os.environ.get("BNEXP_PROGRAM", "bnexp")


def columns(rows: Sequence[Sequence[str]], indent: str = "") -> str:
    """Rows of words as aligned columns.

    Example:
        >>> print(columns([["norm", "steps"], ["batch", "120"]]))
        norm   steps
        batch  120
    """
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        (indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip()
        for row in rows
    )


def run_report(record: RunRecord) -> str:
    """The few lines that end ``bnexp train``."""
    config, end = record.header["config"], record.end
    title = (
        f"{config['dataset']['name']}, {config['model']['name']}, norm {config['norm']['name']}, "
        f"lr {config['optimizer']['lr']:g}, seed {config['seed']}: {_ending(end)}"
    )
    rows = [
        *_test_rows(end),
        *([f"steps to {row['target']:g}", _target(row)] for row in end["targets"]),
        *_drift_rows(end),
        ["time", _time(end)],
        *_evaluation_rows(config, end),
        ["run folder", str(record.folder)],
        ["look at it", f"{program()} tensorboard {record.folder.parent}"],
    ]
    return f"{title}\n{columns(rows, indent='  ')}"


def run_json(record: RunRecord) -> dict[str, Any]:
    """One run for machines: its folder, its config and everything ``end.json`` says."""
    return {
        "folder": str(record.folder),
        "run_id": record.header["run_id"],
        "config": record.header["config"],
        **record.end,
    }


def _ending(end: dict[str, Any]) -> str:
    if end["status"] == "diverged":
        return f"diverged; the loss of update {end['step']:,} was not finite"
    return f"{end['status']} after {end['step']:,} steps"


def _test_rows(end: dict[str, Any]) -> list[list[str]]:
    test = end["test"]
    if test is None:
        return [["test accuracy", "not measured: the run diverged"]]
    rows = [["test accuracy", f"{percent(test['accuracy'])} of {test['num_examples']:,} examples"]]
    if test["recomputed_accuracy"] is not None:
        rows[0][1] += " with running statistics"
        rows.append(["", f"{percent(test['recomputed_accuracy'])} with recomputed population statistics"])
    return rows


def _target(row: dict[str, Any]) -> str:
    if not row["observed"]:
        return f"not reached in {row['steps']:,} steps"
    return f"{row['steps']:,} ({row['examples']:,} examples, {row['seconds']:.2f} s of training)"


def _drift_rows(end: dict[str, Any]) -> list[list[str]]:
    drift = end["probes"].get("layer_inputs", {}).get("next_input")
    if not drift or drift["drift_mean"] is None or drift["drift_sd"] is None:
        return []
    words = f"mean moves {drift['drift_mean']:.3f} sd, sd moves {100 * drift['drift_sd']:.1f} % between looks (median of all units)"
    return [["layer inputs", words]]


def _evaluation_rows(config: dict[str, Any], end: dict[str, Any]) -> list[list[str]]:
    """What evaluation was spared, and what it took where that is more than half of the training time."""
    train, examples, count = config["train"], config["dataset"]["validation_examples"], end.get("evaluations")
    most = most_evaluations(train["steps"], train["batch_size"], examples)
    wanted = len(evaluation_steps(train["steps"], train["eval_every"]))
    words = []
    if count is not None and wanted > most:
        words.append(
            f"{count} times instead of {wanted}, because {examples:,} validation examples are many beside "
            f"{train['steps'] * train['batch_size']:,} training examples seen"
        )
    share = end["seconds"]["eval"] / end["seconds"]["train"] if end["seconds"]["train"] else 0.0
    if share > 0.5 and end["seconds"]["eval"] >= 1:
        words.append(f"took {100 * share:.0f} % of the training time; dataset.validation_examples={examples // 4 or 1} takes less")
    return [["evaluation", "; ".join(words)]] if words else []


def _time(end: dict[str, Any]) -> str:
    seconds = end["seconds"]
    rate = end["step"] / seconds["train"] if seconds["train"] else 0.0
    share = 100 * seconds["probe"] / seconds["train"] if seconds["train"] else 0.0
    return (
        f"{seconds['train']:.1f} s training ({rate:,.0f} steps/s), {seconds['eval']:.1f} s evaluation, "
        f"{seconds['probe']:.2f} s probes ({share:.1f} % of training), {seconds['record']:.1f} s records"
        + (f", {seconds['compile']:.1f} s compiling" if seconds.get("compile") else "")
    )


def percent(fraction: float) -> str:
    """A fraction as a percentage, e.g. ``94.60 %``."""
    return f"{100 * fraction:.2f} %"


def sweep_report(rows: Sequence[Row]) -> str:
    """One table of a sweep's runs: best arms first by their mean final validation accuracy, then what failed, with the reason."""
    done = [(row, RunRecord(Path(row.folder))) for row in rows if row.folder]
    failed = [row for row in rows if not row.folder]
    varied = _varied(rows)
    arms: dict[str, list[tuple[Row, RunRecord]]] = {}
    for row, record in done:
        arms.setdefault(record.header["arm_id"], []).append((row, record))
    ordered = sorted(arms.values(), key=_merit, reverse=True)
    targets = [f"steps to {row['target']:g}" for row in done[0][1].end["targets"]] if done else []
    table = [[*varied, "val acc", "test acc", "recomputed", *targets, "train s", "ended"]]
    for arm in ordered:
        table += [
            _sweep_row(row, record, varied)
            for row, record in sorted(arm, key=lambda pair: pair[1].header["config"]["seed"])
        ]
    parts = [columns(table)] if done else []
    parts += [f"{row.status}: {' '.join(row.overrides)}: {row.reason}" for row in failed]
    if done:
        parts.append(f"look at them: {program()} tensorboard {done[0][1].folder.parent}")
    return "\n".join(parts)


def _sweep_row(row: Row, record: RunRecord, varied: Sequence[str]) -> list[str]:
    end = record.end
    values = _assignments(row)
    test = end["test"] or {}
    scores = [end["validation"]["final"], test.get("accuracy"), test.get("recomputed_accuracy")]
    return [
        *(values.get(key, "") for key in varied),
        *(percent(score) if score is not None else "-" for score in scores),
        *(f"{target['steps']:,}" if target["observed"] else f"> {target['steps']:,}" for target in end["targets"]),
        f"{end['seconds']['train']:.1f}",
        f"diverged at {end['step']:,}" if end["status"] == "diverged" else end["status"],
    ]


def _merit(arm: list[tuple[Row, RunRecord]]) -> float:
    """Mean final validation accuracy of an arm's runs; a diverged run counts as 0."""
    return fmean(
        (record.end["validation"]["final"] or 0.0) if record.status == "finished" else 0.0 for _, record in arm
    )


def _assignments(row: Row) -> dict[str, str]:
    """Key to value of a run's overrides; a deletion (``~key``) has none and is the same for all runs."""
    return dict(override.split("=", 1) for override in row.overrides if "=" in override)


def _varied(rows: Sequence[Row]) -> list[str]:
    """The keys whose values differ between runs, in the order they were typed."""
    seen: dict[str, set[str]] = {}
    for row in rows:
        for key, value in _assignments(row).items():
            seen.setdefault(key, set()).add(value)
    return [key for key, values in seen.items() if len(values) > 1] or list(seen)[:1]
