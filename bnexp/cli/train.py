"""``bnexp train``: one run, or a sweep over comma lists, on all cores or with any Hydra launcher."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bnexp.cli.main import DONE, INTERRUPTED, SOME_FAILED, USER_ERROR
from bnexp.cli.settings import Parser
from bnexp.cli.table import duration, run_json, run_report, sweep_report
from bnexp.config.compose import QUESTIONS, combinations, count, expand, run_hydra, varied_keys, with_file_sweep
from bnexp.config.paths import own_dir
from bnexp.config.processes import launched
from bnexp.config.schema import ExperimentConfig
from bnexp.errors import UserError
from bnexp.garbage import none_searched
from bnexp.records import paths

#: A sweep of more runs than this takes a while to plan, so its size is told first.
MANY = 200


def main(argv: list[str]) -> int:
    """Everything is checked before anything is written; returns the exit code."""
    if QUESTIONS & {word.split("=")[0] for word in argv}:
        run_hydra(argv)
        return DONE
    arguments, overrides = _parser().parse_known_args(argv)
    extra_dir = own_dir(arguments.config_dir) if arguments.config_dir else None
    overrides = with_file_sweep(overrides, extra_dir)
    launched = any(word.lstrip("+").startswith(("hydra/", "hydra.")) for word in overrides)
    sweep = arguments.multirun or launched or bool(varied_keys(overrides))
    if sweep and (number := count(overrides, extra_dir)) > MANY:
        print(f"{number:,} runs; planning them", file=sys.stderr, flush=True)
    configs = expand(overrides, extra_dir)
    _check_processes(configs, sweep)
    if any(config.train.leaves_open or config.execution.ddp for config in configs):
        from bnexp.runs.settle import settle

        configs = settle(configs, arguments.dry_run)
    own = [f"--config-dir={extra_dir}"] if extra_dir else []
    if arguments.dry_run:
        return preview(configs)
    if sweep:
        words = [[*own, *one] for one in combinations(overrides, extra_dir)]
        return train_many(configs, words, [*own, *overrides], arguments.json, arguments.runs)
    return train_one(configs[0], [*own, *overrides], arguments.json)


def train_one(config: ExperimentConfig, overrides: list[str], as_json: bool) -> int:
    from bnexp.runs.many import find_complete

    here = launched()
    if config.execution.ddp and here and here.rank:
        return take_part(config, here.rank)
    (record,) = [None] if config.execution.ddp else find_complete([config])  # else the other processes would not know
    skipped = record is not None
    if record is None:
        with none_searched():
            from bnexp.runs.run import execute  # imports torch

        ended = execute(config, overrides)
        if not ended.complete:
            print(f"the run {ended.status}: {ended.reason}\n  see: {Path(ended.folder) / paths.ERROR}", file=sys.stderr)
            return SOME_FAILED
        record, skipped = ended.record, ended.skipped
    if skipped:
        print(
            f"already complete, nothing to train (force=true runs it again beside this one):\n  {record.folder}",
            file=sys.stderr,
        )
    print(json.dumps(run_json(record)) if as_json else run_report(record))
    return DONE


def take_part(config: ExperimentConfig, rank: int) -> int:
    """What a process does that is not the first of a run's; it says nothing but what goes wrong in it alone."""
    from bnexp.runs.follow import follow

    try:
        ended = follow(config)
    except KeyboardInterrupt as error:
        if str(error):
            print(f"process {rank}: {error}", file=sys.__stderr__)
        return INTERRUPTED
    if not ended.complete:
        print(f"process {rank} failed: {ended.reason}\n  see: {Path(ended.folder) / paths.ERROR}", file=sys.__stderr__)
    return DONE if ended.complete else SOME_FAILED


def _check_processes(configs: Sequence[ExperimentConfig], sweep: bool) -> None:
    """Refuse a sweep on processes that share one run, and processes that share none."""
    shared, here = any(config.execution.ddp for config in configs), launched()
    if shared and (sweep or len(configs) > 1):
        raise UserError(
            "execution.ddp is for one large run; a sweep uses every core by itself, a run each",
            got=f"{len(configs)} runs with execution.ddp", todo="execution.ddp=false without torchrun, or one run a command",
        )  # fmt: skip
    if here and here.size > 1 and not shared:
        raise UserError(
            "torchrun started several processes, and nothing says that they share one run",
            got=f"{here.size} processes", todo="execution.ddp=true, or bnexp train without torchrun",
        )  # fmt: skip


def train_many(
    configs: list[ExperimentConfig], words: Sequence[Sequence[str]], typed: list[str], as_json: bool, with_runs: bool = False
) -> int:
    from bnexp.runs.sweep import sweep

    runs = sweep(configs, words, typed)
    refused = all(one.status == "refused" for one in runs)
    if as_json:
        print(json.dumps([run_json(one.record) if one.complete else asdict(one) for one in runs]))
    else:
        print(sweep_report(runs, with_runs), file=sys.stderr if refused else sys.stdout)
    if refused:
        return USER_ERROR
    return DONE if all(one.complete for one in runs) else SOME_FAILED


def preview(configs: Sequence[ExperimentConfig]) -> int:
    """How many runs, how many of them complete or refused, and about how long the others take; trains and creates nothing."""
    from bnexp.runs.dry import find_refusals
    from bnexp.runs.many import count_processes, find_complete
    from bnexp.runs.price import find_prices
    from bnexp.stats.verdict import counted

    complete = find_complete(configs)
    rest = [config for config, record in zip(configs, complete, strict=True) if record is None]
    words = f"{counted(len(configs), 'run')}, {len(configs) - len(rest):,} complete already"
    print(words if rest else f"{words}: nothing to train", flush=True)
    refusals = find_refusals(rest)
    possible = [config for config, refusal in zip(rest, refusals, strict=True) if not refusal]
    if possible:
        prices = find_prices(possible, Path(possible[0].runs_dir), dry=True)
        num_processes = count_processes(possible, possible[0].execution.jobs)
        if any(map(prices.known, possible)):
            seconds = prices.total(possible, num_processes)
            print(f"about {duration(seconds)} on {num_processes} process{'es' * (num_processes > 1)}")
        for reason in dict.fromkeys(prices.reasons.values()):
            print(f"without a price: {reason}", flush=True)
    for refusal, number in Counter(filter(None, refusals)).items():
        print(f"refused: {counted(number, 'run')}: {refusal}", file=sys.stderr)
    if len(possible) == len(rest):
        return DONE
    return USER_ERROR if len(rest) - len(possible) == len(configs) else SOME_FAILED


def _parser() -> Parser:
    parser = Parser("bnexp train", add_help=False, allow_abbrev=False)
    parser.add_argument("-m", "--multirun", action="store_true")
    parser.add_argument("-cd", "--config-dir")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--runs", action="store_true")
    return parser
