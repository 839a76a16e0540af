"""Completion of commands and of Hydra overrides in the shell; the work is Hydra's own."""

from __future__ import annotations

import os
import sys

from bnexp.cli.main import COMMANDS
from bnexp.config.compose import run_hydra


def main(argv: list[str]) -> int:
    """``-sc install=bash`` prints the script to evaluate; ``-sc query=bash`` answers it for the line in ``$COMP_LINE``."""
    line = os.environ.get("COMP_LINE", "")
    words = line.split(" ")
    if "query" in argv[-1] and len(words) <= 2:
        print("\n".join(sorted(name for name in COMMANDS if name.startswith(words[-1]))))
        return 0
    if len(words) > 1 and words[1] == "train":
        os.environ["COMP_LINE"] = " ".join([words[0], *words[2:]])
        os.environ["COMP_POINT"] = str(max(0, int(os.environ.get("COMP_POINT", len(line))) - len("train ")))
    run_hydra(argv, program=sys.argv[0])
    return 0
