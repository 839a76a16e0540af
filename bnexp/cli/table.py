"""What the terminal shows of finished runs: a short report of one, a table of many, JSON for machines."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from bnexp.config.identity import completed
from bnexp.records.ended import Ended
from bnexp.records.reader import RunRecord
from bnexp.schedule import evaluation_steps, most_evaluations
from bnexp.text import WIDTH, columns


def program() -> str:
    """How the user calls bnexp: the checkout's script names itself here."""
    return os.environ.get("BNEXP_PROGRAM", "bnexp")


def run_report(record: RunRecord) -> str:
    """The few lines that end ``bnexp train``."""
    config, end = record.header["config"], record.end
    title = (
        f"{config['dataset']['name']}, {config['model']['name']}, norm {config['norm']['name']}, "
        f"lr {config['optimizer']['lr']:g}, seed {config['seed']}: {_ending(end)}"
    )
    rows = [
        *_test_rows(completed(config), end),
        *([f"steps to {row['target']:g}", _target(row)] for row in end["targets"]),
        *_drift_rows(end),
        *_layer_rows(end),
        ["time", _time(end)],
        *_evaluation_rows(config, end),
        ["run folder", str(record.folder)],
        ["look at it", f"{program()} tensorboard {shlex.quote(str(record.folder.parent))}"],
    ]
    return f"{title}\n{columns(rows, indent='  ')}"


def run_json(record: RunRecord) -> dict[str, Any]:
    """One run for machines: its folder, its config and everything ``end.json`` says."""
    return {
        "folder": str(record.folder),
        "run_id": record.header["run_id"],
        "config": completed(record.header["config"]),
        **record.end,
    }


def _ending(end: dict[str, Any]) -> str:
    if end["status"] == "diverged":
        return f"diverged; the loss of update {end['step']:,} was not finite"
    if end.get("stopped_at") is not None:
        return f"stopped at its goal after {end['step']:,} steps"
    return f"{end['status']} after {end['step']:,} steps"


def _test_rows(config: dict[str, Any], end: dict[str, Any]) -> list[list[str]]:
    test = end["test"]
    if test is None:
        return [["test accuracy", "not measured: the run diverged"]]
    rows = [["test accuracy", f"{percent(test['accuracy'])} of {test['num_examples']:,} examples"]]
    if not config["norm"]["track"]:
        parts = config["train"]["accumulate"] if config["train"]["accumulate_statistics"] == "micro" else 1
        rows[0][1] += f", each normalised by its batch of {config['train']['batch_size'] // parts}"
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


def _layer_rows(end: dict[str, Any]) -> list[list[str]]:
    """The first and the last layer's gradient, and the layer with most units that do nothing, at the last look."""
    rows = []
    if norms := end["probes"].get("gradients", {}).get("gradient_norm"):
        ends = [f"{name} {'overflows' if norms[name] is None else format(norms[name], '.2g')}" for name in norms]
        rows.append(["gradients", f"norm at the end: {' to '.join(dict.fromkeys((ends[0], ends[-1])))}"])
    for share, words in (("dead", "units"), ("saturated", "values")):
        if by_layer := end["probes"].get("saturation", {}).get(share):
            worst = max(by_layer, key=lambda name: by_layer[name])
            rows.append([share, f"{100 * by_layer[worst]:.0f} % of the {words} of {worst} at the end; no layer has more"])
    return rows


def _evaluation_rows(config: dict[str, Any], end: dict[str, Any]) -> list[list[str]]:
    """What evaluation was spared, and what it took where that is more than half of the training time."""
    train, examples, count = config["train"], config["dataset"]["validation_examples"], end.get("evaluations")
    most = most_evaluations(train["steps"], train["batch_size"], examples)
    wanted = len(evaluation_steps(train["steps"], train["eval_every"]))
    words = []
    if count is not None and wanted > most and end.get("stopped_at") is None:
        words.append(
            f"{count} times instead of {wanted}, because {examples:,} validation examples are many beside "
            f"{train['steps'] * train['batch_size']:,} training examples seen"
        )
    share = end["seconds"]["eval"] / end["seconds"]["train"] if end["seconds"]["train"] else 0.0
    if share > 0.5 and end["seconds"]["eval"] >= 1:
        words.append(
            f"took {100 * share:.0f} % of the training time; dataset.validation_examples={examples // 4 or 1} takes less"
        )
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


def duration(seconds: float) -> str:
    """Seconds as people say them.

    Example:
        >>> duration(42.4), duration(600.0), duration(36000.0)
        ('42 s', '10 min', '10.0 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def percent(fraction: float) -> str:
    """A fraction as a percentage, e.g. ``94.60 %``."""
    return f"{100 * fraction:.2f} %"


def sweep_report(runs: Sequence[Ended]) -> str:
    """One table of a sweep's runs: best arms first by their mean final validation accuracy, then what has no result, and why."""
    done = [(one, one.record) for one in runs if one.complete]
    varied = _varied(runs)
    arms: dict[str, list[tuple[Ended, RunRecord]]] = {}
    for one, record in done:
        arms.setdefault(record.header["arm_id"], []).append((one, record))
    ordered = sorted(arms.values(), key=_merit, reverse=True)
    targets = sorted({row["target"] for _, record in done for row in record.end["targets"]})
    wanted = [f"to {target:g}" for target in targets]
    table = [[*_short(varied), "val acc", "test acc", "recomputed", *wanted, "train s", "ended"]]
    for arm in ordered:
        by_seed = sorted(arm, key=lambda pair: pair[1].header["config"]["seed"])
        table += [_sweep_row(one, record, varied, targets) for one, record in by_seed]
    parts = [_narrow(table, len(varied))] if done else []
    parts += [f"{one.status}: {' '.join(one.overrides)}: {_reason(one)}" for one in runs if not one.complete]
    if done:
        parts.append(f"look at them: {program()} tensorboard {shlex.quote(str(done[0][1].folder.parent))}")
    return "\n".join(parts)


def _short(keys: Sequence[str]) -> list[str]:
    """The last part of each key; the whole of those that share it."""
    lasts = [key.split(".")[-1] for key in keys]
    return [last if lasts.count(last) == 1 else key for key, last in zip(keys, lasts, strict=True)]


def _narrow(table: Sequence[Sequence[str]], num_keys: int) -> str:
    """The table; where it is wider than a terminal, what is the same in all rows stands once below it."""
    whole = columns(table)
    if len(table) < 3 or max(map(len, whole.splitlines())) <= WIDTH:
        return whole
    cells = list(enumerate(zip(*table, strict=True)))
    same = [column for place, column in cells if place >= num_keys and len(set(column[1:])) == 1]
    kept = [column for _, column in cells if column not in same]
    shared = ", ".join(" ".join(column[:2]) for column in same)
    return columns(list(zip(*kept, strict=True))) + (f"\nall: {shared}" if same else "")


def _reason(one: Ended) -> str:
    return f"{one.reason} (see {one.folder})" if one.folder and one.status == "failed" else one.reason


def _sweep_row(one: Ended, record: RunRecord, varied: Sequence[str], targets: Sequence[float]) -> list[str]:
    end = record.end
    values = _assignments(one)
    test = end["test"] or {}
    reached = {row["target"]: f"{'' if row['observed'] else '> '}{row['steps']:,}" for row in end["targets"]}
    scores = [end["validation"]["final"], test.get("accuracy"), test.get("recomputed_accuracy")]
    return [
        *(values.get(key, "") for key in varied),
        *(percent(score) if score is not None else "-" for score in scores),
        *(reached.get(target, "-") for target in targets),
        f"{end['seconds']['train']:.1f}",
        f"diverged at {end['step']:,}" if end["status"] == "diverged" else end["status"],
    ]


def _merit(arm: list[tuple[Ended, RunRecord]]) -> float:
    """Mean final validation accuracy of an arm's runs; a diverged run counts as 0."""
    return fmean(
        (record.end["validation"]["final"] or 0.0) if record.status == "finished" else 0.0 for _, record in arm
    )


def _assignments(one: Ended) -> dict[str, str]:
    """Key to value of a run's overrides; a deletion (``~key``) has none and is the same for all runs."""
    return dict(override.split("=", 1) for override in one.overrides if "=" in override)


def _varied(runs: Sequence[Ended]) -> list[str]:
    """The keys whose values differ between runs, in the order they were typed."""
    seen: dict[str, set[str]] = {}
    for one in runs:
        for key, value in _assignments(one).items():
            seen.setdefault(key, set()).add(value)
    return [key for key, values in seen.items() if len(values) > 1] or list(seen)[:1]
