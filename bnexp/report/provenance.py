"""Where the numbers come from, read off the headers of the runs. No dates: the same records make the same page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from bnexp.claims.judge import Judged
from bnexp.records.reader import RunRecord
from bnexp.report.words import cost_words, counted, seconds_spent


def provenance(judged: Sequence[Judged]) -> list[tuple[str, str]]:
    """Heading and words of each line; where runs differ, each answer with its number of runs, the commonest first."""
    records = complete_records(judged)
    headers = [record.header for record in records]
    budgets = ", ".join(sorted({one.budget for one in judged}))
    diverged = sum(record.status == "diverged" for record in records)
    return [
        ("Budget", budgets),
        (
            "Runs",
            f"{len(records):,} complete, {diverged} of them diverged; {cost_words(seconds_spent(judged))} of computing",
        ),
        ("Machine", _answers(map(_machine, headers))),
        ("Data", _answers(header["data"]["name"] for header in headers if header.get("data"))),
        ("Versions", _answers(map(_versions, headers))),
        ("Code", _answers(map(_commit, headers))),
    ]


def complete_records(judged: Sequence[Judged]) -> list[RunRecord]:
    """Every complete run once, however many claims share it."""
    records = {cell.run_id: one.runs.record(cell) for one in judged for cell in one.runs.cells}
    return [record for record in records.values() if record.complete]


def _answers(answers: Any) -> str:
    counts = Counter(answers).most_common()
    if len(counts) == 1:
        return str(counts[0][0])
    return "; ".join(f"{answer} ({counted(count, 'run')})" for answer, count in counts) or "not recorded"


def _machine(header: dict[str, Any]) -> str:
    machine = header.get("machine") or {}
    parts = [
        machine.get("system"),
        machine.get("processor"),
        machine.get("cores") and counted(machine["cores"], "core"),
    ]
    device = header.get("device")
    return ", ".join(str(part) for part in [*parts, device and f"device {device}"] if part) or "not recorded"


def _versions(header: dict[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in (header.get("versions") or {}).items()) or "not recorded"


def _commit(header: dict[str, Any]) -> str:
    git = header.get("git")
    if not git:
        return "installed package, no commit"
    return f"commit {git['commit'][:12]}" + ("" if git["clean"] else ", with uncommitted changes")
