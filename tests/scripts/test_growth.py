"""``scripts/bench.py growth``: exponents of made-up costs, and the runs that it makes up."""

from __future__ import annotations

import json

import pytest


def test_growth_is_fitted_to_the_upper_half_and_named_for_each_curve():
    from benchmark.growth import section, slope, targets

    sizes = [10, 100, 1000, 10_000]
    line = {"words": "list: runs", "unit": "s", "sizes": sizes, "costs": [[1 + 0.01 * size] for size in sizes]}
    square = {"words": "sort: runs", "unit": "s", "sizes": sizes, "costs": [[size**2] for size in sizes]}
    assert slope(line) == pytest.approx(0.96, abs=0.01)
    assert slope(square) == pytest.approx(2)
    records = {
        f"steps_{name}": {"words": f"{name}: steps", "unit": "MB", "sizes": [1000, 1_000_000], "costs": [[0.1], [mb]]}
        for name, mb in (("record", 12.0), ("tensorboard", 9.0))
    }
    curves = {"list": line, "sort": square, **records}
    found = {target.words: target for target in targets({"curves": curves, "cores": 2})}
    assert found["the steepest growth of a cost (exponent)"].measured == "2.00, sort against runs"
    assert found["record and TensorBoard's copy of a run of 1,000,000 steps"].holds is False
    assert "**above linear**" in section({"curves": {"sort": square}})


def test_made_up_runs_are_runs_of_ten_arms(small, tmp_path, bnexp):
    from benchmark.growth import make_runs

    bnexp("train", *small, "train.steps=5", f"runs_dir={tmp_path}/one")
    folder = make_runs(tmp_path / "one", tmp_path / "many", 30)
    answer = bnexp("compare", str(folder), "by=optimizer.lr", "--json")
    assert answer.code == 0, answer
    assert len({json.loads((run / "run.json").read_text())["arm_id"] for run in folder.glob("copy-*")}) == 10
