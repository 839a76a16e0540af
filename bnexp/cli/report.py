"""``bnexp report``: the page and the table again from the records; imports no torch, trains nothing."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bnexp.cli.main import DONE
from bnexp.cli.table import columns, program
from bnexp.errors import UserError, nearest

if TYPE_CHECKING:
    from bnexp.claims.base import Claim


#: Settings that may be given with = as well.
SETTINGS = ("budget", "runs_dir", "out")


def main(argv: list[str]) -> int:
    """Judge from records, write ``index.html`` and ``table.md``, print the verdicts."""
    parser = argparse.ArgumentParser(
        "bnexp report",
        description="Verdicts from records: a page, a Markdown table, lines here.",
        epilog="budget=full is the same as --budget full, and so are runs_dir= and out=, as bnexp reproduce has them.",
        allow_abbrev=False,
    )
    parser.add_argument("claims", nargs="*", metavar="CLAIM", help="which claims (default: all)")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), help="where the runs are (default: runs)")
    parser.add_argument("--budget", default="quick", help="smoke, quick or full (default: quick)")
    parser.add_argument("--out", type=Path, help="where to write (default: report, in the runs folder)")
    parser.add_argument("--json", action="store_true", help="for machines")
    arguments = parser.parse_args([part for word in argv for part in _as_flag(word)])
    claims = _claims(arguments.claims)
    _require_reproduced(arguments.runs_dir, arguments.budget)

    from bnexp.report.build import build, gather
    from bnexp.report.words import as_json, verdict_table

    judged = gather(claims, arguments.budget, arguments.runs_dir)
    written = build(judged, arguments.out or arguments.runs_dir / "report")
    if arguments.json:
        print(json.dumps([as_json(one) for one in judged], allow_nan=False))
    else:
        print(verdict_table(judged))
        print()
        print(columns([["page", str(written.page)], ["table", str(written.table)]]))
    return DONE


def _as_flag(word: str) -> list[str]:
    """``budget=full`` as ``--budget full``, for whoever comes from ``bnexp reproduce``; any other word as it is."""
    key, equals, value = word.partition("=")
    if not equals or word.startswith("-"):
        return [word]
    if key not in SETTINGS:
        raise UserError("bnexp report has no such setting", got=key, todo=f"one of {', '.join(SETTINGS)}")
    return [f"--{key.replace('_', '-')}", value]


def _claims(names: Sequence[str]) -> list[Claim]:
    """The claims of these names, all of them for none or for ``all``; an unknown one is a UserError."""
    from bnexp.claims import CLAIMS  # here, as everything heavy: --help has to answer at once

    return [CLAIMS[name] for name in (CLAIMS if not names or "all" in names else dict.fromkeys(names))]


def _require_reproduced(runs_dir: Path, budget: str) -> None:
    """There is something to report.

    Raises:
        UserError: no such budget, or nothing was reproduced with it here.
    """
    from bnexp.claims.base import BUDGETS
    from bnexp.claims.runs import CELLS

    if budget not in BUDGETS:
        guess = nearest(budget, BUDGETS) or "quick"
        raise UserError(
            f"there is no budget named {budget!r}",
            got=f"--budget {budget}",
            todo=f"--budget {guess} (known: {', '.join(BUDGETS)})",
        )
    if (runs_dir / CELLS / budget).is_dir():
        return
    where = "" if runs_dir == Path("runs") else f" runs_dir={runs_dir}"
    elsewhere = [name for name in BUDGETS if (runs_dir / CELLS / name).is_dir()]
    raise UserError(
        f"nothing was reproduced with budget={budget} in this runs folder",
        got=runs_dir,
        todo=f"{program()} report --budget {elsewhere[-1]}"
        if elsewhere
        else f"{program()} reproduce all budget={budget}{where}",
    )
