"""What can be known of runs without leaving anything behind: data that is not here, and what would be refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from bnexp.config.schema import ExperimentConfig
from bnexp.data import SOURCES
from bnexp.data.cache import cache_file, resolve_data_dir
from bnexp.data.official import OFFICIAL, inspect
from bnexp.errors import UserError, about_memory


def missing_data(config: ExperimentConfig) -> list[str]:
    """Data sets that a config needs, its own or one its own is made of, and that would have to be downloaded first."""
    data_dir, name = resolve_data_dir(config.data_dir), config.dataset.name
    spec = SOURCES[name] if name in tuple(SOURCES) else None
    if spec and spec.of:
        return [] if spec.here and spec.here(data_dir) else [spec.of]
    needed = [name for name in (name, *config.dataset.options.values()) if name in tuple(OFFICIAL)]
    parsed = {name for name in needed if cache_file(data_dir, name).is_file()}
    return [name for name in needed if name not in parsed and inspect(data_dir, OFFICIAL[name]).form is None]


@contextmanager
def shown(data_dir: Path) -> Iterator[Path]:
    """A throw-away data folder that shows the files of the real one, so that a parsed copy is written elsewhere."""
    with TemporaryDirectory(prefix="bnexp-dry-") as name:
        folder = Path(name)
        (folder / "cache").mkdir()
        for place in ("", "cache"):
            entries = (data_dir / place).iterdir() if (data_dir / place).is_dir() else ()
            for entry in entries:
                if (place, entry.name) != ("", "cache"):
                    (folder / place / entry.name).symlink_to(entry.resolve())
        yield folder


def find_refusals(configs: Sequence[ExperimentConfig]) -> list[str]:
    """For each run why it would be refused before its first step, or "".

    Of runs that differ in seed and learning rate alone one is built. What needs data that is not here cannot be known.
    """
    found: dict[str, str] = {}
    shapes = [replace(config, seed=0, optimizer=replace(config.optimizer, lr=1.0)) for config in configs]
    for config in shapes:
        if repr(config) not in found:
            found[repr(config)] = _refusal(config)
    return [found[repr(config)] for config in shapes]


def _refusal(config: ExperimentConfig) -> str:
    from bnexp.engine.build import build

    try:
        if not missing_data(config):
            with shown(resolve_data_dir(config.data_dir)) as folder:
                build(replace(config, data_dir=str(folder)))
    except UserError as error:
        return str(error)
    except Exception as error:  # where it is a plugin's, the run itself fails, and says where
        return str(about_memory(error) or "")
    return ""
