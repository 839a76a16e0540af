"""``bnexp lock CLAIM|all --because "..."``: accept a changed declaration or analysis, and write down why."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from bnexp.claims import CLAIMS
from bnexp.claims.lock import LOCK, claim_hash, lock, read_lock
from bnexp.cli.main import DONE
from bnexp.cli.settings import Parser
from bnexp.errors import UserError

LOG = Path("results/LOG.md")


def main(argv: list[str]) -> int:
    """Lock one claim, or all that changed; the reason goes to the log of evidence."""
    parser = Parser(
        "bnexp lock", description="Accept a claim's declaration and analysis as they stand.", allow_abbrev=False
    )
    parser.add_argument("claim", help="a claim, or all: every one that changed")
    parser.add_argument("--because", required=True, metavar="REASON", help="what changed and why, for results/LOG.md")
    arguments = parser.parse_args(argv)
    claims = [CLAIMS[name] for name in (CLAIMS if arguments.claim == "all" else [arguments.claim])]
    locked = read_lock()
    changed = [claim for claim in claims if locked.get(claim.id) != claim_hash(claim)]
    gone = sorted(set(locked) - set(CLAIMS)) if arguments.claim == "all" else []
    if not changed and not gone:
        words = "every claim" if arguments.claim == "all" else arguments.claim
        print(f"{words} is locked as it stands")
        return DONE
    if not LOG.is_file():
        raise UserError("the log of evidence is not here", got=LOG, todo="run this from the top of a checkout")
    lock(changed)
    words = ", ".join([claim.id for claim in changed] + [f"{name} (gone)" for name in gone])
    entry = f"## {datetime.now(timezone.utc).date()}: {words} locked\n\n- {arguments.because}\n\n"
    title, heading, rest = LOG.read_text(encoding="utf-8").partition("## ")  # newest first
    LOG.write_text(f"{title.rstrip()}\n\n{entry}{heading}{rest}", encoding="utf-8")
    print(f"locked {words} in {LOCK.name}; the reason is in {LOG}")
    return DONE
