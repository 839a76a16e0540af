"""Which folder a run gets: a new one, the one it was interrupted in, or none because it is complete."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bnexp.errors import UserError
from bnexp.records import paths
from bnexp.records.reader import RunRecord

try:
    import fcntl
except ImportError:  # Windows has no flock; there, two processes must not be given the same run
    fcntl = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Place:
    """Where a run goes. ``complete`` is set when there is nothing to do; ``interrupted`` when there is something to take up."""

    folder: Path
    complete: RunRecord | None = None
    interrupted: bool = False


def find_place(runs_dir: Path, run_id: str, force: bool) -> Place:
    """Decide from the records alone; creates nothing.

    The newest complete attempt is the run's result. Without one, an attempt that never ended is taken up, and after a failed one,
    or with ``force``, a new folder is opened beside it.
    """
    attempts = [RunRecord(folder) for folder in paths.attempts(runs_dir, run_id)]
    done = [attempt for attempt in attempts if attempt.complete]
    if done and not force:
        return Place(done[-1].folder, complete=done[-1])
    if attempts and attempts[-1].status == "interrupted":
        return Place(attempts[-1].folder, interrupted=True)
    number = max([paths.attempt_number(a.folder, run_id) or 0 for a in attempts], default=0) + 1
    return Place(runs_dir / (run_id if number == 1 else f"{run_id}.{number}"))


@contextmanager
def occupied(place: Place) -> Iterator[None]:
    """Make a new run's folder exclusively, or lock an interrupted one, for as long as the run takes.

    Raises:
        UserError: the folder cannot be made, or another process is at this very run.
    """
    make_runs_dir(place.folder.parent)
    with told_if_disk_refuses(place.folder):
        place.folder.mkdir(exist_ok=place.interrupted)
    lock_file = place.folder / paths.LOCK
    with lock_file.open("w") as lock:
        if fcntl is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(
                    "another process is at this very run",
                    got=place.folder,
                    todo="wait for it, or give another seed",
                ) from error
        yield
        lock_file.unlink(missing_ok=True)


@contextmanager
def told_if_disk_refuses(folder: Path) -> Iterator[None]:
    """Tell a full disk, a read-only folder and the like as UserErrors."""
    try:
        yield
    except FileExistsError as error:
        raise UserError(
            "the run folder was made by another process just now, or a file is in its way",
            got=folder,
            todo="run the command again",
        ) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                "the disk is full", got=folder, todo="free some space and run the same command: it continues"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR):
            raise UserError(
                f"the run folder cannot be written ({error.strerror})",
                got=folder,
                todo="runs_dir=FOLDER, one you may write to",
            ) from error
        raise


def make_runs_dir(runs_dir: Path) -> None:
    """The folder that all runs share.

    Raises:
        UserError: it cannot be made.
    """
    if runs_dir.exists() and not runs_dir.is_dir():
        raise UserError("runs_dir is a file, not a folder", got=runs_dir, todo="runs_dir=FOLDER, one you may write to")
    with told_if_disk_refuses(runs_dir):
        runs_dir.mkdir(parents=True, exist_ok=True)
        _keep_out_of_git(runs_dir)


def _keep_out_of_git(runs_dir: Path) -> None:
    """A ``runs/`` of one's own does not belong in a repository by accident."""
    ignore = runs_dir / ".gitignore"
    if not ignore.exists() and not any(runs_dir.iterdir()):
        ignore.write_text("*\n", encoding="utf-8")
