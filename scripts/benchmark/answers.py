"""Seconds from a command to its answer, beside what a script of the usual kind takes for the same numbers."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.commands import BNEXP, spent, timed, useful
from benchmark.numbers import markdown, spread
from benchmark.targets import Target

#: Leaves at the end of the first update.
FIRST_STEP = """
import os, sys
from bnexp.cli.main import be_kind_to_other_processes, run
def leave(*_):
    os._exit(0)
def imports(event, given):
    if event == "import" and given[0] == "bnexp.engine.loop":  # which brings torch where it is needed
        from torch.optim.optimizer import register_optimizer_step_post_hook
        register_optimizer_step_post_hook(leave)
sys.addaudithook(imports)
be_kind_to_other_processes()
run(["train", *sys.argv[1:]])
"""

#: The part of it that is torch's own.
IMPORT_TORCH = "import os, torch; os._exit(0)"

#: Pairs of both in each round.
STARTS = 4

#: Steps of a short run; 20 of them are a sweep.
SHORT, NUM_SHORT = 500, 20

#: The parts that ``end.json`` accounts for, as the table has them.
PARTS = ("train", "eval", "probe", "record", "compile", "measure")


@dataclass(frozen=True)
class Question:
    """A command, and the runs that the usual script has to make for the same numbers."""

    words: str
    command: tuple[str, ...]
    runs: tuple[tuple[str, int, int], ...]


def questions(smoke: bool) -> dict[str, Question]:
    """By name; runs are (norm, seed, steps)."""
    steps = 40 if smoke else 3000
    short, seeds = (20, 2) if smoke else (SHORT, NUM_SHORT // 2)
    found = {
        "train": Question("the default run", ("train", f"train.steps={steps}"), (("batch", 0, steps),)),
        "sweep": Question(
            f"a sweep of {2 * seeds} short runs",
            ("train", "norm=none,batch", f"seed=range(0,{seeds})", f"train.steps={short}"),
            tuple((norm, seed, short) for norm in ("none", "batch") for seed in range(seeds)),
        ),
    }
    if not smoke:
        demo = Question("the demo", ("demo", "--no-open"), (("none", 0, steps), ("batch", 0, steps)))
        found = {"demo": demo, **found}
    return found


def measure(smoke: bool, data_dir: str | None, tell: Callable[[str], None], quick: Mapping[str, Any] | None) -> dict[str, Any]:
    """Each command in every round, the usual script in the first; ``quick`` as :func:`of_quick` has it."""
    rounds = 1 if smoke else 2
    data = [f"data_dir={json.dumps(data_dir)}"] if data_dir else []
    asked = questions(smoke)
    found: dict[str, Any] = {name: {**asdict(one), "ours": [], "usual": [], "parts": []} for name, one in asked.items()}
    first: list[float] = []
    torch: list[float] = []
    with tempfile.TemporaryDirectory(prefix="bnexp-bench-") as folder:
        timed([*BNEXP, "train", "debug=fast", f"runs_dir={folder}/warm", *data])  # data parsed, files in memory
        for place in range(rounds):
            tell(f"answers: round {place + 1} of {rounds}")
            for start in range(1 if smoke else STARTS):
                runs_dir = f"runs_dir={folder}/first{place}-{start}"
                first.append(timed([sys.executable, "-c", FIRST_STEP, runs_dir, *data]).seconds)
                torch.append(timed([sys.executable, "-c", IMPORT_TORCH]).seconds)
            for name, one in asked.items():
                runs_dir = Path(folder) / f"{name}{place}"
                extra = [] if one.command[0] == "demo" else data
                took = timed([*BNEXP, *one.command, f"runs_dir={runs_dir}", *extra])
                found[name]["ours"].append(took.seconds)
                found[name].setdefault("processor", []).append(took.processor)
                found[name]["parts"].append(spent(runs_dir))
                if found[name]["usual"]:  # it takes long, and its ratio to ours is no matter of percents
                    continue
                runs = [dict(zip(("norm", "seed", "steps"), run, strict=True)) for run in one.runs]
                usual = timed([sys.executable, "-m", "benchmark.usual", json.dumps(runs), data_dir or ""])
                found[name]["usual"].append(usual.seconds)
    return {"first_step": first, "import_torch": torch, "questions": found, "quick": quick, "cores": os.cpu_count()}


def of_quick(runs_dir: Path, seconds: float) -> dict[str, Any]:
    """What ``reproduce all budget=quick`` took, from its runs folder and its wall-clock seconds; it is not run again."""
    headers = (json.loads(file.read_text(encoding="utf-8")) for file in runs_dir.glob("*/run.json"))
    commits = {(header.get("git") or {}).get("commit", "") for header in headers}
    parts = {name: round(value, 1) for name, value in spent(runs_dir).items()}
    return {"seconds": seconds, "parts": parts, "commit": commits.pop() if len(commits) == 1 else ""}


def targets(found: Mapping[str, Any]) -> Iterator[Target]:
    """The lines about answers."""
    first, alone = spread(found["first_step"]), found.get("import_torch")
    words = first.words() + (f", {spread(alone).words()} of them `import torch`" if alone else "")
    yield Target("seconds from `bnexp train` to its first step, on a warm disk", "at most 3", words, first.median <= 3)
    sweep = found["questions"]["sweep"]
    over_training = spread(np.array(sweep["ours"]) / [parts["train"] for parts in sweep["parts"]])
    over_useful = spread(np.array(sweep["processor"]) / [useful(parts) for parts in sweep["parts"]])
    lines = (
        (f"{sweep['words']}, over the seconds of training of its runs", over_training),
        (f"{sweep['words']}: core-seconds, over those of training, evaluation and probes", over_useful),
    )
    yield from (Target(words, "at most 1.3", ratio.words(), ratio.median <= 1.3) for words, ratio in lines)
    quick, cores = found["quick"], found["cores"]
    words = "share of core-seconds of quick outside training, evaluation, probes and measurements"
    if quick is None:
        yield Target(words, "at most 12 %", "not measured: bench.py answers --quick-runs DIR --quick-seconds S", None)
        return
    share = 100 * outside(quick, cores)
    of = f" (commit {quick['commit'][:12]})" if quick.get("commit") else ""
    yield Target(words, "at most 12 %", f"{share:.1f} %{of}", share <= 12)


def outside(quick: Mapping[str, Any], cores: int) -> float:
    """The fraction of quick's core-seconds that went to none of what it is for."""
    return float(1 - useful(quick["parts"]) / (quick["seconds"] * cores))


def section(found: Mapping[str, Any]) -> str:
    """The tables and what they mean."""
    cores = found["cores"]
    rows = []
    for one in found["questions"].values():
        command = " ".join(("bnexp", *one["command"]))
        (usual,) = one["usual"]
        both = spread(usual / np.array(one["ours"]))
        rows.append((f"{one['words']}: `{command}`", spread(one["ours"]).words(1), f"{usual:,.1f}", both.words(1)))
    if quick := found["quick"]:
        estimate = quick["parts"]["steps"] * price_of_the_usual(found)
        ratio = f"about {estimate / quick['seconds']:.0f}"
        rows.append(
            ("all claims: `bnexp reproduce all budget=quick`", f"{quick['seconds']:,.0f}", f"about {estimate:,.0f}", ratio)
        )
    head = ("from the command to the answer, seconds", "bnexp", "usual script", "usual / bnexp")
    sweep = found["questions"]["sweep"]
    train, evaluation = (float(np.median([parts[name] for parts in sweep["parts"]])) for name in ("train", "eval"))
    return SECTION.format(
        table=markdown(head, rows), parts=markdown(("core-seconds", *PARTS, "the rest", "in all"), _parts(found, cores)),
        sweep=sweep["words"], all_cores=float(np.median(sweep["ours"])) * cores / train, evaluation=evaluation / train, cores=cores,
    )  # fmt: skip


def price_of_the_usual(found: Mapping[str, Any]) -> float:
    """Seconds a step of the usual script, start and evaluation included, in its longest answer here."""
    one = max(found["questions"].values(), key=lambda one: sum(steps for _, _, steps in one["runs"]))
    return float(np.median(one["usual"])) / sum(steps for _, _, steps in one["runs"])


def _parts(found: Mapping[str, Any], cores: int) -> Iterator[Sequence[str]]:
    """Of each command where its core-seconds went: by the records; of our commands the medians of their rounds."""
    for one in found["questions"].values():
        parts = {name: float(np.median([parts.get(name, 0.0) for parts in one["parts"]])) for name in PARTS}
        yield _line(one["words"], parts, float(np.median(one["processor"])))
    if quick := found["quick"]:
        yield _line("all claims", quick["parts"], quick["seconds"] * cores)


def _line(words: str, parts: Mapping[str, float], total: float) -> Sequence[str]:
    values = [parts.get(name, 0.0) for name in PARTS]
    return (words, *(f"{value:,.1f}" for value in values), f"{total - sum(values):,.1f}", f"{total:,.1f}")


SECTION = """\
{table}

The usual script (`scripts/benchmark/usual.py`) trains the same networks for as many steps, one after the other, and evaluates every
100 steps and at the end; it writes no record and does not see what layers receive, and its curve begins coarsely: bnexp's seconds
include all of that. For all claims it is an estimate: their steps at the script's price of a step of the paper's network.

{parts}

By the clock of each part's own process, as `end.json` has it. "In all" is processor time of the command and its processes, of all
claims wall-clock time times cores; the rest is start-up, planning, building networks, judging and drawing.

Of {sweep}, training alone, spread over {cores} cores, is one part in {all_cores:.2f}: a short run's curve is as fine
as a long one's, so that its evaluations cost {evaluation:.2f} times what its training does."""
