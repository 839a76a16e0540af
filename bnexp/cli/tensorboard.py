"""``bnexp tensorboard``: TensorBoard on the runs, with all points kept and the wanted runs under readable names."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from bnexp.cli.table import program
from bnexp.errors import UserError
from bnexp.records import paths

#: TensorBoard's own default keeps a random 1,000 scalars and 50 histograms a tag.
SAMPLES = "scalars=5000,histograms=500,images=100"


def main(argv: list[str]) -> int:
    """Start TensorBoard in this process; Ctrl-C ends it."""
    parser = argparse.ArgumentParser(
        "bnexp tensorboard", description="TensorBoard on a runs folder, or on chosen runs only.", allow_abbrev=False
    )
    parser.add_argument(
        "where", nargs="*", type=Path, default=[Path("runs")], help="a runs folder, or run folders (default: runs)"
    )
    parser.add_argument("--port", type=int, default=6006, help="0 takes a free one (default: 6006)")
    parser.add_argument("--bind-all", action="store_true", help="let other machines look too")
    arguments = parser.parse_args(argv)
    for folder in arguments.where:
        _check(folder)
    logdir = arguments.where[0] if len(arguments.where) == 1 else _gather(arguments.where)
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logdir), "--port", str(arguments.port)]
    command += ["--samples_per_plugin", SAMPLES, *(["--bind_all"] if arguments.bind_all else [])]
    print(PAGES, file=sys.stderr, flush=True)
    os.execv(sys.executable, command)


PAGES = """Time Series / Scalars   loss, accuracy; layer_inputs/<where>/<layer>/p15, p50, p85 of two runs overlay
Custom Scalars          each layer's inputs as median with its 15-85 % band
Distributions           the raw histograms behind them
HParams                 settings against final accuracy"""


def _check(folder: Path) -> None:
    if not folder.is_dir():
        raise UserError("there is no such folder of runs", got=folder, todo=f"{program()} train, which makes runs/")
    if not any(folder.glob(f"**/{paths.TENSORBOARD}/events.*")):
        raise UserError(
            "no run below this folder has anything for TensorBoard",
            got=folder,
            todo=f"{program()} train runs_dir={folder}",
        )


def _gather(folders: list[Path]) -> Path:
    """A temporary folder of links, one a run, for TensorBoard takes a single folder."""
    gathered = Path(tempfile.mkdtemp(prefix="bnexp-tensorboard-"))
    for folder in folders:
        (gathered / folder.resolve().name).symlink_to(folder.resolve())
    return gathered
