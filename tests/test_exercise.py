"""docs/exercise.ipynb: no outputs are kept, the solutions are tagged, and the whole of it runs."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

FILE = Path(__file__).resolve().parent.parent / "docs" / "exercise.ipynb"


def cells() -> list[dict]:
    return json.loads(FILE.read_text(encoding="utf-8"))["cells"]


def tagged(tag: str) -> list[dict]:
    return [cell for cell in cells() if tag in cell["metadata"].get("tags", [])]


def test_it_is_short_and_keeps_no_outputs():
    assert 6 <= len(cells()) <= 12
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells() if cell["cell_type"] == "code")


def test_solutions_come_after_the_exercise():
    (exercise,) = tagged("exercise")
    assert tagged("solution")
    assert all(cells().index(exercise) < cells().index(solution) for solution in tagged("solution"))


#: In a process of its own, because the kernel's client leaves tasks behind, about which whatever test is next would be warned.
EXECUTE = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
nbformat.validate(notebook)
nbclient.NotebookClient(notebook, timeout=240, resources={"metadata": {"path": "."}}).execute()
nbformat.write(notebook, "executed.ipynb")
"""


@pytest.mark.slow
def test_it_runs_and_the_solution_finds_what_it_says(tmp_path):
    for name in ("nbclient", "nbformat", "ipykernel"):
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    command = [sys.executable, "-c", EXECUTE, str(FILE)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    executed = json.loads((tmp_path / "executed.ipynb").read_text(encoding="utf-8"))["cells"]
    first, second = [cell for cell in executed if "solution" in cell["metadata"].get("tags", [])]
    printed = text_of(first)
    assert printed.startswith("none: moved ")
    assert "steadier by the first sd: batch" in printed
    assert "largest difference from bnexp's reference" in text_of(second)
    outputs = [output for cell in executed if cell["cell_type"] == "code" for output in cell["outputs"]]
    assert any("image/png" in output.get("data", {}) for output in outputs)


def text_of(cell: dict) -> str:
    return "".join("".join(output.get("text", "")) for output in cell["outputs"])
