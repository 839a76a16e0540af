"""Which folder a run gets, and that it has it alone: new, the one it was interrupted in, or none because it is complete."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bnexp.errors import UserError
from bnexp.records import paths
from bnexp.records.archive import is_archive
from bnexp.records.ended import Ended
from bnexp.records.reader import RunRecord

try:
    import fcntl
except ImportError:  # Windows has no flock; there, two processes must not be given the same run
    fcntl = None  # type: ignore[assignment]

#: Errors that only a disk has, whatever was being written.
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ESTALE)


class Held(UserError):  # noqa: N818 - a state of the run
    """Another process is at this very run."""


@dataclass(frozen=True)
class Place:
    """Where a run goes. ``complete`` is set when there is nothing to do; ``interrupted`` when there is something to take up;
    ``failed`` when the last attempt broke down."""

    folder: Path
    complete: RunRecord | None = None
    interrupted: bool = False
    failed: RunRecord | None = None


def find_place(runs_dir: Path, run_id: str, force: bool, folders: Sequence[Path] | None = None) -> Place:
    """Decide from the records alone; creates nothing.

    The newest complete attempt is the run's result. Without one, an attempt that never ended is taken up; after a failed or
    damaged one, or with ``force``, a new folder is opened beside it.

    Args:
        runs_dir, run_id, force: of the run.
        folders: its attempts, oldest first, where they are known already.
    """
    attempts = [RunRecord(path) for path in (paths.attempts(runs_dir, run_id) if folders is None else folders)]
    done = [attempt for attempt in attempts if attempt.complete and attempt.header]
    if done and not force:
        return Place(done[-1].folder, complete=done[-1])
    if attempts and attempts[-1].status == "interrupted":
        return Place(attempts[-1].folder, interrupted=True)
    number = 1 + max((paths.attempt_number(attempt.folder, run_id) for attempt in attempts), default=0)
    failed = attempts[-1] if attempts and attempts[-1].status == "failed" else None
    return Place(runs_dir / (run_id if number == 1 else f"{run_id}.{number}"), failed=failed)


def done_before(record: RunRecord) -> Ended:
    """A run that was complete already."""
    end = record.end
    return Ended(
        status=end["status"], step=end.get("step", 0), execution=end.get("execution", ""), skipped=True,
        folder=str(record.folder),
    )  # fmt: skip


def tell_damaged(runs_dir: Path, run_id: str) -> None:
    """A line for each attempt at a run that cannot be read; it is left alone."""
    for record in map(RunRecord, paths.attempts(runs_dir, run_id)):
        if record.damage:
            print(f"{record.folder} is left alone: {record.damage}", file=sys.stderr)


@contextmanager
def occupied(runs_dir: Path, run_id: str, force: bool = False, wait: bool = False) -> Iterator[Place]:
    """A run's place, decided again once its folder is locked, because another process may have ended the run meanwhile.

    Inside, the folder exists and is ours alone; or the place is complete, and nothing is locked.

    Args:
        runs_dir, run_id, force: of the run.
        wait: for another process that is at this run.

    Raises:
        Held: another process is at this run.
        UserError: the folder cannot be made.
    """
    make_runs_dir(runs_dir)
    while True:
        place = find_place(runs_dir, run_id, force)
        if place.complete:
            yield place
            return
        _refuse_links(runs_dir, (place.folder.name,))
        with told_if_disk_refuses(place.folder, always=True):
            place.folder.mkdir(exist_ok=True)
            lock = _lock(place.folder, wait)
        try:
            _refuse_links(place.folder, (paths.EVENTS, paths.PROBES, paths.TENSORBOARD, paths.ERROR))
            again = find_place(runs_dir, run_id, force)
            if again.folder == place.folder and not again.complete:
                yield again
                return
        finally:
            with suppress(OSError):
                (place.folder / paths.LOCK).unlink()
            os.close(lock)


def _refuse_links(folder: Path, names: Sequence[str]) -> None:
    """Files are written, cut and removed where they stand, never where a link in their place leads."""
    for file in (folder / name for name in names):
        if file.is_symlink():
            what = f"{file.name} in {folder.name} is a link"
            raise UserError(f"{what}, which bnexp never makes", got=file, todo=f"rm '{file}'")


def remove_run(folder: Path) -> str:
    """Remove a run's folder; returns why it was left alone, or nothing.

    Only a folder that is none of somebody else's: no link, with a header of ours in it, and no process at it. No link in it is
    followed. It is renamed first, so that a removal that is cut short leaves no half a record.
    """
    header = folder / paths.HEADER
    if folder.is_symlink() or header.is_symlink() or not isinstance(RunRecord(folder).header.get("run_id"), str):
        return "not a run folder of bnexp's"
    try:
        lock = _lock(folder, wait=False)
    except UserError as error:
        return error.what
    except OSError as error:
        return f"cannot be removed ({error.strerror})"
    going = folder.with_name(f".{folder.name}.removed")
    try:
        folder.rename(going)
        shutil.rmtree(going)
    except OSError as error:
        return f"cannot be removed ({error.strerror})"
    finally:
        os.close(lock)
    return ""


def _lock(folder: Path, wait: bool) -> int:
    """Lock a folder; returns the open lock file. A file that another process removes while we take it is not taken for ours."""
    file = folder / paths.LOCK
    if file.is_symlink():
        raise UserError("the run folder's lock is a link, which bnexp never makes", got=file, todo=f"rm '{file}'")
    while True:
        lock = os.open(file, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0), 0o666)
        try:
            if fcntl is not None:
                fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock), file.lstat()):
                return lock
        except FileNotFoundError:
            pass
        except BlockingIOError as error:
            os.close(lock)
            raise Held(
                "another process is at this very run", got=folder, todo="wait for it, or give another seed"
            ) from error
        except OSError as error:
            if error.errno in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):  # a file system without locks
                return lock
            os.close(lock)
            raise
        os.close(lock)


@contextmanager
def told_if_disk_refuses(folder: Path, always: bool = False) -> Iterator[None]:
    """Tell a full disk, a read-only folder and the like as UserErrors.

    Args:
        folder: what is written to.
        always: every OSError inside is the disk's; else only those of files below ``folder`` and those that only disks have.
    """
    try:
        yield
    except OSError as error:
        refused = refusal(error, folder, always)
        if refused is None:
            raise
        raise refused from error


def refusal(error: OSError, folder: Path, always: bool = False) -> UserError | None:
    """What a user is told of an OSError while ``folder`` was written to; None if the error is of something else."""
    ours = error.filename is not None and str(error.filename).startswith(str(folder))
    if not (always or ours or error.errno in DISK):
        return None
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError("the disk is full", got=folder, todo="free some space and run the same command: it continues")
    if isinstance(error, FileExistsError):
        return UserError("a file is in the way of the run folder", got=folder, todo=f"mv '{folder}' '{folder}.old'")
    if isinstance(error, FileNotFoundError) and not folder.exists() and not always:
        return UserError(
            "the run folder was removed while it was in use", got=folder, todo="run the same command again"
        )
    return UserError(
        f"the run folder cannot be written ({error.strerror})", got=folder, todo="runs_dir=FOLDER, one you may write to"
    )


def make_runs_dir(runs_dir: Path) -> None:
    """The folder that all runs share. One of one's own does not belong in a repository by accident, so a new one is ignored.

    Raises:
        UserError: it cannot be made, or is an export, whose runs are all in one file.
    """
    if is_archive(runs_dir):
        raise UserError("an export is a copy, which no run is added to", got=runs_dir, todo="runs_dir=runs")
    _refuse_links(runs_dir, (paths.SWEEPS, paths.CLAIMS))
    with told_if_disk_refuses(runs_dir, always=True):
        if runs_dir.exists() and not runs_dir.is_dir():
            raise UserError(
                "runs_dir is a file, not a folder", got=runs_dir, todo="runs_dir=FOLDER, one you may write to"
            )
        runs_dir.mkdir(parents=True, exist_ok=True)
        ignore = runs_dir / ".gitignore"
        if not ignore.exists() and not any(runs_dir.iterdir()):
            ignore.write_text("*\n", encoding="utf-8")
