"""The folder TensorBoard is given: the runs under short names, and the mean of each arm beside them, kept up to date.

Made from the records and links to them alone; deleting it loses nothing.
"""

from __future__ import annotations

import atexit
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bnexp.records import paths
from bnexp.records.names import LOOKS
from bnexp.records.reader import RunRecord
from bnexp.records.tags import SCALARS, observation_tag, scalar_tags

#: Seconds between two looks for new runs and new ends of runs.
SECONDS = 15.0

#: A mean has at most about this many points a tag.
MAX_POINTS = 1000

#: How ``layer_inputs`` calls the percentiles that TensorBoard shows.
LABELS = ("p15", "p50", "p85")

#: A tag to its steps and values.
Tracks = dict[str, tuple[np.ndarray, np.ndarray]]


class View:
    """A folder with one entry a run and one a mean.

    Args:
        folder: where it is.
        where: runs folders and run folders.
    """

    def __init__(self, folder: Path, where: Sequence[Path]) -> None:
        self.folder, self._where = folder, [path.resolve() for path in where]
        self._tracks: dict[Path, Tracks] = {}
        self._old_tags: dict[Path, bool] = {}

    def update(self) -> bool:
        """Bring the folder up to date with the records; whether an arm has several runs, so that there are means."""
        runs = self._runs()
        arms = name_arms(runs)
        named = name_runs(runs, arms)
        older = {name: [run] for name, run in named.items() if self._older(run)}
        links = {name: run / paths.TENSORBOARD for name, run in named.items() if name not in older}
        for entry in self.folder.iterdir():
            if entry.is_symlink() and links.get(entry.name) != entry.readlink():
                entry.unlink()
        for name, target in links.items():
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(target)
        done = {arm: _last_attempts(runs, folders) for arm, folders in arms.items()}
        several = any(len(folders) > 1 for folders in done.values())
        wanted = {f"{arm} mean of {len(folders)}": folders for arm, folders in done.items() if several and folders}
        wanted |= older
        for entry in self.folder.iterdir():
            if not entry.is_symlink() and entry.name not in wanted:
                shutil.rmtree(entry, ignore_errors=True)
        for name, folders in wanted.items():
            if not (self.folder / name).exists():
                write(self.folder / name, mean([self._read(run) for run in folders]))
        return several

    def _runs(self) -> dict[Path, dict[str, Any]]:
        """Folder of each run that has a copy for TensorBoard to its header, by name."""
        files = (file for where in self._where for file in where.glob(f"**/{paths.TENSORBOARD}/events.*"))
        found = {file.parent.parent for file in files if file.is_file()}
        return {folder: RunRecord(folder).header for folder in sorted(found)}

    def _older(self, run: Path) -> bool:
        """Whether a complete run's copy has the tags of version 0.1, so that it is shown as its record has it."""
        if run not in self._old_tags and RunRecord(run).complete:
            file = next(file for file in (run / paths.TENSORBOARD).glob("events.*") if file.is_file())
            with file.open("rb") as stream:
                begin = stream.read(1 << 16)
            self._old_tags[run] = b"train/loss" in begin and SCALARS["train/loss"].encode() not in begin
        return self._old_tags.get(run, False)

    def _read(self, run: Path) -> Tracks:
        if run not in self._tracks:
            self._tracks[run] = tracks(RunRecord(run))
        return self._tracks[run]


def name_arms(runs: Mapping[Path, Mapping[str, Any]]) -> dict[str, list[Path]]:
    """A short name of each arm to its runs: norm and learning rate, and whatever else tells these arms apart.

    Args:
        runs: folder to header.

    Example: ``none lr0.03``; of arms that also differ in depth ``none lr0.03 depth=6``.
    """
    arms: dict[tuple[Path, str], list[Path]] = {}
    for run, header in runs.items():
        arm = str(header.get("arm_id", "")) if header.get("config") else run.name
        arms.setdefault((run.parent, arm), []).append(run)
    configs = {key: _flat(runs[folders[0]].get("config") or {}) for key, folders in arms.items()}
    groups: dict[str, list[tuple[Path, str]]] = {}
    for key, config in configs.items():
        groups.setdefault(f"{config['norm.name']} lr{config['optimizer.lr']:g}" if config else key[1], []).append(key)
    shared = [key for key in ("dataset.name", "model.name") if _differ(configs.values(), key)]
    names: dict[str, list[tuple[Path, str]]] = {}
    for base, members in groups.items():
        keys = {key for member in members for key in configs[member]} - {"seed", *shared, *LOOKS}
        told = sorted(key for key in keys if _differ([configs[member] for member in members], key))
        for member in members:
            config = configs[member]
            more = [f"{key.rpartition('.')[2]}={config[key]}" for key in told if config.get(key) is not None]
            words = [*(str(config[key]) for key in shared if config), base, *more]
            names.setdefault(" ".join(words).replace("/", "_")[:150], []).append(member)
    return {f"{name}{tail}": arms[key] for name, keys in names.items() for key, tail in zip(keys, _tails(keys), strict=True)}


def _tails(keys: Sequence[tuple[Path, str]]) -> list[str]:
    """What tells arms of one name apart: the ends of the folders they are in, in one folder the ends of their own names."""
    if len(keys) == 1:
        return [""]
    if len({parent for parent, _ in keys}) < len(keys):
        return [f" {parent.name} {arm.rpartition('-')[2]}" for parent, arm in keys]
    parts = 1
    while len({parent.parts[-parts:] for parent, _ in keys}) < len(keys):
        parts += 1
    return [f" in {'.'.join(parent.parts[-parts:]).lstrip('/')}"[-80:] for parent, _ in keys]


def name_runs(runs: Mapping[Path, Mapping[str, Any]], arms: Mapping[str, Sequence[Path]]) -> dict[str, Path]:
    """Arm, seed and, of another attempt, its number to the run's folder; no two are alike."""
    names = {}
    for arm, folders in arms.items():
        for run in folders:
            config, (_, dot, attempt) = runs[run].get("config"), run.name.rpartition(".")
            again = f" attempt {attempt}" if config and dot and attempt.isdecimal() else ""
            names[f"{arm} s{config['seed']}{again}" if config else arm] = run
    return names


def _last_attempts(runs: Mapping[Path, Mapping[str, Any]], folders: Sequence[Path]) -> list[Path]:
    """An arm's complete runs, one a seed."""
    trained = sorted((run for run in folders if runs[run].get("config")), key=lambda run: run.stat().st_ctime)
    return list({runs[run]["config"]["seed"]: run for run in trained if RunRecord(run).complete}.values())


def _differ(configs: Iterable[Mapping[str, Any]], key: str) -> bool:
    return len({str(config.get(key)) for config in configs if config}) > 1


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested config as dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def tracks(record: RunRecord) -> Tracks:
    """A run's scalars and its layers' percentiles, from its record, under TensorBoard's tags; without what cannot be read."""
    rows: dict[str, list[tuple[int, float]]] = {}
    try:
        for event in record.events():
            if event["value"] is not None:
                rows.setdefault(event["name"], []).append((event["step"], event["value"]))
        found = {
            tag: (np.array([s for s, _ in row]), np.array([v for _, v in row]))
            for name, row in rows.items() for tag in scalar_tags(name)
        }  # fmt: skip
        held = record.arrays("layer_inputs") if "layer_inputs" in record.probes() else {}
    except (OSError, ValueError, KeyError) as error:
        print(f"{record.folder} is left out of its mean: {error}", file=sys.stderr)
        return {}
    for name, values_T3 in held.items():
        site, _, rest = name.rpartition("/pooled_quantiles")
        if site and not rest:
            layer, _, point = site.rpartition("/")
            tag = observation_tag(f"layer_inputs/{point}/{layer}")
            found |= {f"{tag}/{label}": (held["steps"], values_T3[:, i]) for i, label in enumerate(LABELS)}
    return found


def mean(runs: Sequence[Tracks]) -> Tracks:
    """The mean over runs at the steps at which each of them has a finite value, so that no run drops out of it on the way."""
    runs = [run for run in runs if run]
    averaged: Tracks = {}
    for tag in runs[0] if runs else ():
        if not all(tag in run for run in runs):
            continue
        series = [dict(zip(steps.tolist(), values.tolist(), strict=True)) for steps, values in (run[tag] for run in runs)]
        shared = [step for step in series[0] if all(np.isfinite(one.get(step, np.nan)) for one in series)]
        shared = shared[:: max(1, -(-len(shared) // MAX_POINTS))]
        if shared:
            averaged[tag] = (np.array(shared), np.array([np.mean([one[step] for one in series]) for step in shared]))
    return averaged


def write(folder: Path, shown: Tracks) -> None:
    """Write tracks as one file of events."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    def events() -> Iterator[Event]:
        for tag, (steps, values) in shown.items():
            for step, value in zip(steps.tolist(), values.tolist(), strict=True):
                point = Summary.Value(tag=tag, simple_value=value)
                yield Event(wall_time=started, step=int(step), summary=Summary(value=[point]))

    started = time.time()
    writer = EventFileWriter(str(folder), max_queue_size=1000, flush_secs=600)
    for event in events():
        writer.add_event(event)
    writer.close()


def keep(folder: str, where: Sequence[str]) -> None:
    """Keep the view up to date in a thread of this process, which is TensorBoard, and remove it at the end."""
    view = View(Path(folder), [Path(path) for path in where])

    def run() -> None:
        while True:
            try:
                view.update()
            except OSError as error:  # a run that is being removed while it is looked at
                print(f"bnexp tensorboard: {error}", file=sys.stderr)
            time.sleep(SECONDS)

    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none
    if hangup and signal.getsignal(hangup) is signal.SIG_DFL:  # a terminal that is closed; nohup's stays
        signal.signal(hangup, lambda *_: sys.exit(128 + hangup))
    threading.Thread(target=run, daemon=True).start()
