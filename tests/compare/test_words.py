"""What a comparison looks like: in a terminal, as LaTeX, as rows and as a data frame."""

from __future__ import annotations

import pytest

from bnexp.compare import frame
from bnexp.compare.frames import rows_of_arms
from bnexp.compare.latex import latex
from bnexp.compare.table import Question, compare
from bnexp.compare.words import in_words
from bnexp.text import WIDTH


@pytest.fixture
def better(run):
    """Four seeds of BN, better by about two points, and of none; one run of none does not arrive."""
    tests = {"batch": (0.92, 0.93, 0.915, 0.925), "none": (0.90, 0.905, 0.90, 0.90)}
    return [
        run(seed, norm=norm, test=test, arrives=40 if norm == "batch" else (80, 80, 80, None)[seed])
        for norm, all_of in tests.items()
        for seed, test in enumerate(all_of)
    ]


def test_the_tables_say_means_intervals_verdict_and_advice(records, better):
    text = in_words(compare(records(*better)))
    rows = [line.split() for line in text.splitlines()]
    assert ["batch", "92.2", "[91.2,", "93.3]", "40"] in [row[:5] for row in rows]
    assert ">= 85 (3 of 4)" in text
    assert "against norm=none: paired by seed; 0.5 points matter" in text
    assert "all: n 4" in text
    assert ["batch", "+2.1", "[1.4,", "2.9]", "better"] in [row[:5] for row in rows]
    assert "Take norm=batch: it gains 2.1 points [1.4, 2.9] over norm=none." in " ".join(text.split())


def test_runs_stand_under_their_arm(records, better):
    lines = in_words(compare(records(*better)), with_runs=True).splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("batch "))
    assert [line.split()[:2] for line in lines[start + 1 : start + 5]] == [["seed", str(seed)] for seed in range(4)]
    assert "> 100" in lines[start + 9]


def test_targets_that_nobody_reached_are_said_once_and_have_no_column(records, better):
    text = in_words(compare(records(*better), Question(targets=(0.8, 0.99, 0.999))))
    assert "no run reached 0.99, 0.999 in 100 steps" in text
    assert "to 0.99" not in text


def test_why_runs_are_no_pairs_and_what_was_done_instead_is_said(records, run):
    found = records(
        *(
            run(seed, batch_size=size, steps=1000 // size, order=str(size), test=0.9 + seed / 100)
            for size in (10, 20)
            for seed in range(3)
        )
    )
    text = in_words(compare(found))
    assert "not paired (Welch)" in text
    assert "not paired: at seed 0 they saw other batches" in text


def test_unequal_examples_are_said(records, run):
    text = " ".join(
        in_words(compare(records(*(run(seed, batch_size=size) for size in (10, 20) for seed in range(3))))).split()
    )
    assert "compared after 1,000, the shortest training" in text
    assert "No recommendation: all runs have the same validation accuracy" in text


def test_one_run_an_arm_has_no_interval_and_says_what_would_give_one(records, run):
    text = in_words(compare(records(run(norm="none", test=0.8), run(norm="batch"))))
    assert "one run an arm has no interval: seed=0,1,2 makes three" in text
    assert "open: 1 seed, at least 3 are needed" in text
    assert "No recommendation" in text


def test_a_diverged_run_is_counted_beside_n(records, run):
    text = in_words(
        compare(records(run(0, norm="none"), run(1, norm="none", status="diverged", arrives=None), run(0), run(1)))
    )
    assert "2, 1 diverged" in text


def test_an_equivalent_arm_that_is_faster_is_recommended(records, run):
    found = records(
        *(
            run(seed, norm=norm, test=0.9 + seed / 100, step_ms=ms)
            for norm, ms in (("layer", 1.0), ("batch", 2.0 + 1e-6))
            for seed in range(4)
        )
    )
    text = " ".join(in_words(compare(found, Question(base={"norm": "batch"}))).split())
    assert (
        "Take norm=layer: as good as norm=batch to within 0.5 points, and trains 2.00 × as many examples a second."
        in text
    )


@pytest.mark.parametrize("with_runs", [False, True])
def test_many_long_settings_fit_a_terminal(records, run, with_runs):
    lines = [
        run(seed, norm="ghost", ghost_size=size, lr=lr, batch_size=batch, remember_statistics=word, test=0.9 + seed / 100)
        for size in (4, 8) for lr in (0.1, 0.25) for batch in (32, 64) for word in ("forever", "never") for seed in range(2)
    ]  # fmt: skip
    text = in_words(compare(records(*lines)), with_runs)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "norm.ghost_size=4" in text


def test_latex_is_a_whole_table_with_everything_escaped(records, better):
    text = latex(compare(records(*better)))
    assert text.count(r"\begin{tabular}{lrrrrl}") == text.count(r"\end{table}") == 1
    assert all(f"\\{rule}rule" in text for rule in ("top", "mid", "bottom"))
    assert r"$\geq$ 85 (3 of 4)" in text
    assert "$n=4$ seeds an arm" in text
    body = text.partition("\n")[2].replace(r"\%", "").replace(r"\_", "").replace(r"\\", "")
    assert "%" not in body
    assert all(row.count("&") == 5 for row in body.splitlines() if "&" in row)


def test_rows_of_arms_have_limits_verdict_and_missing_seeds(records, better):
    batch, none = rows_of_arms(compare(records(*better)))
    assert list(batch) == list(none)
    assert (batch["norm"], batch["n"], batch["base"], batch["verdict"], batch["paired"]) == (
        "batch",
        4,
        "norm=none",
        "better",
        True,
    )
    assert batch["low"] < batch["difference"] < batch["high"]
    assert (none["verdict"], none["steps@0.8_arrived"]) == (None, 3)


def test_the_frame_has_a_row_a_run_and_says_what_is_censored(keep, better):
    table = frame(keep(*better))
    assert len(table) == 8
    assert table.groupby("norm")["reached@0.8"].sum().to_dict() == {"batch": 4, "none": 3}
    assert table["steps@0.8"].max() == 100
    assert table["test"].between(90, 93).all()
