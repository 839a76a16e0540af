"""``bnexp look``: what every layer received through training, as a page, stills and an animation; imports no torch."""

from __future__ import annotations

import json
import os
import sys
import webbrowser
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from bnexp.cli.main import DONE
from bnexp.cli.report import own_folder, told_if_unwritable
from bnexp.cli.settings import Parser, as_flags
from bnexp.cli.table import columns, program
from bnexp.errors import UserError, nearest
from bnexp.text import WIDTH

if TYPE_CHECKING:
    from bnexp.look.tracks import Scene

#: Settings that may be given with = as well; other words with = pick runs by a value of their config.
SETTINGS = ("runs_dir", "out", "point")

#: Where a layer may be looked at.
POINTS = ("pre_norm", "post_norm", "next_input")


def main(argv: list[str]) -> int:
    """Choose the runs, write page and stills, say where they are."""
    own = [word for word in argv if "=" not in word or word.startswith("-") or word.split("=")[0] in SETTINGS]
    values = [word for word in argv if word not in own]
    arguments = _parser().parse_intermixed_args(as_flags("look", own, SETTINGS))
    if arguments.point not in POINTS:
        guess = nearest(arguments.point, POINTS) or POINTS[1]
        todo = f"point={guess} (known: {', '.join(POINTS)})"
        raise UserError("a layer cannot be looked at there", got=f"point={arguments.point}", todo=todo)
    runs_dir = arguments.runs_dir.expanduser()

    from bnexp.look.choose import choose, fewer
    from bnexp.look.tracks import read_scene

    meant = choose([*arguments.words, *values], runs_dir)
    runs = fewer(meant)
    if len(runs) < len(meant):
        print(
            f"{len(meant):,} runs are meant, {len(runs)} of them are drawn; narrow down: norm=none,batch seed=0",
            file=sys.stderr,
        )
    scene = read_scene(runs)
    if arguments.point not in scene.points:
        todo = f"point={scene.points[0]}" if scene.points else f"{program()} train probes=light"
        raise UserError("these records keep nothing of this point", got=f"point={arguments.point}", todo=todo)
    out = arguments.out.expanduser() if arguments.out else own_folder(runs[0].folder.parent / "look")
    files = write(scene, out, arguments.point, gif=arguments.gif, stills=not arguments.page_only)
    if arguments.json:
        print(json.dumps({"runs": [str(run.folder) for run in runs], "sentence": scene.sentence, "files": files}))
    else:
        arms = ", ".join(scene.runs[index].label for index in scene.columns)
        told = [
            ["runs", f"{len(runs)}: {arms if len(arms) < 60 else f'{len(scene.columns)} arms'}"],
            *map(list, files.items()),
        ]
        print(f"{fill(scene.sentence, WIDTH)}\n{columns(told, indent='  ')}")
    if arguments.open:
        show(Path(files["page"]))
    return DONE


def write(scene: Scene, out: Path, point: str, *, gif: bool = False, stills: bool = True) -> dict[str, str]:
    """Write what was asked for; returns what each file is called to where it is."""
    from bnexp.look.page import write_page

    with told_if_unwritable(out, "out=FOLDER, one you may write to"):
        files = {"page": str(write_page(scene, out, point))}
        if stills:
            from bnexp.look.stills import write_stills

            files |= {file.suffix[1:]: str(file) for file in write_stills(scene, out, point)}
        if gif:
            from bnexp.look.stills import write_gif

            files["gif"] = str(write_gif(scene, out / "look.gif", point))
    return files


def show(page: Path) -> None:
    """Open the page in a browser; where there is none, say how to see it."""
    address = page.resolve().as_uri()
    screen = sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )
    try:
        opened = screen and webbrowser.open(address)
    except (webbrowser.Error, OSError):
        opened = False
    if not opened:
        print(f"no browser here; open it yourself: {address}", file=sys.stderr)


def _parser() -> Parser:
    parser = Parser(
        "bnexp look",
        usage="bnexp look [RUN ...] [ARM ...] [runs_dir=DIR] [out=DIR] [point=POINT] [--open] [--gif] [--page-only] [--json]",
        description="What each hidden layer receives through training, arms side by side: a page that needs no network, and "
        "stills for slides (SVG, PNG, PDF).",
        epilog="RUN is a run's folder, its name or the beginning of names; ARM is a norm (none) or values of the config "
        "(norm=none,batch optimizer.lr=0.1 seed=0). Without either: the newest run and those that "
        "differ from it in norm and seed only. "
        "A folder of runs or what bnexp export wrote may stand for runs_dir=.",
        allow_abbrev=False,
    )
    parser.add_argument("words", nargs="*", metavar="RUN|ARM", help="which runs (default: the newest comparison)")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), help="where the runs are (default: runs)")
    parser.add_argument("--out", type=Path, help="the folder of page and stills (default: look in the runs folder)")
    parser.add_argument("--point", default="post_norm", help=f"{', '.join(POINTS)} (default: post_norm)")
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    parser.add_argument("--gif", action="store_true", help="an animation too, look.gif (some seconds)")
    parser.add_argument("--page-only", action="store_true", help="no stills")
    parser.add_argument("--json", action="store_true", help="for machines")
    return parser
