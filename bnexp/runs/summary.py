"""What ``end.json`` says of a run that reached its end."""

from __future__ import annotations

import math
import resource
import sys
from typing import Any

from bnexp.config.schema import TrainConfig
from bnexp.engine.build import Experiment
from bnexp.engine.evaluate import evaluate, evaluate_recomputed
from bnexp.engine.journal import Stopwatch
from bnexp.records.curves import Curve, area_under_curve, step_milliseconds, time_to_target
from bnexp.records.ended import Ended
from bnexp.records.reader import RunRecord


def summarize(experiment: Experiment, ended: Ended, record: RunRecord, watch: Stopwatch) -> dict[str, Any]:
    """The few numbers that most readers want; the test set is read here, once, and not at all for a diverged run
    or where ``train.test`` says so.

    Args:
        experiment: at its last step.
        ended: how training ended.
        record: whose events are all on disk.
        watch: of the run; reading the test set counts as evaluation.
    """
    seconds = watch.spent()
    test = None
    if ended.status == "finished" and experiment.config.train.test:
        with watch.aside("eval"):
            test = _test_scores(experiment)
        seconds["eval"] = watch.spent()["eval"]
    curve, step_ms = record.curve("val/accuracy"), step_milliseconds(record.curve("train/loss"))
    stopped = ended.status == "finished" and ended.step < experiment.config.train.steps
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in KiB, on macOS in bytes
    return {
        "status": ended.status,
        "step": ended.step,
        **({"stopped_at": ended.step} if stopped else {}),
        "execution": ended.execution,
        **({"reason": ended.reason} if ended.reason else {}),
        "test": test,
        "validation": {"final": curve.values[-1] if curve.values else None, "area": area_under_curve(curve)},
        "targets": targets(curve, experiment.config.train),
        "probes": {name: probe.summary() for name, probe in experiment.probes.items()},
        "evaluations": len(curve.steps),
        "step_ms": None if step_ms is None else round(step_ms, 4),
        "seconds": {part: round(value, 3) for part, value in seconds.items()},
        "peak_memory_mb": round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6),
    }


def targets(curve: Curve, train: TrainConfig) -> list[dict[str, Any]]:
    """Steps, examples and training seconds to each target; ``observed`` false means not within this run (censored)."""
    durations = [(target, time_to_target(curve, target)) for target in train.targets]
    return [
        {
            "target": target, "steps": took.steps, "examples": took.steps * train.batch_size,
            "seconds": round(took.seconds, 3), "observed": took.observed,
        }
        for target, took in durations
    ]  # fmt: skip


def _test_scores(experiment: Experiment) -> dict[str, Any]:
    """Accuracy and loss with running statistics and, where there are any, with recomputed ones."""
    running = evaluate(experiment.model, experiment.test, experiment)
    recomputed = evaluate_recomputed(experiment, experiment.test)
    return {
        "num_examples": running.num_examples,
        "accuracy": running.accuracy,
        "loss": _finite_or_none(running.loss),
        "recomputed_accuracy": recomputed.accuracy if recomputed else None,
        "recomputed_loss": _finite_or_none(recomputed.loss) if recomputed else None,
    }


def _finite_or_none(loss: float) -> float | None:
    """The last update may break a net whose training losses were all finite, and JSON has no NaN."""
    return loss if math.isfinite(loss) else None
