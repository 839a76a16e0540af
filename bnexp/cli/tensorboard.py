"""``bnexp tensorboard``: TensorBoard on the runs, with all points kept and the wanted runs under readable names."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from pathlib import Path

from bnexp.cli.settings import Parser, as_flags
from bnexp.cli.table import program
from bnexp.errors import UserError
from bnexp.records import paths

#: TensorBoard's own default keeps a random 1,000 scalars and 50 histograms a tag.
SAMPLES = "scalars=5000,histograms=500,images=100"


def main(argv: list[str]) -> int:
    """Start TensorBoard in this process; Ctrl-C ends it."""
    parser = Parser(
        "bnexp tensorboard", description="TensorBoard on a runs folder, or on chosen runs only.", allow_abbrev=False
    )
    parser.add_argument("where", nargs="*", type=Path, help="a runs folder, or run folders (default: runs)")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), help="the runs folder, if none is named")
    parser.add_argument(
        "--port", type=int, default=6006, help="0, or one that is taken, means a free one (default: 6006)"
    )
    parser.add_argument("--bind-all", action="store_true", help="let other machines look too")
    arguments = parser.parse_args(as_flags("tensorboard", argv, ("port", "runs_dir")))
    where = [folder.expanduser() for folder in (arguments.where or [arguments.runs_dir])]
    for folder in where:
        _check(folder)
    alone = len(where) == 1 and not (where[0] / paths.HEADER).exists()
    port = _free(arguments.port, "" if arguments.bind_all else "localhost")
    command = [sys.executable, "-c", START, "--logdir", str(where[0] if alone else _gather(where)), "--port", str(port)]
    command += ["--samples_per_plugin", SAMPLES, *(["--bind_all"] if arguments.bind_all else [])]
    print(PAGES, file=sys.stderr, flush=True)
    os.execv(sys.executable, command)


#: TensorBoard, and not what a file of its name in the working folder holds.
START = "import sys; sys.path[:] = filter(None, sys.path); from tensorboard.main import run_main; run_main()"

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


def _free(port: int, host: str) -> int:
    """The port, or 0 (any free one) where somebody else listens at it, which is said."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError as error:
            raise UserError("this port may not be used", got=f"--port {port}", todo="--port 6006") from error
        except OverflowError as error:
            raise UserError("there is no such port", got=f"--port {port}", todo="--port 6006") from error
        except OSError:
            print(f"port {port} is taken; using a free one", file=sys.stderr)
            return 0
    return port


def _gather(folders: list[Path]) -> Path:
    """A temporary folder with a link to each run, for TensorBoard takes a single folder; equal names get more of their paths."""
    gathered = Path(tempfile.mkdtemp(prefix="bnexp-tensorboard-"))
    targets = list(dict.fromkeys(folder.resolve() for folder in folders))
    for target in targets:
        parts = 1
        while any(other != target and other.parts[-parts:] == target.parts[-parts:] for other in targets):
            parts += 1
        link = gathered.joinpath(*target.parts[-parts:]) if parts < len(target.parts) else gathered / str(target)[1:]
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
    return gathered
