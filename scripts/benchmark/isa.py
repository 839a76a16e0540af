"""Fewer instructions than the processor has, so that one machine shows what others see."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: What libraries may use at most: torch and the kernels it generates, oneDNN, MKL, XLA.
FORCED = {
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
    }
}  # fmt: skip


@contextmanager
def at_most(isa: str) -> Iterator[None]:
    """Inside, processes that are started use these instructions at most; ``native`` is all that there are.

    Generated kernels have a cache of their own, because those in the usual one may hold more.
    """
    before = dict(os.environ)
    for name, value in FORCED.get(isa, {}).items():
        os.environ[name] = f"{before['XLA_FLAGS']} {value}" if name == "XLA_FLAGS" and name in before else value
    if isa in FORCED:
        cache = Path(before.get("TORCHINDUCTOR_CACHE_DIR", Path(tempfile.gettempdir()) / "bnexp-bench-kernels"))
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(cache / isa)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
