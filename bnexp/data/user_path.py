"""Where a user's own data is, from the ``dataset.path`` of a config."""

from __future__ import annotations

from pathlib import Path

from bnexp.errors import UserError


def find_user_file(name: str, data_dir: Path, path: str | None) -> Path:
    """:func:`find_user_path`, and it is a file."""
    found = find_user_path(name, data_dir, path)
    if found.is_dir():
        todo = f"dataset={name} dataset.path={path}/FILE, or dataset=image_folder for a folder of images"
        raise UserError(
            f"dataset={name} needs a file, and dataset.path is a folder", got=f"dataset.path={path}", todo=todo
        )
    return found


def find_user_path(name: str, data_dir: Path, path: str | None) -> Path:
    """A user's file or folder: as given, or below the data folder, so that a command needs no machine's paths."""
    if path is None:
        raise UserError(f"dataset={name} needs to know where your images are", todo=f"dataset={name} dataset.path=PATH")
    given = Path(path).expanduser()
    for candidate in (given, data_dir / given):
        if candidate.exists():
            return candidate
    raise UserError(
        f"dataset.path does not exist, neither in {Path.cwd()} nor in {data_dir}",
        got=f"dataset.path={path}",
        todo=f"dataset={name} dataset.path=PATH   (an absolute path, or one below these folders)",
    )
