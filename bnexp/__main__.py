"""``python -m bnexp``: as the console script, so that a package is not taken from the working folder."""

import os
import sys
from contextlib import suppress

with suppress(OSError):
    if sys.path[0] in ("", os.getcwd()):
        sys.path.append(sys.path.pop(0))

from bnexp.cli.main import entry

if __name__ == "__main__":
    entry()
