"""What the other processes of a run with ``execution.ddp`` do, beside process 0, which has the record (``runs/run.py``)."""

from __future__ import annotations

import traceback
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from bnexp.config.schema import ExperimentConfig
from bnexp.engine import checkpoint, loop
from bnexp.engine.build import Experiment, build
from bnexp.engine.processes import any_of, joined, share_refusal, told
from bnexp.errors import UserError
from bnexp.records import paths
from bnexp.records.ended import Ended
from bnexp.runs.run import request
from bnexp.runs.stop import Stop, stoppable


def follow(config: ExperimentConfig) -> Ended:
    """Share the steps of the run that process 0 brings to its end; writes nothing, unless it breaks down: ``error.txt``.

    Raises:
        UserError: a process refuses, which process 0 tells.
        KeyboardInterrupt: the run was told to stop; with words where another process is gone from a run that trained.
    """
    refusal: UserError | None = None
    with joined(config) as config, stoppable() as stop:
        stop.share(any_of)
        try:
            experiment = build(request(config).config)
        except UserError as error:
            refusal = error
        share_refusal(refusal)
        going = told(None)
        if going is None:  # the run is complete
            return Ended(status="finished", skipped=True)
        folder, resumed_at = going
        try:
            return _train(experiment, Path(folder), resumed_at, stop)
        except Exception as error:
            with suppress(OSError):
                (Path(folder) / paths.ERROR).write_text("".join(traceback.format_exception(error)), encoding="utf-8")
            return Ended(status="failed", reason=f"{type(error).__name__}: {error}", folder=folder)


def _train(experiment: Experiment, folder: Path, resumed_at: int | None, stop: Stop) -> Ended:
    if resumed_at is not None:
        restored = checkpoint.load(folder, experiment)
        if restored is None or restored["step"] != resumed_at:
            raise FileNotFoundError(f"no checkpoint of step {resumed_at} in {folder}; all machines have to share runs_dir")
    stop.gently = True

    def save(step: int) -> None:
        if stop.at(step):
            raise KeyboardInterrupt

    return replace(loop.follow(experiment, save, resumed_at), folder=str(folder))
