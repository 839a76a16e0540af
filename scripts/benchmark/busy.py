"""What commands cost when something else keeps a core busy: in pairs, quiet and busy, so that both see the same machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from benchmark.commands import BNEXP, timed
from benchmark.numbers import markdown, spread
from benchmark.targets import Target

#: Name to words and command; the last uses every core for one network.
COMMANDS = {
    "train": ("the default run", ("train", "train.steps=1500")),
    "sweep": ("a sweep of 8", ("train", "norm=none,batch", "seed=range(0,4)", "train.steps=700")),
    "vit": ("a vision transformer", ("train", "model=vit", "norm=layer", "train.steps=60", "probes=none")),
    "cnn": ("a convolutional network", ("train", "model=cnn", "train.steps=60", "probes=none")),
}

#: What the issue of a busy machine was: at most twice as long. With one of two cores taken, half of the machine is left.
MOST = 2.0

BURN = "import os; hasattr(os, 'sched_setaffinity') and os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\nwhile True: pass"


@contextmanager
def one_core_busy() -> Iterator[None]:
    """Inside, a process of the same priority burns the first core."""
    process = subprocess.Popen([sys.executable, "-c", BURN])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def measure(smoke: bool, data_dir: str | None, tell: Callable[[str], None]) -> dict[str, Any]:
    """Each command quiet and busy, in turn."""
    rounds = 1 if smoke else 2
    names = ["train"] if smoke else list(COMMANDS)
    extra = [f"data_dir={json.dumps(data_dir)}"] if data_dir else []
    found: dict[str, Any] = {
        name: {"words": COMMANDS[name][0], "command": COMMANDS[name][1], "quiet": [], "busy": [], "processor": []} for name in names
    }
    with tempfile.TemporaryDirectory(prefix="bnexp-bench-") as folder:
        for place in range(rounds):
            tell(f"busy: round {place + 1} of {rounds}")
            for name in names:
                words = [word.replace("train.steps=1500", "train.steps=50") if smoke else word for word in COMMANDS[name][1]]
                command = [*BNEXP, *words, *extra]
                quiet = timed([*command, f"runs_dir={folder}/{name}{place}quiet"])
                with one_core_busy():
                    busy = timed([*command, f"runs_dir={folder}/{name}{place}busy"])
                found[name]["quiet"].append(quiet.seconds)
                found[name]["busy"].append(busy.seconds)
                found[name]["processor"].append([quiet.processor, busy.processor])
        tell("busy: the usual script")
        usual = usual_script(10 if smoke else 150, data_dir)
    return {"commands": found, "usual": usual, "cores": os.cpu_count()}


def usual_script(steps: int, data_dir: str | None) -> dict[str, Any]:
    """The script of the usual kind, once quiet and once busy: its threads wait as torch has it."""
    run = json.dumps([{"norm": "batch", "seed": 0, "steps": steps}])
    command = [sys.executable, "-m", "benchmark.usual", run, data_dir or ""]
    quiet = timed(command)
    with one_core_busy():
        busy = timed(command)
    return {"steps": steps, "seconds": [quiet.seconds, busy.seconds], "processor": [quiet.processor, busy.processor]}


def targets(found: Mapping[str, Any]) -> Iterator[Target]:
    """The command that suffers most."""
    ratios = {one["words"]: spread(np.array(one["busy"]) / np.array(one["quiet"])) for one in found["commands"].values()}
    words, worst = max(ratios.items(), key=lambda item: item[1].median)
    what = "a command with one core taken by another process, over the same on a quiet machine (the worst)"
    yield Target(what, f"at most {MOST:g}", f"{worst.words()}, {words}", worst.median <= MOST)


def section(found: Mapping[str, Any]) -> str:
    """The table."""
    rows = []
    for one in found["commands"].values():
        quiet, busy = np.array(one["quiet"]), np.array(one["busy"])
        processor = np.array(one["processor"])
        more = spread(processor[:, 1] / processor[:, 0])
        rows.append(
            (
                f"{one['words']}: `bnexp {' '.join(one['command'])}`", spread(quiet).words(1), spread(busy).words(1),
                spread(busy / quiet).words(), more.words(),
            )
        )  # fmt: skip
    if usual := found.get("usual"):
        (quiet, busy), (before, after) = usual["seconds"], usual["processor"]
        words = f"for comparison, once: the usual script, {usual['steps']} steps"
        rows.append((words, f"{quiet:.1f}", f"{busy:.1f}", f"{busy / quiet:.2f}", f"{after / before:.2f}"))
    head = ("command", "quiet, s", "busy, s", "busy / quiet", "processor time, busy / quiet")
    return SECTION.format(table=markdown(head, rows), cores=found["cores"])


SECTION = """\
{table}

Another process of the same priority counts on the first of {cores} cores without end. Quiet and busy take turns, and ratios are
taken within rounds. Processor time that grows is waiting that burns: threads that spin for one another."""
