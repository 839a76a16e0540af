#!/usr/bin/env python3
"""README's recipes, carried out on the embedded digits, each with the picture and the sentence that came out.

    python scripts/gallery.py              runs the recipes (about five minutes on two cores), writes docs/gallery.md, docs/gallery/
    python scripts/gallery.py --runs DIR   keeps the runs there; complete ones are not trained again

Recipes come from README's table; what is added here are shorter trainings and the kind of picture.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np

from bnexp.compare import Question, compare
from bnexp.compare.advice import advice
from bnexp.compare.arms import Arm
from bnexp.compare.measures import reached, value
from bnexp.compare.table import Block
from bnexp.errors import UserError
from bnexp.figures.style import COLORS, SETTINGS
from bnexp.look.stills import draw
from bnexp.look.tracks import read_scene
from bnexp.records.reader import RunRecord, find_runs
from bnexp.stats.intervals import number_words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]

#: Of one picture and of all of them, in bytes.
MOST_BYTES, MOST_BYTES_IN_ALL = 40_000, 600_000

#: Arms in the order in which they are drawn: Okabe & Ito's palette, with lines that differ too.
PALETTE = (COLORS["batch"], COLORS["none"], "#009E73", "#CC79A7", "#000000")
STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1)))

SHORT = "train.steps=1000"

#: Settings that the records of a run at their default leave out.
DEFAULTS = {"norm.freeze_after": "null", "train.accumulate_statistics": "micro"}


@dataclass(frozen=True)
class Entry:
    """A recipe as it is carried out.

    Attributes:
        picture: makes the figure from the runs.
        words: added to README's command, mostly to shorten the training.
        more: a sentence computed from the runs that says what the picture shows beside accuracy.
    """

    picture: Callable[[Block], Figure]
    words: str = ""
    more: Callable[[Block], str] | None = None


def main(argv: Sequence[str]) -> int:
    """Run the recipes, draw, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, help="folder for the runs, one for each recipe (default: a temporary one)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="where gallery.md and gallery/ are written")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        gallery(arguments.runs or Path(temporary), arguments.out)
    return 0


def gallery(runs: Path, out: Path) -> None:
    """Everything: ``runs/NUMBER/runs`` holds the runs of a recipe, ``out`` receives ``gallery.md`` and ``gallery/``."""
    known, parts, size = recipes(), [], 0
    for number, entry in ENTRIES.items():
        what, command = known[number]
        command = f"{command} {entry.words}".strip()
        folder = runs / f"{number:02}"
        folder.mkdir(parents=True, exist_ok=True)
        print(f"{number}: {command}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", *shlex.split(command)], cwd=folder, check=True, capture_output=True)
        block = the_block(find_runs(folder / "runs"))
        file = out / "gallery" / f"{number:02}.png"
        size += save_small(entry.picture, block, file)
        told = fill(" ".join([sentence(block), *([entry.more(block)] if entry.more else [])]), 128)
        title = what[0].upper() + what[1:]
        parts.append(f"## {number}. {title}\n\n```sh\n{command}\n```\n\n![{title}](gallery/{file.name})\n\n{told}\n")
    if size > MOST_BYTES_IN_ALL:
        raise ValueError(f"the pictures take {size:,} bytes, more than {MOST_BYTES_IN_ALL:,}")
    (out / "gallery.md").write_text("\n".join([HEAD, *parts, left_out(known)]), encoding="utf-8")


def recipes() -> dict[int, tuple[str, str]]:
    """README's table: number to what a recipe is and its command."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("## Recipes")[1]
    rows = re.findall(r"^\| (\d+) \| (.+?) \| `(bnexp train [^`]+)` \|$", text, re.MULTILINE)
    return {int(number): (what, command) for number, what, command in rows}


def the_block(records: Sequence[RunRecord]) -> Block:
    """The arms of one recipe, all beside each other."""
    blocks = compare(records, Question()).blocks
    if len(blocks) != 1:
        raise UserError("a recipe's arms fall into groups", got=f"{len(blocks)} groups", todo="an empty --runs folder")
    return blocks[0]


def sentence(block: Block) -> str:
    """Test accuracy of every arm, and how long it took to 90 %, in words; of many arms the first and the last."""
    arms = sorted(block.arms, key=lambda arm: -mean_test(block, arm))
    steps = {run.record.end["step"] for run in block.runs}
    after = f"after {steps.pop():,} steps" if len(steps) == 1 else "at the end"
    shown = arms if len(arms) <= 3 else [arms[0], arms[-1]]
    rest = "" if len(shown) == len(arms) else f" (best and worst of {len(arms)})"
    read = ", ".join(f"{label(block, arm)} {mean_test(block, arm):.1f} %" for arm in shown)
    times = ", ".join(f"{label(block, arm)} {steps_to(arm, 0.9)}" for arm in shown)
    num_seeds = max(len(arm.runs) for arm in arms)
    seeds = f"Means of {num_seeds} seeds" if num_seeds > 1 else "One seed"
    return f"Test accuracy {after}{rest}: {read}. Steps to 90 % on the validation digits: {times}. {seeds}."


def mean_test(block: Block, arm: Arm) -> float:
    """Mean test accuracy of an arm in %."""
    return float(np.mean([value(run, block.measures["test"]) or 0.0 for run in arm.runs.values()]))


def steps_to(arm: Arm, target: float) -> str:
    """Mean number of steps to an accuracy; a lower bound where a run did not arrive."""
    took = [one for run in arm.runs.values() if (one := reached(run, target))]
    mean = np.mean([one.steps for one in took])
    return f"{mean:,.0f}" if all(one.observed for one in took) else f"more than {mean:,.0f}"


def label(block: Block, arm: Arm) -> str:
    """What an arm is called: its settings without the names of their groups; defaults, which records leave out, by their value."""
    words = []
    for part in arm.label(block.keys).split():
        key, _, word = part.partition("=")
        words.append(f"{key.rpartition('.')[2]}={DEFAULTS[key] if word == 'default' else word}")
    return " ".join(words)


def sheet(width: float = 5.2, height: float = 2.7, columns: int = 1) -> tuple[Figure, np.ndarray]:
    """An empty figure, and its axes in a row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    return figure, figure.subplots(1, columns, squeeze=False)[0]


def curves(block: Block) -> Figure:
    """Validation accuracy of every arm over the steps."""
    figure, (ax,) = sheet()
    for arm, ink, style in zip(in_order(block), PALETTE, STYLES, strict=len(block.arms) > len(PALETTE)):
        for number, run in enumerate(arm.runs.values()):
            steps, values = np.array(run.curve.steps[1:]), np.array(run.curve.values[1:], float)
            ax.plot(steps, 100 * values, color=ink, linestyle=style, label="" if number else label(block, arm),
                    linewidth=1.4 if len(arm.runs) == 1 else 0.9)  # fmt: skip
    ax.set_xscale("log")
    ax.set(xlabel="training steps (log scale)", ylabel="validation accuracy, %", ylim=(None, 100))
    ax.legend(loc="lower right", fontsize=8)
    return figure


def in_order(block: Block) -> list[Arm]:
    """BN first and the plain net second, so that both have their colours on every picture; the others as compared."""
    rank = {"batch": 0, "none": 1}
    return sorted(block.arms, key=lambda arm: rank.get(next(iter(arm.runs.values())).settings["norm"], 2))


def over_rates(block: Block) -> Figure:
    """Test accuracy against the learning rate, a line a norm."""
    figure, (ax,) = sheet()
    for norm, style in (("batch", "-o"), ("none", "--s")):
        arms = sorted((a for a in block.arms if a.settings["norm"] == norm), key=lambda a: a.settings["optimizer.lr"])
        rates = [arm.settings["optimizer.lr"] for arm in arms]
        ax.plot(rates, [mean_test(block, arm) for arm in arms], style, color=COLORS[norm], label=f"norm={norm}", markersize=4)
    ax.set_xscale("log")
    ax.set_xticks(rates, [f"{rate:g}" for rate in rates])
    ax.set_xticks([], minor=True)
    ax.set(xlabel="learning rate", ylabel="test accuracy, %")
    ax.legend(loc="lower left")
    return figure


def over_batch_sizes(block: Block) -> Figure:
    """Test accuracy of every run against its batch size, with the means."""
    figure, (ax,) = sheet()
    arms = sorted(block.arms, key=lambda arm: arm.settings["train.batch_size"])
    sizes = [arm.settings["train.batch_size"] for arm in arms]
    for size, arm in zip(sizes, arms, strict=True):
        points = [value(run, block.measures["test"]) for run in arm.runs.values()]
        ax.plot([size] * len(points), points, "o", color=COLORS["batch"], markersize=4)
    ax.plot(sizes, [mean_test(block, arm) for arm in arms], color=COLORS["batch"], label="mean of the seeds")
    ax.set_xscale("log")
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.set_xticks([], minor=True)
    ax.set(xlabel="batch size, at equal examples", ylabel="test accuracy, %")
    ax.legend(loc="lower right")
    return figure


def dots(block: Block) -> Figure:
    """Test accuracy of many arms, best at the top."""
    arms = sorted(block.arms, key=lambda arm: mean_test(block, arm))
    figure, (ax,) = sheet(height=0.22 * len(arms) + 0.7)
    for place, arm in enumerate(arms):
        norm = str(arm.settings["norm"])
        ax.plot(mean_test(block, arm), place, "o", color=COLORS.get(norm, "#666666"))
    ax.set_yticks(range(len(arms)), [label(block, arm) for arm in arms])
    ax.set(xlabel="test accuracy, %")
    return figure


def last_layer(block: Block) -> Figure:
    """What units of the last layer received, a column an arm, as ``bnexp look`` draws it."""
    scene = read_scene([run.record for arm in in_order(block) for run in list(arm.runs.values())[:1]])
    return draw(scene, "pre_norm", rows=[len(scene.layers) - 1])


def layers_sentence(block: Block) -> str:
    """What ``bnexp look`` says of the last layer of each arm."""
    scene = read_scene([run.record for arm in in_order(block) for run in list(arm.runs.values())[:1]])
    return " ".join(run.places[scene.layers[-1], "pre_norm"].tracks_sentence for run in scene.runs)


def shifted(block: Block) -> dict[str, dict[str, float]]:
    """Arm to kind of picture to accuracy in %, read by the statistics of training."""
    found = {}
    for arm in in_order(block):
        arrays = next(iter(arm.runs.values())).record.arrays("shift")
        names = [name.removesuffix("/training") for name in arrays if name.endswith("/training")]
        found[label(block, arm)] = {name: 100 * float(arrays[f"{name}/training"]) for name in names}
    return found


def shifts(block: Block) -> Figure:
    """Accuracy on every kind of picture, a mark an arm."""
    figure, (ax,) = sheet()
    for place, (name, by_kind) in enumerate(shifted(block).items()):
        spots = np.arange(len(by_kind)) + 0.2 * (place - 1)
        ax.bar(spots, list(by_kind.values()), width=0.19, color=PALETTE[place], label=name)
    ax.set_xticks(range(len(by_kind)), list(by_kind))
    ax.set(ylabel="accuracy, %", ylim=(0, 100))
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0, fontsize=8)
    return figure


def shifts_sentence(block: Block) -> str:
    """How much every arm loses on coloured digits."""
    lost = ", ".join(f"{name} {one['clean'] - one['colour']:.1f}" for name, one in shifted(block).items())
    return f"Points lost from black digits to coloured ones: {lost}."


def by_layer(block: Block, probe: str, what: str, look: int) -> Mapping[str, np.ndarray]:
    """A probe's number in every hidden layer at one look: arm to ``[L]``, first layer first."""
    found = {}
    for arm in in_order(block):
        arrays = next(iter(arm.runs.values())).record.arrays(probe)
        names = sorted((n for n in arrays if n.startswith(f"{what}/hidden")), key=lambda n: int(n.rpartition("hidden")[2]))
        found[label(block, arm)] = np.array([arrays[name][look] for name in names])
    return found


def gradients_and_saturation(block: Block) -> Figure:
    """Norm of the gradient at the first look, and share of saturated values at the last, layer by layer."""
    figure, (left, right) = sheet(width=7.0, columns=2)
    panels = (
        (left, by_layer(block, "gradients", "gradient_norm", 0), "gradient at the first step", "norm, nats per unit of weight"),
        (right, by_layer(block, "saturation", "saturated", -1), "saturated at the end", "share of the values"),
    )
    for ax, found, title, words in panels:
        for (name, values), ink, style in zip(found.items(), PALETTE, STYLES, strict=False):
            ax.plot(np.arange(1, len(values) + 1), values, color=ink, linestyle=style, marker="o", markersize=3, label=name)
        ax.set(title=title, xlabel="hidden layer", ylabel=words)
    left.set_yscale("log")
    right.set(ylim=(0, None))
    left.legend(fontsize=8)
    return figure


def gradients_sentence(block: Block) -> str:
    """By what factor the gradient shrinks from the last hidden layer to the first."""
    found = by_layer(block, "gradients", "gradient_norm", 0)
    words = ", ".join(f"{name} {number_words(values[-1] / values[0])}" for name, values in found.items())
    return f"At the first step the last hidden layer's gradient is this many times as large as the first one's: {words}."


def save_small(picture: Callable[[Block], Figure], block: Block, file: Path) -> int:
    """Draw and write a PNG of 64 colours; returns its bytes.

    Raises:
        ValueError: more than ``MOST_BYTES``.
    """
    from matplotlib import rc_context
    from PIL import Image

    file.parent.mkdir(parents=True, exist_ok=True)
    with rc_context(SETTINGS):
        figure = picture(block)
        figure.savefig(file, dpi=round(min(110.0, 1200 / figure.get_size_inches()[0])), metadata={"Software": None})
    with Image.open(file) as image:
        small = image.convert("RGB").quantize(64, dither=Image.Dither.NONE)
    small.save(file, optimize=True)
    size = file.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"{file.name} takes {size:,} bytes, more than {MOST_BYTES:,}")
    return size


def left_out(known: Mapping[int, tuple[str, str]]) -> str:
    """The recipes that are not here, and why."""
    lines = [f"- {number}, {known[number][0]}: {why}." for number, why in LEFT_OUT.items()]
    return "\n".join(["## Not here", "", *lines, ""])


HEAD = """# Gallery

README's recipes as `scripts/gallery.py` ran them on the digits that come with the package: the command, the picture that came
out, and what its records say. Most are one seed and some are shortened, so they show what a recipe does, not what holds; for that
see the [claims](../README.md#claims-with-verdicts), or add `seed=0,1,2,3,4,5,6,7` and ask `bnexp compare`.
"""

#: What is run, by README's number.
ENTRIES = {
    1: Entry(curves),
    2: Entry(over_rates, SHORT),
    3: Entry(last_layer, more=layers_sentence),
    4: Entry(dots, SHORT),
    5: Entry(curves, SHORT),
    6: Entry(curves, SHORT),
    7: Entry(curves, SHORT),
    8: Entry(last_layer, more=layers_sentence),
    9: Entry(curves, SHORT),
    12: Entry(shifts, SHORT, more=shifts_sentence),
    14: Entry(curves),
    15: Entry(curves, "train.steps=500"),
    16: Entry(gradients_and_saturation, SHORT, more=gradients_sentence),
    17: Entry(over_batch_sizes, more=lambda block: f"By {block.judged.words.removesuffix(' %')}: {' '.join(advice(block))}"),
}

#: What is not run here, by README's number, and why.
LEFT_OUT = {
    10: "real CIFAR-10 has to be fetched, and a convolutional net takes minutes to hours on a CPU",
    11: "all 60,000 digits and 50,000 steps; what came out over 8 seeds is in [results](../results/README.md)",
    13: "takes a file of your own",
}

if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
