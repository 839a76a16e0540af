"""Where tensors live and how many threads work on them."""

from __future__ import annotations

import os

import torch
from torch import nn

from bnexp.errors import UserError


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
    launcher sets ``BNEXP_THREADS`` so that its jobs do not fight for cores.
    """
    if threads is None:
        inherited = os.environ.get("BNEXP_THREADS")
        threads = int(inherited) if inherited else (os.cpu_count() or 1 if is_convolutional(model) else 1)
    torch.set_num_threads(threads)
    return threads
