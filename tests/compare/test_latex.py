"""The LaTeX of a comparison, compiled by a LaTeX where there is one, whatever arms are called."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bnexp.compare.latex import escaped, latex
from bnexp.compare.table import Question, compare

ODD = {
    "words": ["50 %_&#$", "naïve ≥ 3 µ", "Łódź ~ x^2 {a}", "a--b|c \\ <d>"],
    "lists": [[0.9, 0.95], "*", "數 → ∞", 'µ "q"'],
    "paths": ["/data/mine_1%", "C:\\x", "Δ±½ “é”", "-1"],
}


def tables(records, run, values) -> str:
    lines = [run(seed, size=value, test=0.9 + seed / 100 + place / 50)
             for place, value in enumerate(values) for seed in range(3)]  # fmt: skip
    return latex(compare(records(*lines), Question(by=("norm.size",))))


def test_a_row_that_begins_with_a_bracket_is_no_argument_of_the_row_before(records, run):
    text = tables(records, run, ODD["lists"])
    assert re.search(r"^ *\{\}\[0\.9,0\.95\] &", text, re.M)
    assert re.search(r"^ *\{\}\* &", text, re.M)


def test_the_package_that_is_needed_is_named_and_all_is_ascii(records, run):
    for values in ODD.values():
        text = tables(records, run, values)
        assert text.startswith("% \\usepackage{booktabs}\n")
        assert text.isascii()


@pytest.mark.parametrize(("word", "printed"), [("a--b", "a-{}-b"), ("–", "--"), ("Ω", "$\\Omega$"), ("☃", "(snowman)")])
def test_signs_that_would_print_as_something_else(word, printed):
    assert escaped(word) == printed


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(ODD))
def test_it_compiles(kind, records, run, tmp_path: Path):
    program = shutil.which("pdflatex")
    if program is None:
        pytest.skip("no pdflatex here")
    text = tables(records, run, ODD[kind])
    packages = "\n".join(re.findall(r"^% (\\usepackage.*)$", text, re.M))
    (tmp_path / "t.tex").write_text(
        f"\\documentclass{{article}}\n{packages}\n\\begin{{document}}\n{text}\n\\end{{document}}\n", encoding="utf-8"
    )
    words = [program, "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=60)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "t.pdf").stat().st_size > 5000
    assert "Missing character" not in (tmp_path / "t.log").read_text(encoding="utf-8", errors="replace")
