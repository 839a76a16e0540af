"""Where and how a network is computed: device, layout in memory, threads, precision.

bf16 is what torch calls autocast: convolutions and matrix products round their inputs to bfloat16 (8 bits of mantissa instead of
24); weights, gradients of weights, the optimiser and the loss stay float32, and so do the statistics of every norm.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from bnexp.config.schema import ExperimentConfig
from bnexp.errors import UserError
from bnexp.models.blocks import NormAct

#: Words of ``torch.cpu.get_capabilities`` that stand for bfloat16 arithmetic: x86 with and without tiles, ARM with and without SVE.
_NATIVE = ("amx_bf16", "avx512_bf16", "bf16", "sve_bf16")

#: Numbers of malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3

#: Bytes: the largest piece that glibc takes from memory of its own, and how much of that is asked for in huge pages; none of it is
#: used before a net needs it.
_LARGEST, _AHEAD = 2**25, 2**30


def pick_device(name: str) -> torch.device:
    """``auto`` (a GPU if there is one), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        UserError: a GPU was asked for and there is none, or not that many.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda"):
        if not torch.cuda.is_available():
            raise UserError("there is no CUDA device that torch can use", got=f"device={name}", todo="device=cpu")
        number = name.partition(":")[2] or "0"
        if not number.isdigit() or int(number) >= torch.cuda.device_count():
            raise UserError(
                f"there are {torch.cuda.device_count()} CUDA devices, numbered from 0",
                got=f"device={name}",
                todo="device=cuda:0",
            )
    elif name != "cpu":
        raise UserError("only CUDA devices are numbered", got=f"device={name}", todo="device=cpu")
    return torch.device(name)


def is_convolutional(model: nn.Module) -> bool:
    """Whether any layer of ``model`` is a convolution over images."""
    return any(isinstance(module, nn.Conv2d) for module in model.modules())


def memory_format(model: nn.Module) -> torch.memory_format:
    """How ``[N, C, H, W]`` lies in memory: channels last for a convolutional net, which is faster; else as it is.

    It decides the order of sums, so the last digits of rounding, and nothing else.
    """
    return torch.channels_last if is_convolutional(model) else torch.preserve_format


def use_threads(threads: int | None, model: nn.Module) -> int:
    """Set torch's CPU threads and return the number: as asked, else 1 for a net without convolutions, else all cores.

    A fully connected net of a few hundred units gains nothing from a second thread, and sums in another order. A parallel
    launcher sets ``BNEXP_THREADS`` so that its jobs do not fight for cores; the processes of ``torchrun`` share them.
    """
    inherited = os.environ.get("BNEXP_THREADS")
    if threads is None and inherited:
        threads = int(inherited)
    elif threads is None and is_convolutional(model):
        from joblib import cpu_count  # which knows of taskset and of a container's share of the cores

        threads = max(1, cpu_count() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    threads = threads or 1
    torch.set_num_threads(threads)
    return threads


@cache
def keep_memory() -> None:
    """Let this process keep the memory that it frees, where it is glibc's to give back, and have the next of it in huge pages.

    By itself glibc hands large pieces back and gets them again page by page, in about half of all processes at every step: a
    convolutional net's compiled step then takes 65 ms instead of 45. And where each 4 KB have a page of their own, finding it
    takes 2 to 6 % of that step: pages of 2 MB are asked for. Its peak stays what it was, but for what is left of the last page.

    Source: mallopt(3), madvise(2).
    """
    libc: Any = ctypes.CDLL(None) if sys.platform == "linux" else None
    if not hasattr(libc, "mallopt"):  # which other C libraries lack
        return
    for parameter, value in ((_MMAP_THRESHOLD, _LARGEST), (_TRIM_THRESHOLD, 2**31 - 1)):  # the most that each may be
        libc.mallopt(parameter, value)
    libc.malloc.restype = ctypes.c_void_p
    size = _LARGEST - mmap.PAGESIZE
    pieces = [piece for _ in range(_AHEAD // size) if (piece := libc.malloc(ctypes.c_size_t(size)))]
    for piece in pieces:
        whole = -(-piece // mmap.PAGESIZE) * mmap.PAGESIZE
        libc.madvise(ctypes.c_void_p(whole), ctypes.c_size_t(size), mmap.MADV_HUGEPAGE)
    for piece in pieces:
        libc.free(ctypes.c_void_p(piece))


def set_precision(config: ExperimentConfig, model: nn.Module, device: torch.device) -> ExperimentConfig:
    """Let ``model`` compute as ``execution.precision`` says; returns the config with fp32 or bf16 in place of ``auto``."""
    precision = settle_precision(config.execution.precision, model, device)
    if device.type == "cuda":  # where torch lets convolutions round their inputs to 10 bits (TF32) unless told not to
        torch.backends.cudnn.allow_tf32 = False
    if precision == "bf16":
        compute_in_bf16(model, device)
    return replace(config, execution=replace(config.execution, precision=precision))


def settle_precision(wanted: str, model: nn.Module, device: torch.device) -> str:
    """``fp32`` or ``bf16``: what was asked for; for ``auto`` bf16 where the net has convolutions and the processor bfloat16.

    bf16 asked for where it is only emulated is used all the same, with a line of warning.
    """
    native = has_native_bf16(device)
    if wanted == "auto":
        return "bf16" if native and is_convolutional(model) else "fp32"
    if wanted == "bf16" and not native:
        reason = "this processor has no bfloat16 arithmetic that torch knows of and emulates it"
        print(f"execution.precision=bf16 may be slower than fp32: {reason}", file=sys.stderr)
    return wanted


def has_native_bf16(device: torch.device) -> bool:
    """Whether ``device`` has instructions for bfloat16; False where this torch cannot tell."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    known = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(known.get(word) for word in _NATIVE)


def compute_in_bf16(model: nn.Module, device: torch.device) -> None:
    """From now on ``model(x)`` is computed under autocast and gives float32 logits, whoever calls it, a copy of it included.

    torch's own norms keep their statistics in float32 whatever they are given. Every other norm, ours and those of plugins, is
    computed in float32 as a whole: autocast would hand it bfloat16, and it would round its statistics to that.
    """
    for site in model.modules():
        if isinstance(site, NormAct) and not type(site.norm).__module__.startswith("torch."):
            _override_forward(site.norm, device, bf16=False)
    _override_forward(model, device, bf16=True)


def _override_forward(module: nn.Module, device: torch.device, *, bf16: bool) -> None:
    """Give ``module`` a class of its own, because a function put on the instance would be shared by its copies."""
    kind = type(module)

    def forward(self: nn.Module, x: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            y: Tensor = kind.forward(self, x.float())
        return y.float()

    module.__class__ = type(kind.__name__, (kind,), {"forward": forward, "computes_in_bf16": bf16})
