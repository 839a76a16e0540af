"""``bnexp reproduce``: plan what claims need, say what it costs, run what is missing, judge, show."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from bnexp.claims import CLAIMS
from bnexp.claims.base import BUDGETS, Budget, Claim
from bnexp.claims.judge import Judged, judge_claim
from bnexp.claims.runs import cells_file, write_cells
from bnexp.cli.main import CONTRADICTED, DONE, SOME_FAILED
from bnexp.cli.table import columns, program
from bnexp.config.checks import whole
from bnexp.errors import UserError, unknown_name
from bnexp.report.words import as_json, missing_words, section_key, verdict_table
from bnexp.runs.plan import Job, Plan, add_reported, count_reported, plan_tuning
from bnexp.stats.verdict import counted

if TYPE_CHECKING:
    from bnexp.runs.reproduce import Done

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


def main(argv: list[str]) -> int:
    """Bare words name claims, words with = are settings; returns the exit code."""
    arguments, words = _parser().parse_known_args(argv)
    claims = _claims([word for word in words if "=" not in word])
    settings = _settings([word for word in words if "=" in word])
    plan = plan_tuning(claims, settings.budget, settings.runs_dir)
    if arguments.dry_run:
        print(_claim_lines(plan, claims))
        print(_announcement(plan, claims, settings, dry=True))
        return DONE
    print(_announcement(plan, claims, settings, dry=False), file=sys.stderr)
    plan, failed = _run(claims, settings)
    judged = _judge(plan, claims)
    print(json.dumps([as_json(one) for one in judged], allow_nan=False) if arguments.json else verdict_table(judged))
    _tell_failures(failed)
    _tell_missing(judged, settings)
    if not (arguments.json or any(one.missing for one in judged)):
        _write_page(settings)
    if (
        failed
        or any(one.failure for one in judged)
        or (settings.num_shards == 1 and any(one.missing for one in judged))
    ):
        return SOME_FAILED
    return CONTRADICTED if arguments.check and _contradicted(judged) else DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "bnexp reproduce",
        usage="bnexp reproduce CLAIM ... | all [budget=smoke|quick|full] [jobs=N] [runs_dir=DIR] [shard=I num_shards=N]",
        description="Run what claims need and is missing, then judge them. Asked again, it trains nothing; killed, it continues.",
        allow_abbrev=False,
    )
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
        if name.startswith("-"):
            raise UserError("bnexp reproduce does not know this flag", got=name, todo=f"{program()} reproduce --help")
        if name not in CLAIMS:
            error = unknown_name("claim", name, CLAIMS)
            raise UserError(
                error.what, got=f"bnexp reproduce {name}", todo=error.todo.replace("claim=", "bnexp reproduce ")
            )
    return [CLAIMS[name] for name in dict.fromkeys(names)]


def _settings(words: Sequence[str]) -> Settings:
    values = dict(word.split("=", 1) for word in words)
    known = ("budget", "runs_dir", "jobs", "shard", "num_shards")
    for key in values:
        if key not in known:
            raise UserError("bnexp reproduce has no such setting", got=key, todo=f"one of {', '.join(known)}")
    name = values.get("budget", "quick")
    if name not in BUDGETS:
        raise unknown_name("budget", name, BUDGETS)
    num_shards = _number("num_shards", values.get("num_shards", "1"), least=1)
    shard = _number("shard", values.get("shard", "0"), least=0)
    if shard >= num_shards:
        raise UserError(
            "shard must be below num_shards",
            got=f"shard={shard} num_shards={num_shards}",
            todo=f"shard={num_shards - 1}",
        )
    jobs = _number("jobs", values.get("jobs", str(os.cpu_count() or 1)), least=1)
    return Settings(BUDGETS[name], Path(values.get("runs_dir", "runs")), jobs, shard, num_shards)


def _number(key: str, word: str, *, least: int) -> int:
    return whole(key, int(word) if word.lstrip("-").isdigit() else word, least=least)


def _claim_lines(plan: Plan, claims: Sequence[Claim]) -> str:
    """What is known of each claim's runs before anything is run; a run that several claims share stands in each line."""
    rows = [["claim", "runs known", "missing"]]
    for claim in claims:
        cells = plan.cells.get(claim.id, [])
        rows.append([claim.id, str(len(cells)), str(len(plan.runs(claim).missing()))])
    return columns(rows)


def _announcement(plan: Plan, claims: Sequence[Claim], settings: Settings, *, dry: bool) -> str:
    """How many runs, how many of them missing, about how long those take, and which cannot be priced."""
    missing, unknown = _outstanding(plan, claims)
    known = f"{len(plan.jobs)} runs and measurements known, {len(missing)} of them missing"
    then = f"; then up to {unknown} reported runs, at the values that tuning chooses" if unknown else ""
    lines = [f"{len(claims)} claims, budget={plan.budget.name}: {known}{then}"]
    if any(job.config for job in missing):
        lines += _price_lines(plan, missing, unknown, settings, dry=dry)
    return "\n".join(lines)


def _price_lines(plan: Plan, missing: Sequence[Job], unknown: int, settings: Settings, *, dry: bool) -> list[str]:
    """What the missing training runs cost, and why some of them, as those whose data is not here, have no price."""
    from bnexp.runs.price import find_prices, kind

    trained = [job for job in plan.jobs.values() if job.config]
    prices = find_prices(trained, settings.runs_dir, dry=dry)
    priced = [job for job in trained if prices.known(job)]
    lines = []
    if priced:
        share = unknown * len(priced) / len(trained)
        total = prices.total(missing, settings.jobs) + share * prices.total(priced, settings.jobs) / len(priced)
        lines.append(f"about {_minutes(total)} on {settings.jobs} processes of one thread, and the measurements")
    reasons = Counter(prices.reasons[kind(job.config)] for job in missing if job.config and not prices.known(job))
    for reason, count in reasons.items():
        lines.append(f"{counted(count, 'run')}, and what is reported after tuning, without a price: {reason}")
    return lines


def _outstanding(plan: Plan, claims: Sequence[Claim]) -> tuple[list[Job], int]:
    """The missing jobs, and how many more there may be once tuning is complete; reported runs join the plan where it is."""
    add_reported(plan, [claim for claim in claims if plan.is_tuned(claim)])
    return plan.missing(), count_reported([claim for claim in claims if not plan.is_tuned(claim)], plan.budget)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _run(claims: Sequence[Claim], settings: Settings) -> tuple[Plan, list[Done]]:
    """Carry out what is missing under one bar; a line for each run that ends, a louder one for each that fails."""
    from bnexp.runs.reproduce import Share, reproduce

    missing, unknown = _outstanding(plan_tuning(claims, settings.budget, settings.runs_dir), claims)
    total = len(missing) + unknown
    started, ended = time.monotonic(), 0
    with tqdm(total=total, unit="run", desc="reproduce", disable=None, dynamic_ncols=True, leave=False) as bar:

        def tell(done: Done) -> None:
            nonlocal ended
            ended += 1
            bar.update()
            words = done.reason or f"{done.status} in {done.seconds:.1f} s"
            left = (time.monotonic() - started) / ended * max(total - ended, 0)
            ending = f"; at most about {_minutes(left)} left" if bar.disable else ""
            tqdm.write(f"{done.job.run_id}: {words}{ending}", file=sys.stderr)

        share = Share(index=settings.shard, count=settings.num_shards)
        plan, failed = reproduce(claims, settings.budget, settings.runs_dir, settings.jobs, share, tell)
    for claim in claims:
        write_cells(cells_file(settings.runs_dir, plan.budget.name, claim.id), plan.cells.get(claim.id, []))
    return plan, failed


def _judge(plan: Plan, claims: Sequence[Claim]) -> list[Judged]:
    ordered = sorted(claims, key=lambda claim: (section_key(claim.section), claim.id))
    return [judge_claim(claim, plan.budget.name, plan.cells.get(claim.id, []), plan.runs_dir) for claim in ordered]


def _write_page(settings: Settings) -> None:
    """The page of everything that was ever reproduced here with this budget."""
    from bnexp.report.page import build, gather

    judged = gather([CLAIMS[name] for name in CLAIMS], settings.budget.name, settings.runs_dir)
    written = build([one for one in judged if one.runs.cells], settings.runs_dir / "report")
    print(f"the page: {written.page}", file=sys.stderr)


def _tell_failures(failed: Sequence[Done]) -> None:
    """At the end once more, where a long log is read first."""
    if failed:
        print(f"{counted(len(failed), 'run')} failed; the same command tries them again:", file=sys.stderr)
        for done in failed:
            print(f"  {done.job.run_id}: {done.reason}", file=sys.stderr)


def _tell_missing(judged: Sequence[Judged], settings: Settings) -> None:
    """Which runs stand between each claim and its verdict."""
    lacking = [one for one in judged if one.missing]
    for one in lacking:
        print(f"{one.claim.id}: {missing_words(one)}", file=sys.stderr)
        if settings.num_shards == 1:
            rest = len(one.missing) - MOST_NAMED
            names = [f"  {cell.command}" for cell in one.missing[:MOST_NAMED]]
            print("\n".join([*names, *([f"  and {rest} more"] if rest > 0 else [])]), file=sys.stderr)
    if lacking and settings.num_shards > 1:
        print(
            f"this was shard {settings.shard} of {settings.num_shards}; when all of them have ended, run them all again, "
            "until no run is missing: what is reported depends on all of the tuning",
            file=sys.stderr,
        )


def _contradicted(judged: Sequence[Judged]) -> bool:
    return any(one.primary and one.primary.outcome == "CONTRADICTED" for one in judged)
