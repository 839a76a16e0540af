"""On a Slurm that is there: a sweep and a reproduction lose nothing when jobs are pre-empted, requeued, cancelled and killed.

``tests/cluster/run.sh`` starts the Slurm and this. Every line that is printed was checked; the first that does not hold ends it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bnexp.records.reader import RunRecord, find_runs
from bnexp.records.writer import CLOCK_KEYS

#: Runs of many seconds on the fastest processor: a job must still train when it is killed.
SWEEP = ("train", "norm=none,batch", "seed=0,1", "train.steps=4000")
CLAIM = ("reproduce", "fig1_speed", "budget=smoke", "model.width=600", "--json")
SLURM = ("hydra/launcher=submitit_slurm", "hydra.launcher.partition=one", "hydra.launcher.mem_gb=null")

#: Seconds that anything may take.
LIMIT = 300

START = time.monotonic()


def main() -> None:
    refused()
    swept()
    reproduced()
    print("nothing was lost")


def refused() -> None:
    answer = finished(bnexp(*SWEEP, *SLURM, "hydra.launcher.partition=none", "runs_dir=refused"))
    check(
        "a partition that is none is one message, and nothing is written",
        answer[0] == 2 and answer[2].count("\n") == 3 and "Invalid partition" in answer[2] and not Path("refused").exists(),
        answer,
    )


def swept() -> None:
    parent = bnexp(*SWEEP, *SLURM)
    until("two of four jobs train", lambda: len(begun("runs")) == 2)
    first = array("R")
    slurm("scancel", f"{first}_3")
    slurm("scontrol", "requeue", f"{first}_1")
    slurm("scancel", "--signal=USR1", f"{first}_0")
    for task in (0, 1):
        until(f"job {task} is in the queue again", lambda task=task: "Restarts=1" in job(f"{first}_{task}"))
        start_now(f"{first}_{task}")
    code, out, err = finished(parent)
    check("a cancelled job is no result: exit code 3", code == 3, (out, err))
    told = re.findall(r"^not run: norm=batch seed=1 .*: job (\S+) (?:is gone from the queue|ended as CANCELLED); ", out, re.M)
    check("which never began, as the table says", told == [f"{first}_3"], (out, err))
    logs = "".join(log.read_text() for log in sorted(Path("runs", "sweeps").rglob(f"{first}_[01]_0_log.err")))
    steps = re.findall(r"^stopped; the same command continues from step ([\d,]+)", logs, re.M)
    check(f"SIGUSR1 and requeue saved their runs, at steps {' and '.join(steps)}", len(steps) == 2, logs)
    resumed = re.findall(r": continues from step ([\d,]+)", logs)
    check("and were continued from there", sorted(resumed) == sorted(steps), logs)
    check("3 runs are complete", len(complete("runs")) == 3, err)
    code, out, err = finished(bnexp(*SWEEP, *SLURM))
    check("the same command submits the missing one alone", code == 0 and "3 complete, 1 job," in err, (out, err))
    check("and prints the table of four", out.startswith("4 runs, 2 arms"), out)
    code, alone, _ = finished(bnexp(*SWEEP, "runs_dir=alone"))
    check("on this machine, undisturbed: the same records, bit by bit", records("runs") == records("alone"), "")
    check("and the same table, as far as no clock is in it", code == 0 and no_clock(out) == no_clock(alone), (out, alone))


def reproduced() -> None:
    parent = bnexp(*CLAIM, "runs_dir=shares", "num_shards=2", *SLURM)
    until("two shares work", lambda: begun("shares") != [] and len(running()) == 2)
    first = array("R")
    slurm("scancel", "--signal=KILL", f"{first}_0")
    slurm("scontrol", "requeue", f"{first}_1")
    until("share 1 is in the queue again", lambda: "Restarts=1" in job(f"{first}_1"))
    start_now(f"{first}_1")
    code, out, err = finished(parent)
    check("shares in rounds end with a verdict, exit code 0", code == 0 and err.count("round ") >= 2, (out, err))
    check("the killed job is told", re.search(rf"share 0: job {first}_0 ended as (FAILED|CANCELLED)", err) is not None, err)
    attempts = [record.folder.name for record in find_runs(Path("shares"))]
    check("every run was carried out once", len(attempts) == len(set(attempts)) == len(complete("shares")), attempts)
    code, alone, _ = finished(bnexp(*CLAIM, "runs_dir=no_shares", "jobs=2"))
    check("on this machine, undisturbed: the same verdict, digit by digit", code == 0 and verdicts(out) == verdicts(alone), "")
    check("of the same records, bit by bit", records("shares") == records("no_shares"), "")


def bnexp(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bnexp", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finished(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=LIMIT)
    return process.returncode, out, err


def check(words: str, holds: bool, instead: object) -> None:
    print(f"{time.monotonic() - START:4.0f} s  {'holds' if holds else 'DOES NOT HOLD'}: {words}", flush=True)
    if not holds:
        sys.exit("\n".join(map(str, instead)) if isinstance(instead, tuple) else str(instead))


def until(words: str, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not holds():
        if time.monotonic() > deadline:
            check(words, False, slurm("squeue", "--states=all", "--array"))
        time.sleep(0.2)


def slurm(*words: str) -> str:
    """What a command of Slurm's prints; scancel asks again for minutes where a job was queued again under its hands."""
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        return process.communicate(timeout=5)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()[0]


def running() -> list[str]:
    return slurm("squeue", "--noheader", "--array", "--states=R", "--format=%i").split()


def array(states: str) -> str:
    return slurm("squeue", "--noheader", f"--states={states}", "--format=%F").split()[0]


def job(number: str) -> str:
    return slurm("scontrol", "show", "job", number)


def start_now(number: str) -> None:
    """A requeued job waits for two minutes, which says nothing about us."""
    until(f"{number} waits", lambda: "JobState=PENDING" in job(number))
    slurm("scontrol", "update", f"JobId={number}", "StartTime=now")


def begun(runs_dir: str) -> list[Path]:
    return [file for file in Path(runs_dir).glob("*/events.jsonl") if file.stat().st_size > 2000]


def complete(runs_dir: str) -> list[RunRecord]:
    return [record for record in find_runs(Path(runs_dir)) if record.complete]


def records(runs_dir: str) -> dict[str, tuple[object, ...]]:
    """Run to its measurements and arrays, less what the clock said."""
    found: dict[str, tuple[object, ...]] = {}
    for record in complete(runs_dir):
        lines = [json.loads(line) for line in (record.folder / "events.jsonl").read_text().splitlines()]
        arrays = sorted((record.folder / "probes").glob("*"))
        found[record.folder.name] = (
            [{key: value for key, value in line.items() if key not in CLOCK_KEYS} for line in lines],
            [(file.name, file.read_bytes()) for file in arrays],
            record.end["test"],
        )
    return found


def no_clock(table: str) -> str:
    return table.partition("seconds")[0]


def verdicts(answer: str) -> list[dict[str, object]]:
    return [{**one, "seconds": 0} for one in json.loads(answer)]


if __name__ == "__main__":
    main()
