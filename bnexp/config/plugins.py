"""A user's own modules: found in the working folder, imported once, and told with file and line where they stop."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from bnexp.errors import UserError
from bnexp.registry import Registry


def import_plugins(names: Sequence[str]) -> None:
    """Import modules, which register what they bring; the working folder counts as a place to find them, the last one.

    A module that registers nothing is told on standard error.

    Raises:
        UserError: a module that is not found, that another of its name hides, or that does not import.
    """
    here = os.getcwd()
    if names and here not in sys.path:
        sys.path.append(here)  # at the end: a file there must not take the place of a package that we need
        importlib.invalidate_caches()
    for name in names:
        if name in sys.modules and not _hidden(name):
            continue
        before = Registry.num_entries
        _import(name)
        if Registry.num_entries == before:
            print(f"note: the plugin {name} registers nothing; @register(...) is missing in it", file=sys.stderr)


def _import(name: str) -> None:
    got = f"plugins=[{name}]"
    try:
        importlib.import_module(name)
    except UserError:
        raise
    except SyntaxError as error:
        place = f"{error.filename}, line {error.lineno}"
        raise UserError(f"the plugin {name} is not Python: {error.msg}", got=place, todo=f"mend {place}") from error
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            file = f"{name.replace('.', '/')}.py"
            raise UserError(
                f"the plugin module {error.name!r} is not found", got=got,
                todo=f"run from the folder that holds {file}, or install it",
            ) from error  # fmt: skip
        place = _place(error)
        if isinstance(error, ModuleNotFoundError):
            raise UserError(
                f"the plugin {name} needs the module {error.name!r}, which is not installed",
                got=place,
                todo=f"{sys.executable} -m pip install {str(error.name).split('.')[0]}",
            ) from error
        what = f"the plugin {name} does not import: {type(error).__name__}: {error}"
        raise UserError(what, got=place, todo=f"mend {place}") from error
    if _hidden(name):
        head = name.split(".")[0]
        found = getattr(sys.modules[head], "__file__", None) or "a module of Python itself"
        raise UserError(
            f"the plugin {name} is hidden by an installed module of that name",
            got=f"{found} instead of {head}.py",
            todo=f"mv {head}.py my_{head}.py, then plugins=[my_{name}]",
        )


def _hidden(name: str) -> bool:
    """Whether the working folder holds a module of this name and another one was imported."""
    head = name.split(".")[0]
    loaded = getattr(sys.modules.get(head), "__file__", None) or ""
    mine = [path.resolve() for path in (Path(f"{head}.py"), Path(head, "__init__.py")) if path.is_file()]
    return bool(mine) and head in sys.modules and (not loaded or Path(loaded).resolve() not in mine)


def _place(error: BaseException) -> str:
    """File and line of the plugin's that an exception came from: the last one that is no part of Python or of bnexp."""
    package = str(Path(__file__).resolve().parent.parent)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(("<", package))]
    own = [frame for frame in frames if "site-packages" not in frame.filename and frame.filename != importlib.__file__]
    last = (own or frames)[-1] if own or frames else None
    return f"{last.filename}, line {last.lineno}" if last else "its import"
