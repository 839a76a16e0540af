"""``python -m bnexp``: as the console script, which takes no module from the working folder."""

import os
import sys

try:
    if sys.path[0] in ("", os.getcwd()):
        here = sys.path.pop(0)
        if os.path.isfile(os.path.join(here, "bnexp", "__main__.py")):  # a checkout: workers find bnexp there, and there last
            sys.path.append(here)
except OSError:  # the working folder was deleted
    pass

from bnexp.cli.main import entry

if __name__ == "__main__":
    entry()
