"""``bnexp lock CLAIM --because "..."``: accept a changed declaration, and write down why."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from bnexp.claims import CLAIMS
from bnexp.claims.lock import LOCK, declaration_hash, lock, read_lock
from bnexp.cli.main import DONE
from bnexp.cli.settings import Parser
from bnexp.errors import UserError

LOG = Path("results/LOG.md")


def main(argv: list[str]) -> int:
    """Lock one claim; the reason goes to the log of evidence."""
    parser = Parser("bnexp lock", description="Accept a claim's declaration as it stands.", allow_abbrev=False)
    parser.add_argument("claim")
    parser.add_argument("--because", required=True, metavar="REASON", help="what changed and why, for results/LOG.md")
    arguments = parser.parse_args(argv)
    claim = CLAIMS[arguments.claim]
    if read_lock().get(claim.id) == declaration_hash(claim):
        print(f"{claim.id} is locked as it stands")
        return DONE
    if not LOG.is_file():
        raise UserError("the log of evidence is not here", got=LOG, todo="run this from the top of a checkout")
    lock(claim)
    entry = f"## {datetime.now(timezone.utc).date()}: declaration of {claim.id} locked\n\n- {arguments.because}\n\n"
    title, heading, rest = LOG.read_text(encoding="utf-8").partition("## ")  # newest first
    LOG.write_text(f"{title.rstrip()}\n\n{entry}{heading}{rest}", encoding="utf-8")
    print(f"locked {claim.id} in {LOCK.name}; the reason is in {LOG}")
    return DONE
