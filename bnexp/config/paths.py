"""Where the YAML files are: beside the package in a checkout, inside it when installed."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def config_dir() -> Path:
    """The folder that holds ``train.yaml`` and the config groups."""
    installed = _PACKAGE / "configs"
    return installed if installed.is_dir() else _PACKAGE.parent / "configs"


def group_files(group: str, extra: Path | None = None) -> dict[str, Path]:
    """Name to YAML of every choice of a group; ``extra`` is a user's own config folder."""
    folders = [config_dir() / group] + ([extra / group] if extra else [])
    return {file.stem: file for folder in folders for file in sorted(folder.glob("*.yaml"))}


def first_comment(file: Path) -> str:
    """The text of the first comment line that is not a Hydra package directive: what ``bnexp list`` shows."""
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and "@package" not in line:
            return line.lstrip("# ").strip()
    return ""
