"""``bnexp doctor``: what is installed, what it runs on, which data is here and what looking costs, with what to do.

Imports torch only when it has something to ask it.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path
from typing import Any

from bnexp import __version__
from bnexp.cli.main import DONE, USER_ERROR
from bnexp.cli.settings import Parser
from bnexp.cli.table import columns, described, program
from bnexp.errors import UserError

#: Distributions whose versions are shown; a range is ours or, for a package that only Hydra asks for, Hydra's.
PACKAGES = (
    "torch",
    "torchvision",
    "hydra-core",
    "omegaconf",
    "tensorboard",
    "numpy",
    "scipy",
    "matplotlib",
    "bokeh",
)

#: The run that is measured: what ``bnexp train`` does when nothing else is asked for.
MEASURED_RUN: tuple[str, ...] = ()

#: Choices of ``probes`` that are measured, light being what a run has by default, and the share of training time each may take.
PRESETS = {"light": 0.03, "full": 0.30}

#: Below this much free space (bytes) it is time to tidy up; a run takes a few MB.
LEAST_FREE = 1_000_000_000


@dataclass(frozen=True)
class Item:
    """One thing that was looked at.

    Attributes:
        name: what.
        found: how it is.
        todo: what to do about it; empty when it is as it should be.
        prevents: no run, or none with this data set, can be carried out until that is done.
    """

    name: str
    found: str
    todo: str = ""
    prevents: bool = False

    @property
    def state(self) -> str:
        """``ok`` or ``attention``."""
        return "attention" if self.todo else "ok"


def main(argv: list[str]) -> int:
    """Look at everything, print it; 2 if something prevents runs."""
    arguments = _parser().parse_args(argv)
    items = examine(arguments.data_dir, arguments.runs_dir)
    preventing = [item.name for item in items if item.prevents]
    if arguments.json:
        print(json.dumps({"ready": not preventing, "items": [asdict(item) | {"state": item.state} for item in items]}))
    else:
        print(report(items))
    return USER_ERROR if preventing else DONE


def _parser() -> Parser:
    what = "Versions, device, data, disk and what a run costs; exit code 2 if something prevents runs."
    parser = Parser("bnexp doctor", description=what, allow_abbrev=False)
    parser.add_argument("--data-dir", metavar="D", help="the data folder (default: $BNEXP_DATA, else a cache folder)")
    parser.add_argument("--runs-dir", metavar="R", type=Path, default=Path("runs"), help="for runs (default: runs)")
    parser.add_argument("--json", action="store_true", help="for machines")
    return parser


def examine(data_dir: str | None, runs_dir: Path) -> list[Item]:
    """Every item, in the order of a first-time user's questions."""
    sections: dict[str, Callable[[], Iterator[Item]]] = {
        "versions": versions,
        "device": device,
        "torchvision import": torchvision_import,
        "TensorBoard": tensorboard,
        "data sets": lambda: data_sets(data_dir),
        "disk": lambda: disk(data_dir, runs_dir),
        "the default run": lambda: default_run(data_dir),
    }
    return [item for name, section in sections.items() for item in _guarded(name, section)]


def _guarded(name: str, section: Callable[[], Iterator[Item]]) -> Iterator[Item]:
    """A section's items; what it stumbles over is an item as well, for that is what a doctor is asked about."""
    try:
        yield from section()
    except UserError as error:
        yield Item(name, error.what if error.got is None else f"{error.what} ({error.got})", error.todo, prevents=True)
    except ImportError as error:
        yield Item(name, f"not importable: {_first_line(error)}", "install bnexp in a fresh environment", prevents=True)
    except Exception as error:
        todo = f"{program()} train, which keeps the whole traceback"
        yield Item(name, f"{type(error).__name__}: {_first_line(error)}", todo, prevents=True)


def report(items: Sequence[Item]) -> str:
    """What was found, item by item, and a last line that says whether runs are possible; what is to be typed stays on its line."""
    names = columns([[item.state, item.name] for item in items]).splitlines()
    words = [item.found + (f"   -> {item.todo}" if item.todo else "") for item in items]
    rows = list(zip(names, words, strict=True))
    told = described(rows, whole={name for name, item in zip(names, items, strict=True) if item.todo})
    preventing = ", ".join(item.name for item in items if item.prevents)
    verdict = f"something prevents runs: {preventing}" if preventing else f"ready: {program()} train"
    return f"{told}\n{verdict}"


def versions() -> Iterator[Item]:
    """Python, bnexp and the packages that matter, against the ranges of the installed metadata."""
    yield _python()
    yield Item("bnexp", __version__ + _commit())
    ranges = _ranges()
    for name in PACKAGES:
        yield _package(name, ranges.get(name, ""))


def _python() -> Item:
    found, supported = platform.python_version(), metadata("bnexp")["Requires-Python"]
    if _inside(found, supported):
        return Item("Python", f"{found} (supported: {supported})")
    return Item("Python", f"{found} is outside {supported}", f"a virtual environment with Python {supported}")


def _package(name: str, supported: str) -> Item:
    try:
        found = version(name)
    except PackageNotFoundError:
        return Item(name, "not installed", f"pip install '{name}{supported}'", prevents=True)
    if not _inside(found, supported):
        return Item(name, f"{found} is outside {supported}", f"pip install '{name}{supported}'")
    return Item(name, f"{found} (supported: {supported or 'any'})")


def _inside(found: str, supported: str) -> bool:
    from packaging.specifiers import SpecifierSet  # here: Hydra brings it, and Hydra may be what is missing

    return SpecifierSet(supported).contains(found, prereleases=True)


def _ranges() -> Mapping[str, str]:
    """Distribution to supported range, e.g. ``hydra-core`` to ``<1.4,>=1.3.5``."""
    from packaging.requirements import Requirement

    ranges: dict[str, str] = {}
    for owner in ("bnexp", "hydra-core"):
        for requirement in map(Requirement, requires(owner) or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                ranges.setdefault(requirement.name, str(requirement.specifier))
    return ranges


def _commit() -> str:
    from bnexp.records.header import git_commit

    git = git_commit(Path(__file__).parent)
    if git is None:
        return " (an installed package, not a checkout)"
    return f", commit {git['commit'][:10]}{'' if git['clean'] else ' with changes'}"


def device() -> Iterator[Item]:
    """Processor, threads, GPU, and whether bfloat16 has instructions of its own."""
    import torch
    from joblib import cpu_count

    from bnexp.records.header import processor

    cores = cpu_count()
    yield Item("processor", f"{processor()}, {cores} cores")
    by_model = f"1 for fully connected nets, {cores} for convolutional ones"
    words = os.environ.get("BNEXP_THREADS", by_model)
    yield Item("torch threads", f"{words} (torch by itself: {torch.get_num_threads()})")
    if not torch.cuda.is_available():
        build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "the CPU only"
        yield Item("CUDA device", f"none; runs are on the CPU (this torch is built for {build})")
        yield _bfloat16(torch.device("cpu"))
        return
    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    yield Item("CUDA device", ", ".join(names))
    yield _bfloat16(torch.device("cuda"))


def _bfloat16(where: Any) -> Item:
    from bnexp.engine.device import has_native_bf16

    words = "in hardware" if has_native_bf16(where) else "emulated, as far as torch knows"
    return Item("bfloat16", f"{words} (runs compute in float32 unless execution.precision says otherwise)")


def tensorboard() -> Iterator[Item]:
    """Whether TensorBoard starts; a new release of something it imports has kept it from that before."""
    _say("starting TensorBoard")
    command = [sys.executable, "-m", "tensorboard.main", "--version"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        yield Item("TensorBoard", "does not answer within a minute", "try again when the machine is less busy")
        return
    if done.returncode == 0:
        yield Item("TensorBoard", "starts")
    else:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        yield Item("TensorBoard", f"does not start: {reason}", "pip install --upgrade tensorboard")


def torchvision_import() -> Iterator[Item]:
    """Whether torchvision, which reads the official files, goes with this torch; the embedded digits do without it."""
    from bnexp.data.torchvision_sets import torchvision_datasets

    try:
        torchvision_datasets()
    except UserError as error:
        yield Item("torchvision import", f"fails: {error.got}", error.todo)
    else:
        yield Item("torchvision import", "works")


def data_sets(data_dir: str | None) -> Iterator[Item]:
    """Which data sets are here, with the checksums of their files and of their parsed copies."""
    from bnexp.cli.data import condition_of
    from bnexp.data import SOURCES, resolve_data_dir

    _say("verifying the data that is here")
    folder = resolve_data_dir(data_dir)
    for name in SOURCES:
        if SOURCES[name].fingerprint is not None:
            continue  # a user's own files have no official checksum
        verdict = condition_of(name, folder)
        fetch = f"{program()} data fetch {name}"
        todo = {"damaged": f"delete these files, then {fetch}", "incomplete": fetch}.get(verdict.state, "")
        found = f"{verdict.state}: {verdict.detail}"
        yield Item(f"dataset={name}", found, todo, prevents=verdict.state == "damaged")


def disk(data_dir: str | None, runs_dir: Path) -> Iterator[Item]:
    """Free space, and whether the runs folder and the data folder can be written."""
    from bnexp.data import resolve_data_dir

    yield _folder("runs folder", runs_dir, "runs_dir=FOLDER, one you may write to", prevents=True)
    yield _folder("data folder", resolve_data_dir(data_dir), "export BNEXP_DATA=FOLDER, one you may write to")


def _folder(name: str, folder: Path, other: str, *, prevents: bool = False) -> Item:
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK)):
        return Item(name, f"{folder} cannot be written", other, prevents)
    free = shutil.disk_usage(existing).free
    found = f"{folder}, {free / 1e9:.1f} GB free"
    return Item(name, found, "free some space" if free < LEAST_FREE else "")


def default_run(data_dir: str | None) -> Iterator[Item]:
    """A real run with each preset of probes: that it works, how fast it is, and what the probes take of it."""
    _say("measuring the default run with little and much to look at, several seconds")
    ends = {preset: _measured(preset, data_dir) for preset in PRESETS}
    end = ends["light"]
    yield Item("the default run", f"{end['status']}, {end['step'] / end['seconds']['train']:,.0f} steps/s")
    for preset in PRESETS:
        yield probe_share(preset, ends[preset]["seconds"])


def _measured(preset: str, data_dir: str | None) -> Mapping[str, Any]:
    """The end of a run in a temporary folder."""
    from bnexp.config.compose import compose
    from bnexp.runs.run import execute

    with tempfile.TemporaryDirectory(prefix="bnexp-doctor-") as runs_dir:
        config = replace(compose((*MEASURED_RUN, f"probes={preset}")), runs_dir=runs_dir, data_dir=data_dir)
        ended = execute(config)
        if not ended.complete:
            raise RuntimeError(ended.reason)
        return ended.record.end


def probe_share(preset: str, seconds: Mapping[str, Any]) -> Item:
    """What a preset of probes took of a run's training time, beside what it may take."""
    share, limit = seconds["probe"] / seconds["train"], PRESETS[preset]
    found = f"{100 * share:.1f} % of training time (at most {100 * limit:.0f} %)"
    too_much = "close other programs and measure again; if it stays, observe less often"
    return Item(f"probes={preset}", found, too_much if share > limit else "")


def _say(words: str) -> None:
    print(f"doctor: {words} ...", file=sys.stderr, flush=True)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
