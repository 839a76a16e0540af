"""``bnexp demo``: the story in one command: two networks, without and with BN, trained side by side and looked at."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import fill

from bnexp.cli.look import show, write
from bnexp.cli.main import DONE, SOME_FAILED
from bnexp.cli.settings import Parser, as_flags
from bnexp.cli.table import columns, program
from bnexp.text import WIDTH

#: What is trained: the embedded digits at a rate that is small for a network without BN, so that both learn and one takes long.
#: The command is that of two ordinary runs, which ``bnexp train`` then finds complete.
RUNS = ("norm=none,batch", "optimizer.lr=0.03")

#: Processes: one a run.
NUM_PROCESSES = 2


def main(argv: list[str]) -> int:
    """Train what is missing, draw, say in three lines what there is to see, open the page."""
    parser = Parser(
        "bnexp demo",
        usage="bnexp demo [runs_dir=DIR] [--no-open] [--json]",
        description="Half a minute: a network without BN beside one with it, on 5,000 real digits at a small "
        "learning rate, and a page that shows what their layers received.",
        epilog=f"It is the same as: bnexp train {' '.join(RUNS)}, then bnexp look --open.",
        allow_abbrev=False,
    )
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), help="where the runs are kept (default: runs)")
    parser.add_argument("--no-open", action="store_true", help="do not open the page")
    parser.add_argument("--json", action="store_true", help="for machines")
    arguments = parser.parse_args(as_flags("demo", argv, ("runs_dir",)))
    runs_dir = arguments.runs_dir.expanduser()

    from bnexp.config.compose import combinations, expand
    from bnexp.look.choose import in_order
    from bnexp.look.tracks import read_scene
    from bnexp.runs.sweep import sweep

    words = [*RUNS, f"runs_dir={json.dumps(str(runs_dir))}", f"execution.jobs={NUM_PROCESSES}"]
    ended = sweep(expand(words, None), [list(one) for one in combinations(words, None)], words)
    if failed := [one for one in ended if not one.complete]:
        print("\n".join(f"{one.status}: {' '.join(one.overrides)}: {one.reason}" for one in failed))
        return SOME_FAILED
    scene = read_scene(in_order([one.record for one in ended]))
    files = write(scene, runs_dir / "look", "post_norm", stills=False)
    last = scene.layers[-1]
    lines = [scene.sentence, *(scene.runs[index].places[last, "post_norm"].tracks_sentence for index in scene.columns)]
    if arguments.json:
        print(json.dumps({"runs": [one.folder for one in ended], "sentences": lines, **files}))
    else:
        print("\n".join(fill(line, WIDTH) for line in lines))
        print(
            columns(
                [["page", files["page"]], ["more", f"{program()} look, {program()} tensorboard {runs_dir}"]],
                indent="  ",
            )
        )
    if not arguments.no_open:
        show(Path(files["page"]))
    return DONE
