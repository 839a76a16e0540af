"""``bnexp reproduce``: plan what claims need, say what it costs, run what is missing, judge, show."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from bnexp.claims import CLAIMS
from bnexp.claims.base import BUDGETS, Budget, Claim
from bnexp.claims.judge import Judged
from bnexp.claims.runs import write_cells
from bnexp.claims.variants import PLUGINS, variant_of
from bnexp.cli.main import CONTRADICTED, DONE, SOME_FAILED
from bnexp.cli.settings import Parser, as_flags, plugin_names
from bnexp.cli.table import columns, duration, program
from bnexp.config.checks import whole
from bnexp.config.compose import OWN_DIR
from bnexp.config.paths import groups, own_dir
from bnexp.config.plugins import import_plugins
from bnexp.config.schema import ExperimentConfig
from bnexp.errors import UserError, unknown_name
from bnexp.records.ended import Ended
from bnexp.report.words import as_json, in_order, missing_words, verdict_table
from bnexp.runs.folder import told_if_disk_refuses
from bnexp.runs.plan import Job, Plan, Repetition, make_plan
from bnexp.stats.verdict import counted

if TYPE_CHECKING:
    from bnexp.runs.cluster import Queue
    from bnexp.runs.price import Prices

#: Settings that may be given with = as well as with --.
SETTINGS = ("budget", "runs_dir", "jobs", "first_seed", "shard", "num_shards", "plugins", "config_dir")

#: Missing runs of a claim that are named one by one; more are counted.
MOST_NAMED = 5


@dataclass(frozen=True)
class Settings:
    """What the words with = say."""

    budget: Budget
    runs_dir: Path = Path("runs")
    jobs: int = 1
    shard: int = 0
    num_shards: int = 1
    plugins: tuple[str, ...] = ()
    extra_dir: Path | None = None
    queue: Queue | None = None

    @property
    def is_share(self) -> bool:
        """Whether others are at the rest of the runs."""
        return self.num_shards > 1 and self.queue is None


def split_variant(words: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """The command's own words, and those that make a variant: a subject, and overrides as ``bnexp train`` takes them.

    Plugins stand among both: they may bring claims as well as what a variant puts to them.

    Example:
        >>> split_variant(["fig1_speed", "subject=norm=ghost", "budget=quick", "model.depth=6"])
        (['fig1_speed', 'budget=quick'], ('subject=norm=ghost', 'model.depth=6'))
    """
    varied = [word for word in words if _varies(word)]
    plugins = [word for word in words if word.startswith(PLUGINS)] if varied else []
    return [word for word in words if word not in varied], (*varied, *plugins)


def _varies(word: str) -> bool:
    key, equals, _ = word.partition("=")
    return bool(equals) and not word.startswith("-") and (key == "subject" or "." in key or key in groups())


def _of_launcher(word: str) -> bool:
    return word.lstrip("+").startswith(("hydra/", "hydra."))


def main(argv: list[str]) -> int:
    """Bare words name claims, words with = or -- are settings; returns the exit code."""
    words, variant = split_variant([word for word in argv if not _of_launcher(word)])
    arguments = _parser().parse_args(as_flags("reproduce", words, SETTINGS))
    settings = _settings(arguments)
    if launched := [word for word in argv if _of_launcher(word)]:
        settings = _on_cluster(settings, arguments, launched)
    import_plugins(settings.plugins)
    claims = [variant_of(claim, variant) for claim in _claims(arguments.claims)]
    plan = make_plan(claims, settings.budget, settings.runs_dir, settings.plugins, settings.extra_dir)
    if arguments.dry_run:
        print(_claim_lines(plan))
        print(_announcement(plan, settings, _prices(plan, settings, dry=True)))
        return DONE
    prices = _prices(plan, settings, dry=False)
    print(_announcement(plan, settings, prices), file=sys.stderr)
    share = partial(carry_out_share, [claim.id for claim in claims], variant, replace(settings, queue=None))
    without = _run_in_jobs(plan, settings.queue, settings.num_shards, share) if settings.queue else _run(plan, settings, prices)
    with told_if_disk_refuses(settings.runs_dir, always=True):
        for claim in plan.claims:
            write_cells(settings.runs_dir, plan.budget.name, claim, plan.cells.get(claim.key, []))
    from bnexp.report.page import gather  # with jinja2, which a dry run does without

    judged = gather(claims, settings.budget.name, settings.runs_dir)
    print(json.dumps([as_json(one) for one in judged], allow_nan=False) if arguments.json else verdict_table(judged))
    _tell_without(without)
    _tell_missing(judged, settings)
    missing = any(one.missing for one in judged)
    contradicted = any(one.primary and one.primary.outcome == "CONTRADICTED" for one in judged)
    if not (arguments.json or missing):
        _write_page(judged, settings)
    if without or any(one.failure for one in judged) or (not settings.is_share and missing):
        return SOME_FAILED
    return CONTRADICTED if arguments.check and contradicted else DONE


def _parser() -> Parser:
    parser = Parser(
        "bnexp reproduce",
        usage="bnexp reproduce CLAIM ... | all [budget=smoke|quick|full] [jobs=N] [runs_dir=DIR] [shard=I num_shards=N]\n"
        "       bnexp reproduce CLAIM ... | all first_seed=100 runs_dir=again\n"
        "       bnexp reproduce CLAIM ... num_shards=N hydra/launcher=submitit_slurm [hydra.launcher.partition=NAME ...]\n"
        "       bnexp reproduce CLAIM ... subject=norm=ghost [KEY=VALUE ...] [plugins=[MODULE]] [--config-dir DIR]",
        description="Run what claims need and is missing, then judge them. Asked again, it trains nothing; killed, it continues.",
        epilog="--budget quick is the same as budget=quick, and so are the others. With subject= or settings of bnexp train, "
        "such as dataset=fashion_mnist or model.depth=6, the same declaration is put to another layer, data set or net: a "
        "variant, shown beside the claim and never as it.",
        allow_abbrev=False,
    )
    parser.add_argument("claims", nargs="*", metavar="CLAIM", help="which claims, or all")
    parser.add_argument("--budget", default="quick", help=f"{', '.join(BUDGETS)} (default: quick)")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), help="where the runs are (default: runs)")
    parser.add_argument("--jobs", help="processes at a time (default: one for each core that we may use)")
    parser.add_argument(
        "--first-seed", default="0", help="repeat everything with other seeds: reported from here on, tuning from 1000 + this"
    )
    parser.add_argument("--shard", default="0", help="which part of the missing runs is this machine's, from 0")
    parser.add_argument("--num-shards", default="1", help="how many machines share one runs folder")
    parser.add_argument(
        "--plugins", default="", help="your own modules that bring claims, norms, models or data, as [a,b]"
    )
    parser.add_argument("-cd", "--config-dir", type=own_dir, help="your own config folder, for what plugins bring")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and its price; run and create nothing")
    parser.add_argument("--check", action="store_true", help=f"exit with {CONTRADICTED} if a claim is contradicted")
    parser.add_argument("--json", action="store_true", help="verdicts for machines")
    return parser


def _claims(names: Sequence[str]) -> list[Claim]:
    if not names:
        raise UserError(
            "bnexp reproduce needs to know which claims", todo=f"{program()} reproduce all, or: {program()} list claims"
        )
    if "all" in names:
        return [CLAIMS[name] for name in CLAIMS]
    for name in names:
        if name not in CLAIMS:
            error = unknown_name("claim", name, ("all", *CLAIMS))
            todo = f"budget={name}" if name in BUDGETS else error.todo.replace("claim=", "bnexp reproduce ")
            raise UserError(error.what, got=f"bnexp reproduce {name}", todo=todo)
    return [CLAIMS[name] for name in dict.fromkeys(names)]


def _settings(arguments: argparse.Namespace) -> Settings:
    from joblib import cpu_count  # which knows of a container's share of the cores, and is slow to import

    if arguments.budget not in BUDGETS:
        raise unknown_name("budget", arguments.budget, BUDGETS)
    num_shards = _number("num_shards", arguments.num_shards, least=1)
    shard = _number("shard", arguments.shard, least=0)
    if shard >= num_shards:
        raise UserError(
            "shard must be below num_shards",
            got=f"shard={shard} num_shards={num_shards}",
            todo=f"shard={num_shards - 1}",
        )
    jobs = cpu_count() if arguments.jobs is None else _number("jobs", arguments.jobs, least=1)
    first_seed = _number("first_seed", arguments.first_seed, least=0, example=100)
    budget = Repetition(**asdict(BUDGETS[arguments.budget]), first_seed=first_seed) if first_seed else BUDGETS[arguments.budget]
    runs_dir, plugins = arguments.runs_dir.expanduser(), plugin_names(arguments.plugins)
    return Settings(budget, runs_dir, jobs, shard, num_shards, plugins, arguments.config_dir)


def _on_cluster(settings: Settings, arguments: argparse.Namespace, words: Sequence[str]) -> Settings:
    """Settings for shares that are jobs of a cluster, as many as ``num_shards``, each with ``jobs`` processes."""
    from bnexp.runs.cluster import find_queue

    own = [f"{OWN_DIR}{settings.extra_dir}"] if settings.extra_dir else []
    queue = find_queue([*own, *words], settings.runs_dir)
    if queue is None:
        todo = "jobs=N for processes on this machine, or hydra/launcher=submitit_slurm for jobs of a cluster"
        raise UserError("bnexp reproduce knows no such launcher", got=words[0], todo=todo)
    if arguments.shard != "0":
        raise UserError("with a launcher every shard becomes a job", got=f"shard={arguments.shard}", todo="num_shards alone")
    jobs = settings.jobs if arguments.jobs else queue.settings["cpus_per_task"] or 1
    queue.settings["cpus_per_task"] = jobs
    return replace(settings, queue=queue, jobs=jobs)


def _number(key: str, word: str, *, least: int, example: int | None = None) -> int:
    return whole(key, int(word) if word.lstrip("-").isdigit() else word, least=least, example=example)


def _claim_lines(plan: Plan) -> str:
    """What is known of each claim's runs before anything is run; a run that several claims share stands in each line."""
    rows = [["claim", "runs known", "missing"]]
    for claim in plan.claims:
        rows.append([claim.key, str(len(plan.cells.get(claim.key, []))), str(len(plan.runs(claim).missing()))])
    return columns(rows)


def _prices(plan: Plan, settings: Settings, *, dry: bool) -> Prices:
    """What each kind of training run costs; nothing where none is missing."""
    from bnexp.runs.price import Prices, find_prices

    if not any(job.config for job in plan.missing()):
        return Prices({}, {})
    return find_prices([job.config for job in plan.jobs.values() if job.config], settings.runs_dir, dry=dry)


def _announcement(plan: Plan, settings: Settings, prices: Prices) -> str:
    """How many runs, how many of them missing, about how long those take, and which cannot be priced."""
    missing, unknown = plan.missing(), plan.undetermined()
    seeds = f", seeds from {plan.first_seed} on" if plan.first_seed else ""
    what = "run or measurement" if len(plan.jobs) == 1 else "runs and measurements"
    known = f"{len(plan.jobs):,} {what} known, {len(missing):,} of them missing"
    then = f"; then up to {unknown:,} reported runs, at the values that tuning chooses" if unknown else ""
    lines = [f"{counted(len(plan.claims), 'claim')}, budget={plan.budget.name}{seeds}: {known}{then}"]
    configs = [job.config for job in missing if job.config]
    if configs:
        lines += _price_lines(plan, configs, unknown, settings, prices)
    return "\n".join(lines)


def _price_lines(
    plan: Plan, missing: Sequence[ExperimentConfig], unknown: int, settings: Settings, prices: Prices
) -> list[str]:
    """What the missing training runs cost, and why some of them, as those whose data is not here, have no price."""
    from bnexp.runs.price import kind

    trained = [job.config for job in plan.jobs.values() if job.config]
    priced = [config for config in trained if prices.known(config)]
    lines = []
    if priced:
        share = unknown * len(priced) / len(trained)
        processes = settings.jobs * (settings.num_shards if settings.queue else 1)
        total = prices.total(missing, processes) + share * prices.total(priced, processes) / len(priced)
        lines.append(f"about {duration(total)} on {processes} processes of one thread, and the measurements")
    reasons = Counter(prices.reasons[kind(config)] for config in missing if not prices.known(config))
    for reason, count in reasons.items():
        lines.append(f"{counted(count, 'run')}, and what is reported after tuning, without a price: {reason}")
    return lines


def _run(plan: Plan, settings: Settings, prices: Prices) -> list[tuple[Job, Ended]]:
    """Carry out what is missing under one bar; a line for each run that ends, a louder one for each that has no result."""
    from bnexp.runs.ahead import Ahead
    from bnexp.runs.reproduce import Share, reproduce

    ahead = Ahead(plan, prices, settings.jobs)
    shape = "{desc} {percentage:3.0f}%|{bar}| {elapsed}"
    with tqdm(desc="reproduce", total=ahead.total, bar_format=shape, disable=None, dynamic_ncols=True, leave=False) as bar:

        def show() -> str:
            left = f"about {duration(ahead.left)} left"
            bar.total, bar.n = ahead.total, ahead.done
            bar.set_description(f"reproduce {ahead.count:,}/{ahead.num_runs:,} runs, {left}")
            return left

        def tell(job: Job, ended: Ended) -> None:
            ahead.ended(job)
            left = show()
            words = f"{ended.status} in {ended.seconds:.1f} s" if ended.complete else ended.reason
            tqdm.write(f"{job.run_id}: {words}{f'; {left}' if bar.disable else ''}", file=sys.stderr)

        show()
        share = Share(index=settings.shard, count=settings.num_shards)
        return reproduce(plan, settings.jobs, share, tell)


def _run_in_jobs(
    plan: Plan, queue: Queue, num_shards: int, share: Callable[..., list[tuple[str, Ended]]]
) -> list[tuple[Job, Ended]]:
    """Carry out what is missing as jobs of a cluster, under a bar that says what they are doing."""
    from bnexp.runs.reproduce import reproduce_in_rounds

    with tqdm(desc="reproduce", disable=None, bar_format="{desc} [{elapsed}]", leave=False) as bar:
        return reproduce_in_rounds(plan, queue, num_shards, share, partial(tqdm.write, file=sys.stderr), bar.set_description)


def carry_out_share(
    names: Sequence[str], variant: tuple[str, ...], settings: Settings, shard: int, tried: Collection[str]
) -> list[tuple[str, Ended]]:
    """In a job: run what is missing of one share, planned anew from the records; returns what has no result, and why."""
    from bnexp.runs.many import Asked, attempt
    from bnexp.runs.reproduce import Share, reproduce

    os.environ["BNEXP_THREADS"] = "1"  # a process has one of the job's cores
    import_plugins(settings.plugins)
    claims = [variant_of(CLAIMS[name], variant) for name in names]
    plan = make_plan(claims, settings.budget, settings.runs_dir, settings.plugins, settings.extra_dir)
    share = Share(index=shard, count=settings.num_shards)

    def tell(job: Job, ended: Ended) -> None:
        print(f"{job.run_id}: {ended.status} {ended.reason}", file=sys.stderr)

    without = reproduce(plan, settings.jobs, share, tell, tried)
    for place, (job, ended) in enumerate(without):
        if ended.status == "held" and job.config:  # by a job of an earlier command, which may still be at it
            without[place] = (job, attempt([Asked(job.config, job.overrides)], wait=True)[0])
    return [(job.run_id, ended) for job, ended in without if not ended.complete]


def _write_page(judged: Sequence[Judged], settings: Settings) -> None:
    """The page of everything that was ever reproduced here with this budget; each claim is judged once."""
    from bnexp.report.beside import judged_elsewhere
    from bnexp.report.page import build, gather

    asked, claims = {one.claim.key for one in judged}, [CLAIMS[name] for name in CLAIMS]
    rest = gather([one for one in claims if one.key not in asked], settings.budget.name, settings.runs_dir)
    known = [one for one in (*judged, *(one for one in rest if one.claim.key not in asked)) if one.runs.cells]
    others = judged_elsewhere(claims, settings.budget.name, settings.runs_dir)
    with told_if_disk_refuses(settings.runs_dir / "report", always=True):
        written = build(in_order(known), settings.runs_dir / "report", others)
    print(f"the page: {written.page}", file=sys.stderr)


def _tell_without(without: Sequence[tuple[Job, Ended]]) -> None:
    """At the end once more, where a long log is read first."""
    if without:
        failed = all(ended.status in ("failed", "refused") for _, ended in without)
        words = "failed" if failed else "failed, or did not end"
        print(f"{counted(len(without), 'run')} {words}; the same command tries them again:", file=sys.stderr)
        for job, ended in without:
            see = f" (see {ended.folder})" if ended.folder else ""
            print(f"  {job.run_id}: {ended.reason}{see}", file=sys.stderr)


def _tell_missing(judged: Sequence[Judged], settings: Settings) -> None:
    """Which runs stand between each claim and its verdict."""
    lacking = [one for one in judged if one.missing]
    for one in lacking:
        print(f"{one.claim.key}: {missing_words(one)}", file=sys.stderr)
        if not settings.is_share:
            rest = len(one.missing) - MOST_NAMED
            names = [f"  {cell.command}" for cell in one.missing[:MOST_NAMED]]
            print("\n".join([*names, *([f"  and {rest} more"] if rest > 0 else [])]), file=sys.stderr)
    if lacking and settings.is_share:
        print(
            f"this was shard {settings.shard} of {settings.num_shards}; when all of them have ended, run them all again, "
            "until no run is missing: what is reported depends on all of the tuning",
            file=sys.stderr,
        )
