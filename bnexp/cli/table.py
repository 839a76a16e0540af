"""What the terminal shows of finished runs: a short report of one, a table of many, JSON for machines."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from bnexp.config.identity import completed
from bnexp.errors import program
from bnexp.records.ended import Ended
from bnexp.records.reader import RunRecord
from bnexp.schedule import evaluation_steps, most_evaluations
from bnexp.text import columns as columns
from bnexp.text import described


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
        *_look_rows(record),
    ]
    return f"{title}\n{described(rows, '  ', whole=('run folder', 'look at it'))}"


def _look_rows(record: RunRecord) -> list[list[str]]:
    """How to look at the run: its layers, if their inputs were recorded, and its curves."""
    runs_dir = str(record.folder.parent)
    where = "" if runs_dir == "runs" else f" runs_dir={shlex.quote(runs_dir)}"
    ways = [f"{program()} look{where} --open"] if "layer_inputs" in (record.end.get("probes") or {}) else []
    ways.append(f"{program()} tensorboard {shlex.quote(runs_dir)}")
    return [["" if place else "look at it", way] for place, way in enumerate(ways)]


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
        return [["test accuracy", f"not measured: {'the run diverged' if end['status'] == 'diverged' else 'train.test=false'}"]]
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
    words = f"mean moves {drift['drift_mean']:.3f} sd, sd moves {100 * drift['drift_sd']:.1f} % between looks (median unit)"
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
    wanted = len(evaluation_steps(train["steps"], train["eval_every"], gap=train.get("eval_gap", 0.05)))
    words = []
    if count is not None and wanted > most and not train.get("eval_from") and end.get("stopped_at") is None:
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


def sweep_report(runs: Sequence[Ended], with_runs: bool = False) -> str:
    """What ends a sweep: its arms compared, as ``bnexp compare`` does, then what has no result, and why.

    Args:
        runs: how each run ended.
        with_runs: each arm's runs under it.
    """
    from bnexp.compare.table import compare
    from bnexp.compare.words import in_words

    done = [one.record for one in runs if one.complete]
    parts = [in_words(compare(done), with_runs), ""] if done else []
    alike: dict[tuple[str, str], list[Ended]] = {}
    for one in runs:
        if not one.complete:
            alike.setdefault((one.status, _reason(one)), []).append(one)
    for (status, reason), those in alike.items():
        more = f" and {len(those) - 1:,} more" if len(those) > 1 else ""
        parts.append(f"{status}: {' '.join(those[0].overrides)}{more}: {reason}")
    if done:
        folder = shlex.quote(str(done[0].folder.parent))
        hint = "" if with_runs else " --runs"
        parts += [f"look at them: {program()} tensorboard {folder}", f"ask again: {program()} compare {folder}{hint}"]
    return "\n".join(parts)


def _reason(one: Ended) -> str:
    return f"{one.reason} (see {one.folder})" if one.folder and one.status == "failed" else one.reason
