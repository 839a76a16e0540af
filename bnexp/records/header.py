"""What ``run.json`` says: enough to do the run again, and to tell whether two runs may be compared."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from functools import cache, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bnexp import __version__
from bnexp.config.identity import SCHEMA_VERSION, computed
from bnexp.config.schema import COSMETIC, ExperimentConfig

_PACKAGES = ("torch", "torchvision", "numpy", "hydra-core", "omegaconf", "tensorboard")


#: A process that writes many short runs asks git again after so many seconds: asking takes as long as 20 steps of a small net.
GIT_IS_KNOWN_FOR = 20


def header(
    config: ExperimentConfig, *, run_id: str, arm_id: str, overrides: Sequence[str], hashes: Mapping[str, Any],
    data: Mapping[str, Any], device: str, threads: int,
) -> dict[str, Any]:  # fmt: skip
    """The header of one run.

    Args:
        config: the run.
        run_id: its name.
        arm_id: the name it shares with runs that differ only in the seed.
        overrides: what was typed after ``bnexp train``.
        hashes: ``init`` (layer to hash of its initial weights) and ``order``; runs are paired only if these agree.
        data: name, checksum and sizes of the splits.
        device: where it ran, in words.
        threads: CPU threads.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": run_id,
        "arm_id": arm_id,
        "command": command(overrides, int(config.execution.ddp or 1)),
        "config": computed(config),
        "hashes": hashes,
        "data": data,
        "device": device,
        "threads": threads,
        **_circumstances(),
    }


def measurement_header(*, run_id: str, claim: str, budget: str, seed: int) -> dict[str, Any]:
    """The header of a claim's own measurement."""
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": run_id,
        "command": f"bnexp reproduce {claim} budget={budget}",
        "measurement": {"claim": claim, "budget": budget, "seed": seed},
        "threads": 1,
        **_circumstances(),
    }


def _circumstances() -> dict[str, Any]:
    """When, with which versions and on what kind of machine."""
    return {
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": {"bnexp": __version__, "python": platform.python_version(), **_packages()},
        "git": _own_commit(time.monotonic() // GIT_IS_KNOWN_FOR),
        "machine": {"system": platform.system(), "processor": processor(), "cores": os.cpu_count()},
    }


@cache  # a process that writes many short runs would read the packages' descriptions again for each
def _packages() -> dict[str, str]:
    return {name: version(name) for name in _PACKAGES}


def command(overrides: Sequence[str], processes: int = 1) -> str:
    """The command that does the run again anywhere, to be pasted into a shell: without the overrides that only say where it ran.

    Args:
        overrides: what was typed.
        processes: that share the run.

    Example:
        >>> print(command(["norm=none", "train.targets=[0.5, 0.9]", "runs_dir=/tmp/x"]))
        bnexp train norm=none 'train.targets=[0.5, 0.9]'
    """
    torchrun = ["torchrun", f"--nproc-per-node={processes}", "-m"] if processes > 1 else []
    return shlex.join([*torchrun, "bnexp", "train", *(o for o in overrides if o.lstrip("+").split("=")[0] not in COSMETIC)])


@cache
def processor() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


@lru_cache(maxsize=1)
def _own_commit(asked: float) -> dict[str, Any] | None:  # noqa: ARG001 - what it is remembered by
    return git_commit(Path(__file__).parent)


def git_commit(folder: Path) -> dict[str, Any] | None:
    """Commit and cleanness of the checkout that ``folder`` is in; None for an installed package."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    try:
        commit, tracked = git("rev-parse", "HEAD"), git("ls-files", ".")
        return {"commit": commit, "clean": not git("status", "--porcelain", "--", ".")} if tracked else None
    except (OSError, subprocess.SubprocessError):
        return None
