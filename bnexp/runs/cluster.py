"""Jobs on a cluster: submitted as ``hydra/launcher=submitit_slurm`` says, and awaited until each has answered or is gone.

Settings and submission are those of Hydra's plugin and of submitit. The waiting is ours: the plugin's gives up at the first job
that dies, and asks ``sacct``, which answers nothing where a cluster keeps no accounts. ``squeue`` answers everywhere.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bnexp.config.compose import OWN_DIR, launcher
from bnexp.errors import UserError
from bnexp.runs import stop
from bnexp.runs.folder import make_runs_dir

#: Seconds between two looks at what jobs have answered; Slurm is asked less often, the longer it takes.
LOOK = 1.0

#: Seconds that the answer of a job which is gone may still be on its way through the file system.
PATIENCE = 15.0

#: Runs that run out of time are put back into the queue so often, unless ``hydra.launcher.max_num_timeout`` says otherwise.
TIMEOUTS = 10

#: Jobs in one array: Slurm's ``MaxArraySize`` is 1001 unless a site has set it.
MOST_AT_ONCE = 1000

#: States after which Slurm does not start a job again by itself.
OVER = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT"}

#: Settings that submitit knows for every kind of cluster.
COMMON = {"timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node", "mem_gb", "nodes", "name", "stderr_to_stdout"}

_PLUGIN = "hydra_plugins.hydra_submitit_launcher.submitit_launcher."


@dataclass(frozen=True)
class Lost:
    """A job that is over without an answer.

    Attributes:
        job: its number in Slurm.
        reason: how it ended, in words that follow its number.
    """

    job: str
    reason: str

    def __str__(self) -> str:
        return f"job {self.job} {self.reason}"


class Work:
    """What a job does; submitit sends it to the job, and asks for :meth:`checkpoint` when it puts the job back into the queue.

    Args:
        do: importable, because the job is sent its name.
    """

    def __init__(self, do: Callable[..., Any]) -> None:
        self.do = do

    def __call__(self, *arguments: Any) -> Any:
        """Do it. A signal has saved the runs by the time it gets here.

        SIGUSR1 is Slurm's warning that time or turn is over: submitit's own handler, which ours stood in for, has the job queued
        again, as often as it may. After any other, Slurm knows what becomes of the job; it must not leave an answer behind.
        """
        queue_again = signal.getsignal(signal.SIGUSR1)
        os.environ.setdefault("LOKY_MAX_CPU_COUNT", os.environ.get("SLURM_CPUS_PER_TASK", "1"))  # for joblib.cpu_count
        try:
            return self.do(*arguments)
        except KeyboardInterrupt as error:
            print(f"stopped; {error}", file=sys.stderr)
            if stop.told_by == signal.SIGUSR1 and callable(queue_again):
                queue_again(signal.SIGUSR1, None)
            sys.exit(130)

    def checkpoint(self, *arguments: Any) -> Any:
        """What the job does when it is started again: the same, because run folders know how far they are."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, *arguments)


class Queue:
    """Where jobs go.

    Args:
        settings: of the plugin (``hydra.launcher``).
        runs_dir: in whose ``sweeps`` submitit keeps what it sends to jobs, their answers and logs, unless the plugin is told where.

    Raises:
        UserError: there is no Slurm here, or a setting that a run cannot use.
    """

    def __init__(self, settings: Mapping[str, Any], runs_dir: Path) -> None:
        self.slurm = settings["_target_"].endswith("SlurmLauncher")
        self.settings = {key: value for key, value in settings.items() if key != "_target_"}
        self.runs_dir = runs_dir
        if self.slurm and shutil.which("sbatch") is None:
            raise UserError(
                "there is no Slurm on this machine (no sbatch)",
                got="hydra/launcher=submitit_slurm",
                todo="the same command on a login node of the cluster; without hydra/launcher it uses the cores of this machine",
            )
        for key in ("nodes", "tasks_per_node"):
            if settings[key] != 1:
                got = f"hydra.launcher.{key}={settings[key]}"
                raise UserError("a job is one process on one node", got=got, todo=f"hydra.launcher.{key}=1")

    def work(
        self, do: Callable[..., Any], calls: Sequence[Sequence[Any]], look: Callable[[str], None]
    ) -> Generator[tuple[int, Any], None, None]:
        """Submit a job for each call, at once; then yield a call's place and its answer, or :class:`Lost`, as its job ends.

        Whoever stops asking for answers has the rest of the jobs cancelled; whoever is interrupted leaves them in the queue.

        Args:
            do: what a job does; importable.
            calls: its arguments, job by job.
            look: is told about once a second what the jobs are doing.

        Raises:
            UserError: Slurm takes no such job; nothing is left behind.
            KeyboardInterrupt: with words that say how the jobs can be ended.
        """
        new = not self.runs_dir.exists()
        make_runs_dir(self.runs_dir)
        mine = self.runs_dir / "sweeps" / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.jobs"
        try:
            with redirect_stderr(io.StringIO()):  # of which submitit makes an exception
                jobs = self._submit(do, calls, Path(self.settings["submitit_folder"] or mine))
        except Exception as error:  # submitit tells what sbatch said by exceptions of several kinds
            shutil.rmtree(mine, ignore_errors=True)
            with suppress(OSError):  # where there is more in them, they stay
                mine.parent.rmdir()
                if new:
                    (self.runs_dir / ".gitignore").unlink()
                    self.runs_dir.rmdir()
            words = [line.strip() for line in str(error).splitlines() if line.strip()] or [repr(error)]
            said = [line for line in words if line.startswith("sbatch:")] or words
            todo = "other hydra.launcher settings (sinfo shows partitions and their limits)"
            raise UserError("the jobs cannot be submitted", got=said[-1], todo=todo) from error
        return self._awaited(jobs, look)

    def _submit(self, do: Callable[..., Any], calls: Sequence[Sequence[Any]], folder: Path) -> list[Any]:
        import submitit

        settings = {key: value for key, value in self.settings.items() if key != "submitit_folder"}
        cluster, most = "slurm" if self.slurm else "local", {}
        if self.slurm:
            signalled = {"signal": f"USR1@{settings['signal_delay_s']}"}
            settings["additional_parameters"] = signalled | (settings["additional_parameters"] or {})
            settings["setup"] = ["export SUBMITIT_PREEMPT_SIGNAL=USR1", *(settings["setup"] or [])]
            most = {"slurm_max_num_timeout": settings.pop("max_num_timeout")}
        executor = submitit.AutoExecutor(folder=folder, cluster=cluster, **most)
        executor.update_parameters(**{key if key in COMMON else f"{cluster}_{key}": value for key, value in settings.items()})
        jobs: list[Any] = []
        for start in range(0, len(calls), MOST_AT_ONCE):
            jobs += executor.map_array(Work(do), *zip(*calls[start : start + MOST_AT_ONCE], strict=True))
        return jobs

    def _awaited(self, jobs: Sequence[Any], look: Callable[[str], None]) -> Generator[tuple[int, Any], None, None]:
        try:
            yield from self._answers(jobs, look)
        except KeyboardInterrupt:
            ids = " ".join(dict.fromkeys(str(job.job_id).split("_")[0] for job in jobs))
            end = f" (scancel {ids} ends them)" if self.slurm else ""
            raise KeyboardInterrupt(f"the jobs go on{end}; the same command waits for what is not complete") from None
        except GeneratorExit:
            for job in jobs:
                if not job.paths.result_pickle.exists():
                    job.cancel(check=False)

    def _answers(self, jobs: Sequence[Any], look: Callable[[str], None]) -> Iterator[tuple[int, Any]]:
        waiting, over_since = dict(enumerate(jobs)), dict[int, float]()
        states: dict[str, str] | None = {}
        started = asked = time.monotonic()
        folders = {job.paths.folder for job in jobs}
        while waiting:
            now = time.monotonic()
            if now - asked > min(30.0, max(2.0, (now - started) / 20)):
                states, asked = self._states(waiting.values()), time.monotonic()
                if states is None:
                    print("Slurm does not answer; waiting for it", file=sys.stderr)
            there = {name for folder in folders for name in os.listdir(folder)}
            for place, job in list(waiting.items()):
                state = (states or {}).get(job.job_id, "")
                if job.paths.result_pickle.name in there:
                    yield place, _answer(job)
                    del waiting[place]
                elif states is None or asked == started or not (state in OVER or not state):
                    over_since.pop(place, None)
                elif now - over_since.setdefault(place, now) > PATIENCE:
                    yield place, Lost(job.job_id, f"ended as {state}" if state else "is gone from the queue")
                    del waiting[place]
            counts = Counter((states or {}).get(job.job_id, "PENDING") for job in waiting.values())
            look(", ".join(f"{number} {state.lower()}" for state, number in sorted(counts.items())))
            time.sleep(LOOK if waiting else 0)

    def _states(self, jobs: Any) -> dict[str, str] | None:
        """Job to state, of all jobs that are still known; None where nobody answers."""
        if not self.slurm:
            states = {job.job_id: str(job.get_info()["jobState"]) for job in jobs}
            return {job: "COMPLETED" if state == "FINISHED" else state for job, state in states.items() if state != "INTERRUPTED"}
        ask = ["squeue", "--noheader", "--array", "--states=all", f"--user={os.getuid()}", "--format=%i|%T"]
        told = subprocess.run(ask, capture_output=True, text=True, check=False)
        if told.returncode:
            return None
        return {line.partition("|")[0]: line.partition("|")[2] for line in told.stdout.split()}


def _answer(job: Any) -> Any:
    error = job.exception()
    if error is None:
        return job.result()
    lines = [line.strip() for line in str(error).splitlines() if "Error" in line]
    return Lost(job.job_id, f"broke down: {lines[-1] if lines else error} (see {job.paths.stderr})")


def find_queue(typed: Sequence[str], runs_dir: Path) -> Queue | None:
    """The queue that ``hydra/launcher`` and ``hydra.launcher.*`` describe; None where they are of a launcher for this machine.

    Args:
        typed: the words of a command; those of Hydra's, and ``--config-dir=``, are read.
        runs_dir: where runs are recorded, which every node must see.

    Raises:
        UserError: the plugin is not installed, or there is no Slurm.
    """
    words = [word for word in typed if word.lstrip("+").startswith(("hydra/", "hydra."))]
    own = [Path(word.removeprefix(OWN_DIR)) for word in typed if word.startswith(OWN_DIR)]
    keys = {word.partition("=")[0] for word in words}
    settings = launcher(words, own[-1] if own else None)
    if not str(settings["_target_"]).startswith(_PLUGIN):
        return None
    plugins = launcher([f"hydra/launcher=submitit_{'slurm' if 'max_num_timeout' in settings else 'local'}"])
    ours = {"name": "bnexp", "submitit_folder": None, "max_num_timeout": TIMEOUTS}
    for key in ours.keys() & settings.keys():  # a user's own, typed or from a YAML, stay
        if f"hydra.launcher.{key}" not in keys and settings[key] == plugins[key]:
            settings[key] = ours[key]
    return Queue(settings, runs_dir)
