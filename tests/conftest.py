"""What every test stands on: one thread, no settings from outside, a small learnable data set, runs in a temporary folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import numpy as np
import pytest
from hypothesis import settings

from bnexp.cli.main import run
from bnexp.records.writer import CLOCK_KEYS

if TYPE_CHECKING:
    from bnexp.config.schema import ExperimentConfig

# torch and Hydra are imported where they are used: the process that only hands tests out reads this file as well.

#: A loaded machine is no failure, and what was found once is no business of the next run.
settings.register_profile("bnexp", deadline=None, max_examples=50, database=None)
settings.load_profile("bnexp")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    import torch

    torch.set_num_threads(1)
    yield
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _clean_environment(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, empty_cache: Path
) -> Iterator[None]:
    """No ``BNEXP_*`` from outside, none left behind, and no cache folder of the user's."""
    monkeypatch.setattr(sys, "argv", sys.argv)  # Hydra reads the program's, so runs set it
    with mock.patch.dict(os.environ):
        for name in [name for name in os.environ if name.startswith("BNEXP_")]:
            if not (name == "BNEXP_DATA" and request.node.get_closest_marker("data")):
                del os.environ[name]
        os.environ["XDG_CACHE_HOME"] = str(empty_cache)
        yield


@pytest.fixture(scope="session")
def empty_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder of this test process."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def pattern_arrays() -> dict[str, np.ndarray]:
    """247 training and 53 test images, 6x6, of three classes that a small net tells apart within some 50 steps."""
    rng = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    for part, count in (("train", 247), ("test", 53)):
        labels = np.arange(count) % 3
        images = rng.integers(0, 120, (count, 6, 6), dtype=np.uint8)
        images[:, :2] += (labels * 60).astype(np.uint8)[:, None, None]
        arrays |= {f"x_{part}": images, f"y_{part}": labels}
    return arrays


@pytest.fixture(scope="session")
def pattern_file(tmp_path_factory: pytest.TempPathFactory, pattern_arrays: dict[str, np.ndarray]) -> Path:
    """These images as a file for ``dataset=npz``."""
    file = tmp_path_factory.mktemp("patterns") / "patterns.npz"
    np.savez(file, **pattern_arrays)
    return file


@pytest.fixture(scope="session")
def small(pattern_file: Path) -> list[str]:
    """Overrides of a run that takes a tenth of a second: 200 training examples, three layers of 8 units, 30 steps, no probe."""
    return [
        "dataset=npz",
        f"dataset.path={pattern_file}",
        "dataset.validation_examples=47",
        "model.width=8",
        "train.steps=30",
        "train.batch_size=20",
        "train.eval_every=10",
        "train.log_every=5",
        "probes=none",
        "threads=1",
    ]


@pytest.fixture(scope="session")
def composed(small: list[str]) -> Callable[..., ExperimentConfig]:
    """Composes the small run with more overrides, each combination once: Hydra takes a fifth of a second."""
    from bnexp.config.compose import compose

    return lru_cache(maxsize=None)(lambda *overrides: compose([*small, *overrides]))


@pytest.fixture
def make(composed: Callable[..., ExperimentConfig], tmp_path: Path) -> Callable[..., ExperimentConfig]:
    """``make("norm=none", ...)``: the config of the small run with these overrides, its runs below ``tmp_path / "runs"``."""
    return lambda *overrides: replace(composed(*overrides), runs_dir=str(tmp_path / "runs"))


@dataclass(frozen=True)
class Answer:
    """What a command answered: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


@pytest.fixture
def bnexp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """``bnexp("list", "norms")``: the command carried out in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def carry_out(*words: str) -> Answer:
        code = run(words)
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return carry_out


@pytest.fixture
def without_clock() -> Callable[[Path], list[bytes]]:
    """The lines of an ``events.jsonl`` less what the clock said: equal runs have equal bytes."""

    def read(folder: Path) -> list[bytes]:
        lines = (folder / "events.jsonl").read_bytes().splitlines()
        assert all(f'"{key}": '.encode() in line for line in lines for key in CLOCK_KEYS)
        return [line.rpartition(b', "seconds": ')[0] for line in lines]

    return read


@pytest.fixture
def files_below() -> Callable[[Path], Sequence[str]]:
    """Every file below a folder, relative to it."""
    return lambda folder: sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
