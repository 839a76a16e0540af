"""From the command to the first step: what is never loaded for it, and how long it takes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bnexp.data.cache import cached
from bnexp.data.source import Part, Source

#: None of these has any part in training a plain run from data that were parsed before; together they take some six seconds.
NEVER = (
    "torchvision",
    "scipy",
    "matplotlib",
    "mlxtend",
    "pandas",
    "sklearn",
    "joblib",
    "jinja2",
    "tensorflow",
    "sympy",
    "torch._dynamo",
    "torch._inductor",
    "torch.onnx",
)

#: Seconds from the command to the end of the first step.
LIMIT = 5.0

LOADED = f"""
import sys
from bnexp.cli.main import run
for name in ("mnist_5k", "mnist"):
    code = run(["train", "debug=fast", "data_dir=data", f"dataset={{name}}"])
print(code, sorted(set({NEVER!r}) & set(sys.modules)), "torch" in sys.modules)
"""

#: Processor time of the whole process at the end of its first step, which is its last.
FIRST_STEP = """
import os, time
from torch.optim.optimizer import register_optimizer_step_post_hook
from bnexp.cli.main import run

def leave(*_):
    os.write(1, str(time.process_time()).encode())
    os._exit(0)

register_optimizer_step_post_hook(leave)
run(["train", "data_dir=data"])
"""


@pytest.fixture
def digits(tmp_path) -> Path:
    """A folder whose ``data`` holds parsed copies of both sets of digits, of random pixels and fewer than there are of MNIST."""
    rng = np.random.default_rng(0)
    for name, sizes in (("mnist_5k", (4000, 1000)), ("mnist", (12000, 1000))):
        train, test = (Part(rng.integers(0, 256, (n, 1, 28, 28), np.uint8), np.arange(n) % 10) for n in sizes)
        cached(tmp_path / "data", name, lambda train=train, test=test: Source(train, test, 10))
    return tmp_path


def last_line(program: str, folder: Path) -> str:
    """What a program says last, carried out in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout.splitlines()[-1]


@pytest.mark.slow
def test_a_run_from_parsed_data_loads_nothing_it_does_not_need(digits):
    assert last_line(LOADED, digits) == "0 [] True"


@pytest.mark.slow
def test_the_first_step_is_done_within_five_seconds(digits):
    """Of processor time: on an idle machine it takes no longer, and a busy one does not fail the test."""
    assert min(float(last_line(FIRST_STEP, digits)) for _ in range(3)) < LIMIT


#: Many short parallel regions of two threads that have one core between them: processor time of the whole process.
ONE_CORE_FOR_TWO = """
import os, sys, time
from bnexp.cli.main import be_kind_to_other_processes
if sys.argv[1] == "kind":
    be_kind_to_other_processes()
import torch
torch.set_num_threads(2)
x = torch.ones(40_000)
x.mul_(1.0)
core = min(os.sched_getaffinity(0))
for thread in os.listdir("/proc/self/task"):
    os.sched_setaffinity(int(thread), {core})
start = time.process_time()
for _ in range(200):
    x.mul_(1.0)
print(time.process_time() - start, "GNU" if "libgomp" in open("/proc/self/maps").read() else "another")
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="threads cannot be bound to a core here")
def test_threads_that_wait_do_not_keep_the_thread_they_wait_for_from_its_core(monkeypatch):
    """As when another program takes a core: torch's threads by themselves burn some hundred times as much (1.5 s against 0.013)."""
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS", "OMP_PROC_BIND", "KMP_BLOCKTIME"):
        monkeypatch.delenv(name, raising=False)
    seconds = {}
    for manner in ("kind", "plain"):
        command = [sys.executable, "-c", ONE_CORE_FOR_TWO, manner]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        words, library = done.stdout.split()
        if library != "GNU":
            pytest.skip("torch has another OpenMP library than GNU's here")
        seconds[manner] = float(words)
    assert seconds["kind"] < seconds["plain"] / 5
