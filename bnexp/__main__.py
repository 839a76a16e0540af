"""``python -m bnexp``."""

from bnexp.cli.main import entry

entry()
