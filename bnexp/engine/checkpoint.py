"""What an interrupted run needs to go on as if nothing had happened."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from bnexp.engine.build import Experiment
from bnexp.records import paths


def save(folder: Path, experiment: Experiment, *, step: int, events_size: int, spent: dict[str, float]) -> None:
    """Write the state after ``step`` updates to a temporary name, then rename."""
    state = {
        "step": step,
        "events_size": events_size,
        "spent": spent,
        "model": _own(experiment.model.state_dict()),
        "optimizer": _own(experiment.optimizer.state_dict()),
        "batches": experiment.batches.state(),
        "noise": experiment.noise.get_state(),
        "augmentation": experiment.augmentation.get_state(),
        "probes": {name: probe.state() for name, probe in experiment.probes.items()},
    }
    temporary = folder / f".{paths.CHECKPOINT}.{os.getpid()}"
    torch.save(state, temporary)
    temporary.replace(folder / paths.CHECKPOINT)


def _own(state: Any) -> Any:
    """A copy of nested state: a tensor that is a view of a stack would be saved with the whole stack."""
    if isinstance(state, torch.Tensor):
        return state.clone()
    if isinstance(state, dict):
        return {key: _own(value) for key, value in state.items()}
    return [_own(value) for value in state] if isinstance(state, list) else state


def load(folder: Path, experiment: Experiment) -> dict[str, Any] | None:
    """Put a checkpoint's state into ``experiment``; returns its step, ``events_size`` and ``spent``, or None without one."""
    file = folder / paths.CHECKPOINT
    if not file.is_file():
        return None
    state = torch.load(file, map_location="cpu", weights_only=False)  # our own file; probes keep numpy arrays in it
    experiment.model.load_state_dict(state["model"])
    experiment.optimizer.load_state_dict(state["optimizer"])
    experiment.batches.restore(state["batches"])
    experiment.noise.set_state(state["noise"])
    experiment.augmentation.set_state(state["augmentation"])
    for name, probe in experiment.probes.items():
        probe.restore(state["probes"][name])
    return {key: state[key] for key in ("step", "events_size", "spent")}
