"""``bnexp tensorboard``: TensorBoard on the runs, with all points kept, short names, and the mean of each arm first."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from pathlib import Path

from bnexp.cli.settings import Parser, as_flags
from bnexp.cli.table import program
from bnexp.cli.tensorboard_view import View
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
    parser.add_argument(
        "--runs-dir", "--logdir", type=Path, default=Path("runs"), help="the runs folder, if none is named"
    )
    parser.add_argument(
        "--port", type=int, default=6006, help="0, or one that is taken, means a free one (default: 6006)"
    )
    parser.add_argument("--bind-all", action="store_true", help="let other machines look too")
    arguments = parser.parse_args(as_flags("tensorboard", argv, ("port", "runs_dir")))
    where = [folder.expanduser() for folder in (arguments.where or [arguments.runs_dir])]
    for folder in where:
        _check(folder)
    port = _free(arguments.port, "" if arguments.bind_all else "localhost")
    view = tempfile.mkdtemp(prefix="bnexp-tensorboard-")
    means = View(Path(view), where).update()
    start = START.format(package=str(Path(__file__).parents[2]), view=view, where=[str(path) for path in where])
    command = [sys.executable, "-c", start, "--logdir", view, "--port", str(port), "--samples_per_plugin", SAMPLES]
    command += ["--bind_all"] if arguments.bind_all else []
    print(_addresses(port, means), PAGES, sep="\n\n", file=sys.stderr, flush=True)
    os.execv(sys.executable, command)


#: TensorBoard, and not what a file of its name in the working folder holds; the view is kept up to date beside it.
START = (
    "import sys; sys.path[:] = [*filter(None, sys.path), {package!r}]; from tensorboard.main import run_main; "
    "from bnexp.cli.tensorboard_view import keep; keep({view!r}, {where!r}); run_main()"
)

PAGES = """Time Series     accuracy and loss; then each layer's inputs, 15th, 50th and 85th
                percentile, before the norm, after it, at the next layer
Custom Scalars  the same, one chart a layer
Distributions   the raw histograms behind them
HParams         settings against test accuracy and steps to target"""

#: The part of a run's name before its seed, or before the mean, has one colour: 20 runs would take each colour several times.
COLOURS = "runColorGroup=regex:(.*)+[sm]"


def _addresses(port: int, means: bool) -> str:
    """What to open: the plain page, the means of the arms where there are any, and all runs; one colour an arm."""
    page = f"http://localhost:{port}/"
    series, layers = f"{page}?{COLOURS}&smoothing=0", f"{page}#custom_scalars&_smoothingWeight=0"
    if not means:
        return f"TensorBoard\n{page}\nall runs, and the inputs of each layer\n{series}\n{layers}"
    return (
        f"TensorBoard\n{page}\n"
        f"the mean of each arm, and the inputs of each layer\n{series}&runFilter=mean\n{layers}&regexInput=mean\n"
        f"all runs, in the colours of their arms\n{series}"
    )


def _check(folder: Path) -> None:
    if not folder.is_dir():
        todo = f"the folder that your runs are in, or {program()} train, which makes runs/"
        raise UserError("there is no such folder of runs", got=folder, todo=todo)
    if not any(folder.glob(f"**/{paths.TENSORBOARD}/events.*")):
        raise UserError(
            "no run below this folder has anything for TensorBoard",
            got=folder,
            todo=f"{program()} train runs_dir={folder}",
        )


def _free(port: int, host: str) -> int:
    """The port; a free one where it is 0 or somebody else listens at it, which is said."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError as error:
            raise UserError("this port may not be used", got=f"--port {port}", todo="--port 6006") from error
        except OverflowError as error:
            raise UserError("there is no such port", got=f"--port {port}", todo="--port 6006") from error
        except OSError:
            free = _free(0, host)
            print(f"port {port} is taken; using {free}, which is free", file=sys.stderr)
            return free
        return int(probe.getsockname()[1])
