"""The weights that a run keeps when ``train.keep`` says so: one safetensors file with every parameter and buffer of the net."""

from __future__ import annotations

import json
import os
from pathlib import Path

from torch import nn

from bnexp.engine.build import Experiment
from bnexp.records import paths
from bnexp.records.jsonfile import open_new, sync_folder
from bnexp.records.reader import RunRecord
from bnexp.records.writer import recorded


class Unfit(Exception):  # noqa: N818 - a state of the file
    """A file of weights that is torn or of another net."""


def save_weights(model: nn.Module, folder: Path, step: int) -> None:
    """Write ``weights.safetensors``, which knows its step, to a temporary name, flush it to the disk, then rename."""
    from safetensors.torch import save  # here, because most runs keep none

    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in model.state_dict().items()}
    temporary = folder / f".{paths.WEIGHTS}.{os.getpid()}"
    content = _in_order(save(tensors, metadata={"format": "pt", "step": str(step)}))
    with open_new(temporary) as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(folder / paths.WEIGHTS)
    sync_folder(folder)


def _in_order(content: bytes) -> bytes:
    """The same safetensors file with its metadata sorted: safetensors writes them in an order that differs from call to call.

    Source: https://github.com/huggingface/safetensors#format, 8 bytes of length (little-endian), a header in JSON, the tensors.
    """
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode().ljust(size)
    return content[:8] + text + content[8 + size :]


def load_weights(model: nn.Module, folder: Path) -> int:
    """Put a run's kept weights into ``model``; returns the step after which they were taken.

    Raises:
        FileNotFoundError: the run kept none.
        Unfit: the file is torn, or of another net.
    """
    from safetensors import SafetensorError, safe_open

    file = folder / paths.WEIGHTS
    if not file.is_file():
        raise FileNotFoundError(file)
    try:
        with safe_open(file, framework="pt", device="cpu") as stored:
            model.load_state_dict({name: stored.get_tensor(name) for name in stored.keys()})  # noqa: SIM118 - no mapping
            return int((stored.metadata() or {})["step"])
    except (SafetensorError, RuntimeError, KeyError, ValueError, OSError) as error:
        raise Unfit(str(error).splitlines()[0]) from error


class Keeper:
    """Decides after which steps a run's weights are written, and writes them.

    With ``best``, after each evaluation whose validation accuracy is above all before; what a run that was interrupted wrote after
    its checkpoint it writes again, to the same bits. With ``last``, after the last step. With ``none``, never.

    Args:
        experiment: the run; what is on record of it has been seen.
        folder: the run's.

    Attributes:
        step: after which the weights on disk were taken, or None.
    """

    def __init__(self, experiment: Experiment, folder: Path) -> None:
        self._model, self._folder, self._keep = experiment.model, folder, experiment.config.train.keep
        self._best = -1.0
        self.step: int | None = None
        if self._keep == "best":
            for event in RunRecord(folder).events():
                if event["name"] == "val/accuracy":
                    self._is_best(event["step"], event["value"])

    def evaluated(self, step: int, accuracy: float) -> None:
        """The validation accuracy after ``step`` updates is known."""
        if self._keep == "best" and self._is_best(step, recorded(accuracy)):
            save_weights(self._model, self._folder, step)

    def ended(self, step: int) -> None:
        """The run has finished after ``step`` updates."""
        if self._keep == "last":
            save_weights(self._model, self._folder, step)
            self.step = step

    def _is_best(self, step: int, accuracy: float) -> bool:
        if accuracy <= self._best:
            return False
        self._best, self.step = accuracy, step
        return True
