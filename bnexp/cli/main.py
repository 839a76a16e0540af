"""The front door: finds the command, imports no more than it needs, and turns mistakes into one message and an exit code."""

from __future__ import annotations

import codecs
import errno
import importlib
import io
import os
import re
import sys
import time
from collections.abc import Sequence
from typing import Any, TextIO

from bnexp import __version__
from bnexp.config.processes import MOST_THREADS, launched
from bnexp.errors import UserError, about_memory, unknown_name

DONE, USER_ERROR, SOME_FAILED, CONTRADICTED = 0, 2, 3, 4
INTERRUPTED = 130

#: Command to what it does and an example; each lives in ``bnexp.cli.<command>`` as ``main(argv) -> exit code``.
COMMANDS = {
    "demo": ("half a minute: without BN beside with BN", "bnexp demo"),
    "train": ("train one network, or sweep", "bnexp train norm=none,batch seed=0,1,2"),
    "compare": ("arms of runs, with intervals and verdicts", "bnexp compare runs by=norm"),
    "reproduce": ("run what claims need, judge them", "bnexp reproduce all budget=quick"),
    "look": ("what each layer receives, as a picture", "bnexp look --open"),
    "report": ("verdicts from records, as a page", "bnexp report"),
    "export": ("runs as text to keep and to share", "bnexp export runs my-results"),
    "lock": ("accept a changed declaration or analysis, with the reason", 'bnexp lock CLAIM --because "..."'),
    "list": ("names of norms, models, ..., claims, runs", "bnexp list norms"),
    "rerun": ("a recorded run again, with other settings", "bnexp rerun RUN train.keep=last"),
    "rm": ("remove runs; shows them first", "bnexp rm --failed"),
    "eval": ("score the weights a run kept", "bnexp eval RUN statistics=batch"),
    "figure": ("a claim's figure as SVG, PNG, PDF", "bnexp figure fig1 --out DIR"),
    "data": ("data sets: list, fetch, check, import", "bnexp data list"),
    "tensorboard": ("look at runs in the browser", "bnexp tensorboard"),
    "doctor": ("versions, device, threads, data, cost of probes", "bnexp doctor"),
}

#: What processes that we start find set before they import anything, unless the user has set it; ours too, as far as torch and
#: others read it when they are imported.
ENVIRONMENT = {
    "PYTHONSAFEPATH": "1"
}  # a joblib.py or tensorboard/ in the working folder is not the package (Python 3.11 on)

#: Seconds in which the first of several processes tells a mistake that all of them find.
FIRST_TO_SPEAK = 60.0

#: What stands for a sign that the terminal's encoding lacks.
_ASCII = {"×": "x", "✓": "+", "…": "...", "≥": ">=", "≤": "<=", "±": "+-", "→": "->", "·": "."} | dict.fromkeys(
    "✗–—−", "-"
)


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
    if argv[0] in ("-sc", "--shell-completion"):
        return importlib.import_module("bnexp.cli.completion").main(list(argv))
    try:
        _check_surroundings()
        if argv[0] not in COMMANDS:
            raise _unknown_command(argv)
        return importlib.import_module(f"bnexp.cli.{argv[0]}").main([_at_home(word) for word in argv[1:]])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return USER_ERROR
    except (MemoryError, OSError, RuntimeError) as error:
        told = about_memory(error) or _about_a_path(error)
        if told is None:
            raise
        print(f"error: {told}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt as error:
        print(
            f"\ninterrupted; {error if str(error) else 'the same command continues where it left off'}", file=sys.stderr
        )
        return INTERRUPTED


def _about_a_path(error: Exception) -> UserError | None:
    """What a user is told of a word that no file can be called, wherever it was taken for one."""
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return UserError("this name is too long for a file", got=f"{str(error.filename)[:60]}...", todo="a shorter one")
    if "home directory" in str(error):  # Path.expanduser's
        return UserError("after ~ stands the name of somebody who has no home folder here", todo="~/FOLDER, which is your own")
    return None


def _check_surroundings() -> None:
    """Refuse a working folder that was deleted and a ``BNEXP_THREADS`` that is no number of threads."""
    try:
        os.getcwd()
    except OSError as error:
        raise UserError("the working folder is not there any more", todo="cd to a folder that is") from error
    threads = os.environ.get("BNEXP_THREADS", "1")
    if not (threads.isascii() and threads.isdigit() and 0 < int(threads[:20]) <= MOST_THREADS):
        raise UserError(
            f"BNEXP_THREADS must be a whole number from 1 to {MOST_THREADS}",
            got=f"BNEXP_THREADS={threads}",
            todo="unset BNEXP_THREADS",
        )


def _at_home(word: str) -> str:
    """A word with ``~/`` at the beginning of its value as the home folder, which no shell expands after ``=`` or in quotes."""
    return re.sub(r"^((?:--)?[\w.-]+=|)~(?=/)", lambda match: f"{match[1]}{os.path.expanduser('~')}", word)


def _unknown_command(argv: Sequence[str]) -> UserError:
    name = argv[0]
    if name not in COMMANDS and name.partition(" ")[0] in COMMANDS:
        return UserError("the command and its words reached us as one word", got=repr(name), todo=f"bnexp {name}")
    if "=" in name:
        return UserError("an override needs a command before it", got=name, todo=f"bnexp train {name}")
    error = unknown_name("command", name, COMMANDS)
    return UserError(
        f"there is no command {name!r}", got=f"bnexp {name}", todo=error.todo.replace("command=", "bnexp ")
    )


def be_kind_to_other_processes() -> None:
    """Before torch is imported: its threads wait for each other by spinning for some 20 us and then sleep.

    By default they spin for milliseconds. On a machine that does anything else besides they so keep the very thread that they wait
    for from its core, and a step takes ten times as long. A setting of the user's own stays. GNU's library counts turns; LLVM's and
    Intel's, which some builds of torch have instead, milliseconds, of 200.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
        os.environ.setdefault("KMP_BLOCKTIME", "1")


#: Signs that command a terminal: the controls of ASCII and of Latin-1 less tabs and the ends of lines.
COMMANDING = {*range(32), *range(127, 160)} - {9, 10, 13}


class Output:
    """A standard stream whose reader may go away or whose disk may fill: a run goes on, and ``error`` says what happened.

    What commands a terminal (a name in a record may hold such signs) is written as a question mark.

    Args:
        stream: where to.
        keep: such signs as we write ourselves.
    """

    def __init__(self, stream: TextIO, keep: str = "") -> None:
        self.stream = stream
        self._harmless = {sign: "?" for sign in COMMANDING if chr(sign) not in keep}
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        """Write, unless writing has failed before."""
        return self._tried(self.stream.write, text.translate(self._harmless)) or len(text)

    def flush(self) -> None:
        """Flush, unless writing has failed before."""
        self._tried(self.stream.flush)

    def _tried(self, action: Any, *arguments: Any) -> Any:
        if self.error is None:
            try:
                return action(*arguments)
            except OSError as error:
                self.error = error
                os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())  # for what is still in the buffer
        return None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def prepare_process() -> tuple[Output, Output]:
    """What a process of ours needs before anything is imported or printed; returns standard output and error.

    Streams that are closed lead nowhere, or the next file that is opened would take their place; signs that an encoding lacks are
    written in ASCII.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    codecs.register_error("bnexp", lambda error: (_in_ascii(error), getattr(error, "end", 0)))
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    outputs = []
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        stream = stream or os.fdopen(number, "w", encoding="utf-8", closefd=False)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="bnexp")
        outputs.append(Output(stream, keep="\x1b" if number == 2 and stream.isatty() else ""))
    sys.stdout, sys.stderr = outputs
    return outputs[0], outputs[1]


def _in_ascii(error: UnicodeError) -> str:
    assert isinstance(error, UnicodeEncodeError)
    return "".join(_ASCII.get(sign, "?") for sign in error.object[error.start : error.end])


def entry() -> None:
    """The console script: a reader that closes the pipe early (``| head``) is no error."""
    be_kind_to_other_processes()
    out, err = prepare_process()
    follows = (here := launched()) is not None and here.rank > 0
    if follows:  # what all processes would say, the first one says
        sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - until the process ends
    try:
        code = run(sys.argv[1:])
        if follows and code == USER_ERROR:  # torchrun ends the others when one ends so
            time.sleep(FIRST_TO_SPEAK)
    finally:
        out.flush()
        err.flush()
    if out.error and not isinstance(out.error, BrokenPipeError):
        print(
            f"error: standard output cannot be written ({out.error.strerror})\n  try: another place for it",
            file=sys.stderr,
        )
        code = code or USER_ERROR
    if here is not None:  # torch's threads can abort a process that Python takes apart, for which torchrun ends all others
        err.flush()
        os._exit(code)
    sys.exit(code)
