"""The price of a plan: nothing is left behind, past runs beat a calibration, and what has no price is said to have none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from bnexp.data.source import Part, Source
from bnexp.errors import UserError
from bnexp.records.header import processor
from bnexp.records.writer import RunWriter
from bnexp.runs import price as pricing
from bnexp.runs.price import find_prices, kind


@pytest.fixture
def job(make):
    """``job("norm=layer")``: the config of the small run."""
    return lambda *words: make(*words)


@pytest.fixture
def past_run(tmp_path, job):
    """Records a run of the same kind as the small one that took ``seconds`` for its 100 steps."""

    def write(name: str, seconds: float, *, status: str = "finished", threads: int = 1, machine: str | None = None, more=()):
        config = job()
        folder = tmp_path / "runs" / f"{config.dataset.name}-{config.model.name}-{name}"
        folder.mkdir(parents=True)
        groups = {group: {"name": getattr(config, group).name} for group in ("dataset", "model", "norm")}
        header = {
            "config": {**groups, "train": {"batch_size": config.train.batch_size}},
            "threads": threads,
            "machine": {"processor": machine or processor()},
        }
        end = {"status": status, "step": 100, "seconds": {"train": 0.9 * seconds, "eval": 0.1 * seconds}} | dict(more)
        RunWriter.begin(folder, header).end(end)

    return write


@pytest.fixture
def no_calibration(monkeypatch):
    monkeypatch.setattr(pricing, "_calibrate", lambda _: pytest.fail("calibrated"))


@pytest.mark.usefixtures("no_calibration")
def test_past_runs_of_the_kind_say_what_a_step_costs(tmp_path, job, past_run):
    for name, seconds in (("a", 10.0), ("b", 20.0), ("c", 90.0)):
        past_run(name, seconds)
    prices = find_prices([job()], tmp_path / "runs", dry=True)
    price = 0.18 + (2.0 - pricing.ENDS) / 100  # a run's own ends are not a matter of its steps
    assert prices.per_step[kind(job())] == pytest.approx(price)
    assert prices.total([job()] * 4, 2) == pytest.approx(4 * (pricing.PER_RUN + 30 * price) / 2)


def test_a_run_that_is_shorter_than_a_calibration_says_nothing(tmp_path, job, past_run, monkeypatch):
    monkeypatch.setattr(pricing, "_calibrate", lambda _: 0.5)
    past_run("short", 30.0, more={"step": pricing.CALIBRATION_STEPS - 1})
    assert find_prices([job()], tmp_path / "runs", dry=True).per_step == {kind(job()): 0.5}


@pytest.mark.usefixtures("no_calibration")
def test_of_short_runs_neither_start_nor_compiling_is_multiplied(tmp_path, job, past_run):
    past_run("short", 30.0)
    spent = {"train": 4.0, "compile": 3.0, "eval": 0.4, "record": 0.3}
    past_run("long", 0, more={"step": 1000, "step_ms": 10.0, "seconds": spent})
    prices = find_prices([job()], tmp_path / "runs", dry=True)
    assert prices.per_step[kind(job())] == pytest.approx(0.01 + (0.7 - pricing.ENDS) / 1000)


def test_runs_of_other_machines_more_threads_or_no_end_say_nothing(tmp_path, job, past_run, monkeypatch):
    monkeypatch.setattr(pricing, "_calibrate", lambda _: 0.5)
    past_run("elsewhere", 10.0, machine="another processor")
    past_run("threaded", 10.0, threads=2)
    past_run("diverged", 10.0, status="diverged")
    assert find_prices([job()], tmp_path / "runs", dry=True).per_step == {kind(job()): 0.5}


def test_each_kind_is_calibrated_once_and_by_real_steps(tmp_path, job):
    jobs = [job(), job("seed=1"), job("norm=layer"), job("norm=none"), job("norm=none", "optimizer.lr=1")]
    prices = find_prices(jobs, tmp_path / "runs", dry=True)
    assert len(prices.per_step) == 2
    assert all(0 < seconds < 1 for seconds in prices.per_step.values())


def test_a_kind_whose_data_is_not_here_has_a_reason_and_the_others_a_price(tmp_path, job, monkeypatch):
    monkeypatch.setattr(pricing, "_calibrate", lambda _: 0.5)
    config = job()
    elsewhere = replace(config, data_dir=str(tmp_path / "data"))
    official, made_of_it = (
        replace(config.dataset, name=name, options=o) for name, o in (("mnist", {}), ("inked", {"of": "mnist"}))
    )
    mnist, inked = (replace(elsewhere, dataset=dataset) for dataset in (official, made_of_it))
    prices = find_prices([job(), mnist, inked], tmp_path / "runs", dry=True)
    assert (prices.known(job()), prices.known(mnist), prices.known(inked)) == (True, False, False)
    said = "their data is not on this machine\n  got: mnist\n  try: bnexp data fetch mnist, or bnexp data import PATH"
    assert set(prices.reasons.values()) == {said}
    assert prices.total([job(), mnist], 1) == prices.total([job()], 1)
    assert not list(tmp_path.iterdir())


def test_what_stops_a_run_stops_a_real_reproduction_before_it_starts_and_not_a_dry_one(tmp_path, job, monkeypatch):
    def refuse(_):
        raise UserError("no", got="x", todo="y")

    monkeypatch.setattr(pricing, "_calibrate", refuse)
    assert not find_prices([job()], tmp_path / "runs", dry=True).known(job())
    with pytest.raises(UserError, match="no"):
        find_prices([job()], tmp_path / "runs", dry=False)


def test_a_layer_that_breaks_leaves_its_kind_without_a_price_and_stops_nothing(tmp_path, job, monkeypatch):
    def broken(self, x):  # noqa: ARG001 - a forward's signature
        raise RuntimeError("a plugin's bug")

    monkeypatch.setattr(pricing, "CALIBRATION_STEPS", 1)
    monkeypatch.setattr(torch.nn.BatchNorm1d, "forward", lambda self, x: broken(self, x) if self.training else x)
    prices = find_prices([job(), job("norm=none")], tmp_path / "runs", dry=False)
    assert (prices.known(job()), prices.known(job("norm=none"))) == (False, True)
    assert prices.reasons[kind(job())] == "RuntimeError: a plugin's bug"


def test_a_calibration_whose_steps_take_long_makes_few(tmp_path, job, monkeypatch):
    made = []
    monkeypatch.setattr("bnexp.engine.step.train_step", lambda *_: made.append(1))
    monkeypatch.setattr(pricing, "CALIBRATION_SECONDS", 1e-9)
    assert find_prices([job()], tmp_path / "runs", dry=False).known(job())
    assert len(made) == 2  # one to warm up


def test_a_dry_run_tells_plan_and_price_and_leaves_nothing_behind(bnexp, monkeypatch, tmp_path):
    monkeypatch.setenv("BNEXP_DATA", str(tmp_path / "data"))
    rng = np.random.default_rng(0)
    digits = Part(rng.integers(0, 256, (4000, 1, 28, 28), dtype=np.uint8), rng.permutation(4000) % 10)
    monkeypatch.setattr("bnexp.data.mnist_5k._parse", lambda: Source(digits, digits, 10))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    answer = bnexp("reproduce", "fig1_speed", "budget=smoke", "--dry-run", "jobs=2")
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert [line.split() for line in lines[:2]] == [
        ["claim", "runs", "known", "missing"],
        ["fig1_speed", "6", "6"],
    ]
    assert lines[2] == (
        "1 claim, budget=smoke: 6 runs and measurements known, 6 of them missing; then up to 12 reported runs, "
        "at the values that tuning chooses"
    )
    assert lines[3].endswith("on 2 processes of one thread, and the measurements")
    assert not list(tmp_path.iterdir())


def test_a_dry_run_without_the_data_says_what_to_type_and_fetches_nothing(bnexp, monkeypatch, tmp_path):
    monkeypatch.setenv("BNEXP_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("bnexp.data.torchvision_sets.fetch", lambda *_: pytest.fail("fetched"))
    answer = bnexp("reproduce", "fig1_speed", "budget=full", "--dry-run")
    assert answer.code == 0
    assert answer.out.endswith(
        "28 runs, and what is reported after tuning, without a price: their data is not on this machine\n  got: mnist\n"
        "  try: bnexp data fetch mnist, or bnexp data import PATH\n"
    )
    assert not list(tmp_path.iterdir())
