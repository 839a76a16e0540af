"""``bnexp rerun``: a recorded run once more, with other settings if they are typed."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bnexp.cli.main import DONE
from bnexp.cli.run_list import find
from bnexp.cli.settings import Parser, plugin_names
from bnexp.config.paths import own_dir
from bnexp.config.schema import ExperimentConfig
from bnexp.errors import UserError
from bnexp.records.archive import is_archive
from bnexp.records.reader import RunRecord

#: Where a run is looked for and written, which is no part of what it computes.
OWN = ("runs_dir", "config_dir")

#: Settings that are others by the time a run has its name (``runs/settle.py``).
SETTLED = ("train.epochs", "train.stop_at_target")


def main(argv: list[str]) -> int:
    """Take a run's settings from its record, put in what was typed, and train; without other settings, beside the old run."""
    parser = Parser(
        "bnexp rerun",
        usage="bnexp rerun RUN [key=value ...] [runs_dir=DIR] [--config-dir DIR] [--dry-run] [--json]",
        description="A recorded run once more, in the same folder of runs. RUN is a folder, a name, or a part of one that no other "
        "has, such as its last eight signs. Settings and choices change it; a comma list makes a sweep.",
        allow_abbrev=False,
    )
    parser.add_argument("run", metavar="RUN", nargs="?")
    parser.add_argument("--runs-dir", type=Path)
    parser.add_argument("-cd", "--config-dir", help="your own config folder (default: the one the run was made with)")
    parser.add_argument("--dry-run", action="store_true", help="how many runs, and about how long they take")
    parser.add_argument("--json", action="store_true", help="for machines")
    overrides = [word for word in argv if "=" in word and not word.startswith("-") and word.split("=")[0] not in OWN]
    flags = [word for word in argv if word not in overrides]
    arguments = parser.parse_args(
        [re.sub(r"^(runs_dir|config_dir)=", lambda match: f"--{match[1].replace('_', '-')}=", word) for word in flags]
    )
    record = find(arguments.run, arguments.runs_dir, "rerun")
    config_dir = config_dir_of(record, arguments.config_dir)
    configs = _configs(record, overrides, config_dir, arguments.runs_dir)
    return _carry_out(configs, overrides, config_dir, arguments.json, arguments.dry_run)


def recorded_config(record: RunRecord) -> dict[str, object]:
    """The settings of a run that trained.

    Raises:
        UserError: the record is damaged or a claim's measurement.
    """
    if record.damage:
        raise UserError("this record cannot be read", got=f"{record.folder}: {record.damage}", todo="another run: bnexp list runs")
    config = record.header.get("config")
    if not isinstance(config, dict):
        todo = str(record.header.get("command", "bnexp reproduce all"))
        raise UserError("this is a claim's own measurement and no run that trains", got=record.folder.name, todo=todo)
    return config


def _configs(
    record: RunRecord, overrides: Sequence[str], config_dir: Path | None, runs_dir: Path | None
) -> list[ExperimentConfig]:
    """The runs, into the folder of the old one, or ``runs`` where that is an export."""
    from bnexp.config.again import changed
    from bnexp.config.identity import SCHEMA_VERSION
    from bnexp.runs.settle import settle

    config = recorded_config(record)
    if (made := record.header.get("schema_version")) != SCHEMA_VERSION:
        print(f"note: made by another version (schema {made}): the same settings compute something else today", file=sys.stderr)
    named = [word.partition("=")[2] for word in overrides if word.startswith("plugins=")]
    import_recorded(record, plugin_names(named[-1] if named else ""), "rerun")
    parent = record.folder.parent
    where = runs_dir if runs_dir and not is_archive(runs_dir) else Path("runs") if is_archive(parent) else parent
    force = not [word for word in overrides if word.split("=")[0] not in ("device", "threads", "plugins")]
    typed = {word.split("=")[0] for word in overrides}
    return [
        replace(one, runs_dir=str(where), force=one.force or (force and "force" not in typed))
        for one in settle(changed(config, overrides, config_dir))
    ]


def import_recorded(record: RunRecord, typed: Sequence[str], command: str) -> None:
    """Import the modules that a run was made with. A record may be anybody's, so what it names is imported only if it was typed.

    Raises:
        UserError: it was not typed, or does not import.
    """
    from bnexp.config.plugins import import_plugins

    recorded = recorded_config(record).get("plugins")
    named = list(recorded) if isinstance(recorded, list | tuple) else []
    if not {*named} <= {*typed}:
        what = "the run was made with Python modules that are not bnexp's, which are imported only where you name them"
        listed = f"plugins=[{','.join(map(str, named))}]"
        todo = f"bnexp {command} {record.folder.name} {shlex.quote(listed)}, if you trust them"
        raise UserError(what, got=listed, todo=todo)
    import_plugins(typed)


def config_dir_of(record: RunRecord, typed: str | None) -> Path | None:
    """The folder of one's own YAMLs: the one typed, or the one that the run was made with.

    Raises:
        UserError: it is not there.
    """
    if typed:
        return own_dir(typed)
    for word in shlex.split(str(record.header.get("command", ""))):
        if word.startswith("--config-dir="):
            folder = word.partition("=")[2]
            if not Path(folder).expanduser().is_dir():
                todo = f"from the folder where it was made, or bnexp rerun {record.folder.name} --config-dir FOLDER"
                raise UserError("the run was made with a config folder of your own, which is not here", got=folder, todo=todo)
            return own_dir(folder)
    return None


def _carry_out(
    configs: list[ExperimentConfig], overrides: Sequence[str], config_dir: Path | None, as_json: bool, dry: bool
) -> int:
    from bnexp.cli.train import preview, train_many, train_one
    from bnexp.config.again import typed_words
    from bnexp.config.compose import combinations

    if dry:
        return preview(configs)
    own = [f"--config-dir={config_dir}"] if config_dir else []
    words = []
    for config, typed in zip(configs, combinations(overrides, config_dir), strict=True):
        fewest = typed_words(config, config_dir)
        named = {*(word.split("=")[0] for word in fewest), *SETTLED}
        words.append([*own, *fewest, *(word for word in typed if word.split("=")[0] not in named)])
    if len(configs) == 1:
        return train_one(configs[0], words[0], as_json)
    return train_many(configs, words, list(overrides), as_json) or DONE
