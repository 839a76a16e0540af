"""``bnexp reproduce``: plan what claims need, say what it costs, run what is missing, judge, show."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from bnexp.claims import CLAIMS
from bnexp.claims.base import Claim
from bnexp.claims.budget import BUDGETS, Budget
from bnexp.claims.judged import Judged, cells_file, judge_claim
from bnexp.claims.runs import write_cells
from bnexp.cli.main import CONTRADICTED, DONE, SOME_FAILED
from bnexp.cli.table import program
from bnexp.config.checks import whole
from bnexp.errors import UserError, unknown_name
from bnexp.report.terminal import verdict_table
from bnexp.runs.plan import Job, Plan, add_reported, count_reported, plan_tuning


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
    print(_announcement(plan, claims, settings), file=sys.stderr)
    if arguments.dry_run:
        return DONE
    plan, failed = _run(plan, claims, settings)
    judged = _judge(plan, claims)
    _show(judged, arguments.json)
    if failed or any(one.missing for one in judged):
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


def _announcement(plan: Plan, claims: Sequence[Claim], settings: Settings) -> str:
    """How many runs, how many of them missing, and about how long those take."""
    missing, unknown = _outstanding(plan, claims)
    known = f"{len(plan.jobs)} runs and measurements known, {len(missing)} of them missing"
    then = f"; then up to {unknown} reported runs, at the values that tuning chooses" if unknown else ""
    lines = [f"{len(claims)} claims, budget={plan.budget.name}: {known}{then}"]
    if any(job.config for job in missing):
        from bnexp.runs.price import price, seconds_per_step

        trained = [job for job in plan.jobs.values() if job.config]
        per_step = seconds_per_step(trained)
        typical = price(trained, per_step, settings.jobs) / len(trained)
        total = price(missing, per_step, settings.jobs) + unknown * typical
        lines.append(f"about {_minutes(total)} on {settings.jobs} processes of one thread, and the measurements")
    return "\n".join(lines)


def _outstanding(plan: Plan, claims: Sequence[Claim]) -> tuple[list[Job], int]:
    """The missing jobs, and how many more there may be once tuning is complete; reported runs join the plan where it is."""
    if any(job.config for job in plan.missing()):
        return plan.missing(), count_reported(claims, plan.budget)
    add_reported(plan, claims)
    return plan.missing(), 0


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _run(plan: Plan, claims: Sequence[Claim], settings: Settings) -> tuple[Plan, list[str]]:
    """Carry out what is missing under one bar; a line for each run that ends, a louder one for each that fails."""
    from bnexp.runs.reproduce import Done, Share, reproduce

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
    return plan, [done.reason for done in failed]


def _judge(plan: Plan, claims: Sequence[Claim]) -> list[Judged]:
    return [judge_claim(claim, plan.budget.name, plan.cells.get(claim.id, []), plan.runs_dir) for claim in claims]


def _show(judged: Sequence[Judged], as_json: bool) -> None:
    if as_json:
        print(json.dumps([_row(one) for one in judged]))
        return
    print(verdict_table(judged))
    print(f"the page: {program()} report", file=sys.stderr)


def _row(one: Judged) -> dict[str, object]:
    verdicts = {
        name: {"outcome": verdict.outcome, "word": verdict.word, "reason": verdict.reason}
        for name, verdict in one.verdicts.items()
    }
    return {"claim": one.claim.id, "budget": one.budget, "missing": len(one.missing), "verdicts": verdicts}


def _contradicted(judged: Sequence[Judged]) -> bool:
    return any(one.primary and one.primary.outcome == "CONTRADICTED" for one in judged)
