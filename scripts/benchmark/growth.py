"""How cost grows: with runs in a folder, steps of a run, runs at a time, claims, width and depth of a network.

Every curve is a cost against a size, its exponent fitted to the upper half of the sizes: a start that is always paid hides the
price of the small.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from benchmark.commands import BNEXP, timed
from benchmark.contest import hold
from benchmark.job import Job
from benchmark.modes import MODES
from benchmark.numbers import distance_from_line, markdown
from benchmark.plan import Size, base_job
from benchmark.targets import Target

#: Exponents up to this count as linear: sizes are few, and clocks are not exact.
LINEAR = 1.1

#: The most that a run may leave on disk, however long it is.
MOST_BYTES = 20e6

#: Learning rates of the copies of one run; they also differ in their seeds.
ARMS = 10


def measure(size: Size, data_dir: str | None, tell: Callable[[str], None]) -> dict[str, Any]:
    """All curves: name to words, unit, sizes and costs (a row a size, a column a round)."""
    curves: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="bnexp-bench-") as folder:
        curves |= over_runs(size.folders, Path(folder), data_dir, tell)
        curves |= over_claims(size.claims, Path(folder), tell)
        curves |= over_steps(size.lengths, Path(folder), data_dir, tell)
    base = replace(base_job(size, "mlp", "batch", "cpu", data_dir, ""), turns=min(size.rounds, 3) + 1)
    for name, (words, sizes, jobs, scale) in training(size, base).items():
        tell(f"growth: {words}")
        results = hold(jobs, tell)
        if skipped := next((one.skipped for one in results if one.skipped), None):
            curves[name] = {"words": words, "skipped": skipped}
            continue
        costs = [[seconds * scale for seconds in one.seconds] for one in results]
        curves[name] = {"words": words, "unit": "s" if scale == 1 else "ms a step", "sizes": list(sizes), "costs": costs}
    return {"curves": curves, "cores": os.cpu_count()}


def over_runs(sizes: Sequence[int], folder: Path, data_dir: str | None, tell: Callable[[str], None]) -> dict[str, Any]:
    """Seconds of the commands that read a folder of so many runs."""
    data = [f"data_dir={json.dumps(data_dir)}"] if data_dir else []
    claim = ["algorithm_1", "budget=smoke"]
    timed([*BNEXP, "reproduce", *claim, f"runs_dir={folder}/one"])
    timed([*BNEXP, "train", "debug=fast", "probes=none", f"runs_dir={folder}/one", *data])
    commands = {
        "list": ("list runs", lambda runs: ["list", "runs", f"runs_dir={runs}"]),
        "plan": ("plan a claim", lambda runs: ["reproduce", *claim, "--dry-run", f"runs_dir={runs}"]),
        "compare": ("compare 10 arms", lambda runs: ["compare", str(runs), "by=optimizer.lr"]),
        "report": ("report a claim", lambda runs: ["report", str(runs), *claim, f"out={folder}/page"]),
    }
    costs: dict[str, list[list[float]]] = {name: [] for name in commands}
    for number in sizes:
        tell(f"growth: {number:,} runs in a folder")
        runs = make_runs(folder / "one", folder / f"runs{number}", number)
        for name, (_, words) in commands.items():
            repeats = 1 if number > 1000 else 2
            costs[name].append([min(timed([*BNEXP, *words(runs)]).seconds for _ in range(repeats))])
    return {
        f"runs_{name}": {"words": f"{words}: runs in the folder", "unit": "s", "sizes": list(sizes), "costs": costs[name]}
        for name, (words, _) in commands.items()
    }


def make_runs(one: Path, folder: Path, number: int) -> Path:
    """A folder of all runs in ``one`` and ``number`` made-up copies of the trained one, in ten arms of other rates and seeds."""
    folder.mkdir()
    for run in one.iterdir():
        if run.is_dir():
            os.symlink(run.resolve(), folder / run.name)
    source = next(run for run in one.iterdir() if (run / "events.jsonl").is_file() and (run / "events.jsonl").stat().st_size)
    header = json.loads((source / "run.json").read_text(encoding="utf-8"))
    others = {name: (source / name).read_bytes() for name in ("end.json", "events.jsonl")}
    for place in range(number):
        arm, seed = place % ARMS, place // ARMS
        header["config"]["seed"], header["config"]["optimizer"]["lr"] = seed, 0.01 * (arm + 1)
        header["run_id"], header["arm_id"] = f"copy-s{seed}-{place:08x}", f"copy-{arm:08x}"
        run = folder / header["run_id"]
        run.mkdir()
        (run / "run.json").write_text(json.dumps(header), encoding="utf-8")
        for name, content in others.items():
            (run / name).write_bytes(content)
    return folder


def over_claims(sizes: Sequence[int], folder: Path, tell: Callable[[str], None]) -> dict[str, Any]:
    """Seconds to plan so many claims from nothing, and to judge them from the committed records."""
    from bnexp.claims import CLAIMS

    records = Path(__file__).resolve().parents[2] / "results" / "quick"
    names = list(CLAIMS)
    sizes = [min(number, len(names)) for number in sizes]
    costs: dict[str, list[list[float]]] = {"plan": [], "report": []}
    for number in sizes:
        tell(f"growth: {number} claims")
        some = [names[round(place)] for place in np.linspace(0, len(names) - 1, number)]  # cheap and dear ones alike
        costs["plan"].append([timed([*BNEXP, "reproduce", *some, "--dry-run", f"runs_dir={folder}/none"]).seconds])
        costs["report"].append([timed([*BNEXP, "report", str(records), *some, f"out={folder}/page"]).seconds])
    words = {"plan": "plan claims, nothing run: claims", "report": "judge and draw claims: claims"}
    return {
        f"claims_{name}": {"words": words[name], "unit": "s", "sizes": list(sizes), "costs": costs[name]} for name in costs
    }


def over_steps(sizes: Sequence[int], folder: Path, data_dir: str | None, tell: Callable[[str], None]) -> dict[str, Any]:
    """Bytes on disk of runs of so many steps."""
    found = []
    for steps in sizes:
        tell(f"growth: the record of {steps:,} steps")
        command = [sys.executable, "-m", "benchmark.growth", str(steps), str(folder / "long"), data_dir or ""]
        found.append(json.loads(timed(command).output))
    return {
        f"steps_{name}": {
            "words": f"{words}: steps of the run", "unit": "MB", "sizes": list(sizes),
            "costs": [[one[name] / 1e6] for one in found],
        }
        for name, words in (("record", "record on disk"), ("tensorboard", "TensorBoard's copy"))
    }  # fmt: skip


def record_sizes(steps: int, folder: str, data_dir: str) -> dict[str, int]:
    """Bytes that the default run of that length leaves on disk: real loop, looks and records around a step that does nothing."""
    import torch

    from bnexp.config.compose import compose
    from bnexp.runs.run import execute

    nothing = torch.tensor(0.5), torch.tensor(30)

    def do_nothing(*_: object) -> tuple[torch.Tensor, torch.Tensor]:
        return nothing

    data = [f"data_dir={json.dumps(data_dir)}"] if data_dir else []
    words = ["execution.compile=off", "device=cpu", "dataset.validation_examples=100"]  # as many evaluations, quicker ones
    config = compose([f"train.steps={steps}", f"runs_dir={folder}", *words, *data])
    torch.set_num_threads(1)
    with mock.patch("bnexp.engine.loop.pick_step", return_value=("nothing", do_nothing)):
        run = Path(execute(config, (), show=False).folder)
    files = [file for file in run.rglob("*") if file.is_file()]
    copies = {file for file in files if "tb" in file.relative_to(run).parts}
    return {
        "record": sum(file.stat().st_size for file in files if file not in copies),
        "tensorboard": sum(file.stat().st_size for file in copies),
    }


def training(size: Size, base: Job) -> dict[str, tuple[str, Sequence[int], list[Job], float]]:
    """Of each curve whose cost is training: words, sizes, jobs, and what makes its seconds the cost."""
    eager = replace(base, overrides=MODES["eager"].overrides)
    runs = replace(base, mode="runs", steps=size.runs[0], overrides=("probes=none",))

    def with_word(word: str) -> Job:
        return replace(eager, overrides=(*eager.overrides, word))

    per_step = 1e3 / base.steps
    return {
        "time": ("a run from start to end: steps", size.runs, [replace(runs, steps=steps) for steps in size.runs], 1.0),
        "seeds": ("runs on all cores: runs", size.seeds, [replace(runs, seeds=seeds) for seeds in size.seeds], 1.0),
        "width": (
            "a step, wider: weights", [weights(width=width) for width in size.widths],
            [with_word(f"model.width={width}") for width in size.widths], per_step,
        ),
        "depth": (
            "a step, deeper: hidden layers", size.depths, [with_word(f"model.depth={depth}") for depth in size.depths], per_step,
        ),
    }  # fmt: skip


def weights(width: int, depth: int = 3) -> int:
    """Of the paper's network with hidden layers of that width."""
    return 784 * width + (depth - 1) * width**2 + 10 * width


def slope(curve: Mapping[str, Any]) -> float:
    """The exponent p of cost ~ size^p on the upper half of the sizes, of the medians; at least two of them."""
    sizes, costs = curve["sizes"], [float(np.median(row)) for row in curve["costs"]]
    half = min(len(sizes) - 2, len(sizes) // 2)
    return float(np.polyfit(np.log(sizes[half:]), np.log(costs[half:]), 1)[0])


def targets(found: Mapping[str, Any]) -> Iterator[Target]:
    """Linear or better, each; and the size of a million steps."""
    curves = {name: curve for name, curve in found["curves"].items() if "skipped" not in curve}
    worst = max(curves.values(), key=slope)
    steepest = f"{slope(worst):.2f}, {worst['words'].replace(': ', ' against ')}"
    yield Target("the steepest growth of a cost (exponent)", f"at most {LINEAR:g}", steepest, slope(worst) <= LINEAR)
    for over, name, least in (("steps", "time", 0), ("runs", "seeds", found["cores"])):
        if name in curves:
            curve = curves[name]
            used = [row for row in zip(curve["sizes"], curve["costs"], strict=True) if row[0] >= least]
            off = distance_from_line([size for size, _ in used], np.array([costs for _, costs in used]))
            words = f"largest distance of a cost from a straight line in {over}"
            yield Target(words, "at most 10 %", f"{100 * off.median:.1f} %", off.median <= 0.10)
    record = [curves[f"steps_{name}"] for name in ("record", "tensorboard")]
    both = sum(np.median(curve["costs"][-1]) for curve in record)
    words = f"record and TensorBoard's copy of a run of {record[0]['sizes'][-1]:,} steps"
    yield Target(words, "at most 20 MB", f"{both:.1f} MB", bool(both * 1e6 <= MOST_BYTES))


def verdict(curve: Mapping[str, Any]) -> str:
    """In a word or two."""
    found = slope(curve)
    return "below linear" if found < 1 / LINEAR else "linear" if found <= LINEAR else "**above linear**"


def section(found: Mapping[str, Any]) -> str:
    """The table."""
    rows = []
    for curve in found["curves"].values():
        what, _, over = curve["words"].rpartition(": ")
        if "skipped" in curve:
            rows.append((what, over, "", curve["skipped"], "", ""))
            continue
        costs = ", ".join(f"{np.median(row):.3g}" for row in curve["costs"])
        sizes = ", ".join(f"{size:,}" for size in curve["sizes"])
        rows.append((what, over, sizes, f"{costs} {curve['unit']}", f"{slope(curve):.2f}", verdict(curve)))
    return markdown(("cost of", "against", "sizes", "medians", "exponent", "growth"), rows)


if __name__ == "__main__":
    print(json.dumps(record_sizes(int(sys.argv[1]), *sys.argv[2:])))
