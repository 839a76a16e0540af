"""The front door: finds the command, imports no more than it needs, and turns mistakes into one message and an exit code."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from bnexp import __version__
from bnexp.errors import UserError, unknown_name

DONE, USER_ERROR, SOME_FAILED, CONTRADICTED = 0, 2, 3, 4
INTERRUPTED = 130

#: Command to what it does and an example; each lives in ``bnexp.cli.<command>`` as ``main(argv) -> exit code``.
COMMANDS = {
    "train": ("train one network, or sweep", "bnexp train norm=none,batch seed=0,1,2"),
    "reproduce": ("run what claims need, judge them", "bnexp reproduce all budget=quick"),
    "report": ("verdicts from records, as a page", "bnexp report"),
    "export": ("runs as text to keep and to share", "bnexp export runs my-results"),
    "lock": ("accept a changed declaration, with the reason", 'bnexp lock CLAIM --because "..."'),
    "list": ("names of norms, models, ..., claims, runs", "bnexp list norms"),
    "data": ("data sets: list, fetch, check, import", "bnexp data list"),
    "tensorboard": ("look at runs in the browser", "bnexp tensorboard"),
    "doctor": ("versions, device, threads, data, cost of probes", "bnexp doctor"),
}


def usage() -> str:
    """What the bare ``bnexp`` prints: a line for each command, with an example."""
    lines = [
        f"bnexp {__version__}: does Batch Normalization do what people say, and why? Measure it.",
        *(f"  {example:<40} {what}" for what, example in COMMANDS.values()),
        "Words with = are Hydra overrides (key=value); bnexp train --help shows every key.",
        'Completion in bash:  eval "$(bnexp -sc install=bash)"',
    ]
    return "\n".join(lines)


def run(argv: Sequence[str]) -> int:
    """Carry out a command line; returns the exit code."""
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage())
        return DONE
    if argv[0] == "--version":
        print(__version__)
        return DONE
    name, rest = argv[0], list(argv[1:])
    if name in ("-sc", "--shell-completion"):
        return importlib.import_module("bnexp.cli.completion").main(list(argv))
    try:
        if name not in COMMANDS:
            raise _unknown_command(name)
        return importlib.import_module(f"bnexp.cli.{name}").main(rest)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt as error:
        print(f"\ninterrupted; {error if str(error) else 'the same command continues where it left off'}", file=sys.stderr)
        return INTERRUPTED


def _unknown_command(name: str) -> UserError:
    if "=" in name:
        return UserError("an override needs a command before it", got=name, todo=f"bnexp train {name}")
    error = unknown_name("command", name, COMMANDS)
    return UserError(
        f"there is no command {name!r}", got=f"bnexp {name}", todo=error.todo.replace("command=", "bnexp ")
    )


def be_kind_to_other_processes() -> None:
    """Before torch is imported: its threads wait for each other by spinning for some 20 us and then sleep.

    By default they spin for milliseconds. On a machine that does anything else besides they so keep the very thread that they wait
    for from its core, and a step takes ten times as long. A setting of the user's own stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def entry() -> None:
    """The console script: a reader that closes the pipe early (``| head``) is no error."""
    be_kind_to_other_processes()
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = DONE
    sys.exit(code)
