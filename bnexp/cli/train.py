"""``bnexp train``: one run, or a sweep over comma lists, on all cores or with any Hydra launcher."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bnexp.cli.main import DONE, SOME_FAILED
from bnexp.cli.table import run_json, run_report, sweep_report
from bnexp.config.compose import combinations, expand, is_sweep, run_hydra
from bnexp.config.schema import ExperimentConfig
from bnexp.errors import UserError
from bnexp.records.reader import RunRecord

#: Flags that only ask Hydra for information.
HYDRA_QUESTIONS = (
    "-h",
    "--help",
    "--hydra-help",
    "-c",
    "--cfg",
    "-i",
    "--info",
    "-sc",
    "--shell-completion",
    "--resolve",
    "-p",
    "--package",
)


def main(argv: list[str]) -> int:
    """Everything is checked before anything is written; returns the exit code."""
    if any(word.split("=")[0] in HYDRA_QUESTIONS for word in argv):
        run_hydra(argv, _no_job)
        return DONE
    arguments, overrides = _parser().parse_known_args(argv)
    extra_dir = Path(arguments.config_dir) if arguments.config_dir else None
    if extra_dir and not extra_dir.is_dir():
        raise UserError(
            "the folder of --config-dir does not exist",
            got=arguments.config_dir,
            todo="--config-dir FOLDER, with FOLDER/norm/NAME.yaml in it",
        )
    configs = expand(overrides, extra_dir)
    own = [f"--config-dir={extra_dir}"] if extra_dir else []
    if arguments.multirun or is_sweep(overrides):
        words = [[*own, *one] for one in combinations(overrides, extra_dir)]
        return _train_many(configs, words, [*own, *overrides], arguments.json)
    return _train_one(configs[0], [*own, *overrides], arguments.json)


def _train_one(config: ExperimentConfig, overrides: list[str], as_json: bool) -> int:
    from bnexp.runs.execute import RunFailed, execute

    try:
        result = execute(config, overrides)
    except RunFailed as error:
        print(f"the run failed: {error}", file=sys.stderr)
        return SOME_FAILED
    if result.skipped:
        print(
            f"already complete, nothing to train (force=true runs it again beside this one): {result.record.folder}",
            file=sys.stderr,
        )
    print(json.dumps(run_json(result.record)) if as_json else run_report(result.record))
    return DONE


def _train_many(
    configs: list[ExperimentConfig], words: Sequence[Sequence[str]], typed: list[str], as_json: bool
) -> int:
    from bnexp.runs.sweep import sweep

    rows = sweep(configs, words, typed)
    if as_json:
        print(json.dumps([run_json(RunRecord(Path(row.folder))) if row.folder else asdict(row) for row in rows]))
    else:
        print(sweep_report(rows))
    return DONE if all(row.folder for row in rows) else SOME_FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("bnexp train", add_help=False, allow_abbrev=False)
    parser.add_argument("-m", "--multirun", action="store_true")
    parser.add_argument("-cd", "--config-dir")
    parser.add_argument("--json", action="store_true")
    return parser


def _no_job(_: ExperimentConfig) -> None:
    raise AssertionError("a question to Hydra starts no run")
