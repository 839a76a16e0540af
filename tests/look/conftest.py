"""Small runs of two arms and two seeds, made once, and the scene they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bnexp.config.compose import compose
from bnexp.look.choose import choose
from bnexp.look.tracks import Scene, read_scene
from bnexp.runs.run import execute


@pytest.fixture(scope="session")
def runs_dir(small: Sequence[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four complete runs that were looked at, and one that was not."""
    folder = tmp_path_factory.mktemp("look") / "runs"
    arms = [["probes=light", f"norm={norm}", f"seed={seed}"] for seed in (0, 1) for norm in ("none", "batch")]
    for words in (*arms, ["optimizer.lr=1"]):
        assert execute(replace(compose([*small, *words]), runs_dir=str(folder))).complete
    return folder


@pytest.fixture(scope="session")
def scene(runs_dir: Path) -> Scene:
    """Both arms."""
    return read_scene(choose(["norm=none,batch", "optimizer.lr=0.1"], runs_dir))
