"""What an interrupted run needs to go on as if nothing had happened.

A checkpoint holds tensors, numbers, words, lists and dicts, and torch's loader for just these reads it: nothing in it is executed,
whoever wrote it. A probe's arrays are kept as tensors.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bnexp.engine.build import Experiment
from bnexp.engine.kernels import first_line
from bnexp.records import paths
from bnexp.records.jsonfile import open_new, sync_folder

#: The one key of a dict that stands for a NumPy array, and of one that stands for a number of NumPy's, whose precision counts.
_ARRAY, _NUMBER = "numpy array", "numpy number"


class Unreadable(Exception):  # noqa: N818 - a state of the file
    """A checkpoint that is torn, empty, of another run or not ours at all."""


def save(folder: Path, experiment: Experiment, *, step: int, events_size: int, spent: dict[str, float]) -> None:
    """Write the state after ``step`` updates to a temporary name, flush it to the disk, then rename."""
    state = {
        "step": step,
        "events_size": events_size,
        "spent": spent,
        "model": experiment.model.state_dict(),
        "optimizer": experiment.optimizer.state_dict(),
        "batches": experiment.batches.state(),
        "noise": experiment.noise.get_state(),
        "augmentation": experiment.augmentation.get_state(),
        "probes": {name: probe.state() for name, probe in experiment.probes.items()},
    }
    content = io.BytesIO()  # torch's own writer tells a full disk as an error of its archive, without the disk's reason
    torch.save(_packed(state), content)
    temporary = folder / f".{paths.CHECKPOINT}.{os.getpid()}"
    with open_new(temporary) as stream:
        stream.write(content.getbuffer())
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(folder / paths.CHECKPOINT)
    sync_folder(folder)


def load(folder: Path, experiment: Experiment) -> dict[str, Any] | None:
    """Put a checkpoint's state into ``experiment``; returns its step, ``events_size`` and ``spent``, or None without one.

    Raises:
        Unreadable: the experiment may then be half restored, and has to be built again.
    """
    file = folder / paths.CHECKPOINT
    if not file.exists():
        return None
    try:
        state = _unpacked(torch.load(file, map_location="cpu", weights_only=True))
        experiment.model.load_state_dict(state["model"])
        experiment.optimizer.load_state_dict(state["optimizer"])
        experiment.batches.restore(state["batches"])
        experiment.noise.set_state(state["noise"])
        experiment.augmentation.set_state(state["augmentation"])
        for name, probe in experiment.probes.items():
            probe.restore(state["probes"][name])
        return {"step": int(state["step"]), "events_size": int(state["events_size"]), "spent": dict(state["spent"])}
    except Exception as error:  # torch raises a dozen kinds for a file that is not a checkpoint of this run
        raise Unreadable(first_line(error)) from error


def _packed(state: Any) -> Any:
    """A copy of nested state for the disk: arrays as tensors, and a view of a stack without the rest of the stack."""
    if isinstance(state, torch.Tensor):
        return state.clone()
    if isinstance(state, np.ndarray):
        return {_ARRAY: torch.from_numpy(np.array(state))}
    if isinstance(state, np.number):
        return {_NUMBER: torch.from_numpy(np.array(state))}
    if isinstance(state, np.generic):
        return state.item()
    if isinstance(state, dict):
        return {key: _packed(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(_packed(value) for value in state)
    return state


def _unpacked(state: Any) -> Any:
    """What :func:`_packed` was given."""
    if isinstance(state, dict):
        if state.keys() == {_ARRAY}:
            return state[_ARRAY].numpy()
        if state.keys() == {_NUMBER}:
            return state[_NUMBER].numpy()[()]
        return {key: _unpacked(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(_unpacked(value) for value in state)
    return state
