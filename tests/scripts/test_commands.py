"""``scripts/bench.py``: seconds from commands to answers, on a quiet machine and on a busy one."""

from __future__ import annotations

import sys

import pytest


@pytest.mark.skipif(sys.platform != "linux" or sys.version_info < (3, 11), reason="no process is left behind")
def test_what_a_command_leaves_behind_counts_when_it_ends_but_not_by_the_clock():
    from benchmark.commands import timed

    burn = "import time\nwhile time.process_time() < 1: pass"
    leave = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {burn!r}])"
    took = timed([sys.executable, "-c", leave])
    assert took.processor > 1 > took.seconds


def answers_of(**changes):
    """Three commands' numbers, made up: eight core-seconds of training in four seconds on two cores."""
    parts = {"train": 8.0, "eval": 1.0, "probe": 1.0, "record": 0.5, "runs": 20, "steps": 10_000}
    one = {
        "words": "a sweep of 20", "command": ["train", "seed=range(0,20)"], "runs": [["batch", 0, 500]], "ours": [5.0, 5.2],
        "processor": [10.0, 10.2], "usual": [50.0], "parts": [parts, parts],
    }  # fmt: skip
    quick = {"seconds": 100.0, "parts": {"train": 100.0, "eval": 40.0, "probe": 20.0, "measure": 18.0, "steps": 1000}}
    return {"first_step": [2.0, 2.5, 9.0], "questions": {"sweep": one}, "quick": quick, "cores": 2} | changes


def test_answers_are_held_against_training_and_all_core_seconds_against_what_they_are_for():
    from benchmark.answers import section, targets

    first, sweep, core_seconds, quick = targets(answers_of(import_torch=[1.0, 2.0, 3.0]))
    assert (first.measured, first.holds) == ("2.50 [2.05, 8.35], 2.00 [1.10, 2.90] of them `import torch`", True)
    assert (sweep.measured[:4], sweep.holds) == ("0.64", True)
    assert (core_seconds.measured[:4], core_seconds.holds) == ("1.01", True)
    assert (quick.measured, quick.holds) == ("11.0 %", True)
    *_, unknown = targets(answers_of(quick=None))
    assert unknown.holds is None
    text = section(answers_of())
    assert "| 5.1 [5.0, 5.2] | 50.0 |" in text
    assert "| a sweep of 20 | 8.0 | 1.0 | 1.0 | 0.5 | 0.0 | 0.0 | -0.4 | 10.1 |" in text
    assert "training alone, spread over 2 cores, is one part in 1.27" in text


def test_the_worst_command_decides_on_a_busy_machine():
    from benchmark.busy import section, targets

    fixed = {"command": ["train"], "processor": [[1.0, 1.1], [1.0, 1.1]]}
    seconds = ("a", [6.0, 6.0]), ("b", [11.0, 13.2])
    one, two = ({"words": words, "quiet": [5.0, 6.0], "busy": busy, **fixed} for words, busy in seconds)
    (target,) = targets({"commands": {"a": one, "b": two}, "cores": 2})
    assert (target.measured, target.holds) == ("2.20 [2.20, 2.20], b", False)
    assert "1.10 [1.10, 1.10]" in section({"commands": {"a": one}, "cores": 2})
