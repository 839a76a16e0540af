"""The processes that ``torchrun`` started and this one's place among them, as its environment says, and how many threads each may
have. Imports no torch.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

#: What ``torchrun`` (or another launcher with torch's names) sets, all of it.
NAMES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")

#: Threads that a process may be given; the system ends one that starts more than it has room for.
MOST_THREADS = 1024


@dataclass(frozen=True)
class Launched:
    """``rank`` counts the ``size`` processes from 0, on all machines; ``local`` those of this machine."""

    rank: int
    size: int
    local: int


def launched() -> Launched | None:
    """This process among those that were started together; None for one that was started alone."""
    numbers = [os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")]
    if not (all(os.environ.get(name) for name in NAMES) and all(number.isdecimal() for number in numbers[:2])):
        return None
    rank, size = map(int, numbers[:2])
    return Launched(rank, size, int(numbers[2]) if numbers[2].isdecimal() else rank)


def launch_command(processes: int) -> str:
    """What starts so many processes of ``bnexp train``; ``torchrun`` by its path where the shell would not find it."""
    torchrun = "torchrun" if shutil.which("torchrun") else str(Path(sys.executable).with_name("torchrun"))
    return f"{torchrun} --nproc-per-node={processes} -m bnexp train execution.ddp=true ..."
