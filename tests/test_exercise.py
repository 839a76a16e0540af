"""docs/exercise.ipynb: no outputs are kept, the solutions are tagged, and the whole of it runs."""

from __future__ import annotations

import json
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


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # those of Jupyter's own modules are not ours to mend
def test_it_runs_and_the_solution_finds_what_it_says(tmp_path):
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(FILE, as_version=4)
    nbformat.validate(notebook)
    nbclient.NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    first, second = [cell for cell in notebook.cells if "solution" in cell.metadata.get("tags", [])]
    printed = "".join(output.get("text", "") for output in first.outputs)
    assert printed.startswith("none: moved ")
    assert "steadier by the first sd: batch" in printed
    assert "largest difference from bnexp's reference" in second.outputs[-1]["text"]
    pictures = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs if "data" in output]
    assert any("image/png" in output["data"] for output in pictures)
