"""The machine a benchmark ran on, in words, and what a default run takes of it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmark.contest import RSS_UNIT
from bnexp.errors import UserError
from bnexp.records.header import git_commit, processor

PACKAGES = ("bnexp", "torch", "torchvision", "numpy", "pillow", "lightning", "jax")

# In a process of its own: the parent of measured processes stays small, because they start as large as it is.
ASK_TORCH = """\
import json, torch
gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
print(json.dumps({"threads": torch.get_num_threads(), "capability": torch.backends.cpu.get_cpu_capability(), "gpu": gpu}))
"""


def describe() -> dict[str, Any]:
    """Processor, cores, threads, versions, and how busy the machine is at this moment."""
    asked = subprocess.run([sys.executable, "-c", ASK_TORCH], capture_output=True, text=True, check=True)
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "system": platform.system(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "git": git_commit(Path(__file__).parent),
        **json.loads(asked.stdout),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def default_run() -> dict[str, float]:
    """Wall-clock seconds and largest resident set, in bytes, of ``bnexp train`` as it comes.

    Raises:
        UserError: the run failed.
    """
    with tempfile.TemporaryDirectory(prefix="bnexp-bench-") as folder:
        start = time.perf_counter()
        command = [sys.executable, "-m", "bnexp", "train", f"runs_dir={folder}"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise UserError("bnexp train does not run here", got=f"exit code {process.returncode}", todo="bnexp doctor")
    return {"seconds": time.perf_counter() - start, "memory": usage.ru_maxrss * RSS_UNIT}
