"""Runs side by side are the same runs: each equals the plain loop's, whatever happens to its neighbours."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from bnexp.config.compose import compose
from bnexp.engine.build import build
from bnexp.engine.ensemble import NextBatch, StackedStep
from bnexp.engine.journal import ShareOfStopwatch, Stopwatch
from bnexp.engine.step import train_step
from bnexp.records.reader import RunRecord
from bnexp.runs import run as running
from bnexp.runs.many import execute_together, stacks
from bnexp.runs.run import execute

#: ./scripts/test leaves them out.
pytestmark = pytest.mark.slow

#: Side by side the sums of a matrix product may come in another order.
CLOSE = {"rtol": 2e-3, "atol": 2e-4}
#: One of each kind; ``tests/norms`` has every norm under ``vmap``.
STACKABLE = ("batch", "ghost", "renorm", "lp")


@pytest.fixture
def side_by_side(make):
    """The records of runs that trained as one program."""

    def carry_out(*rows: tuple[str, ...]) -> list[RunRecord]:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="There is a performance drop")  # vmap, of some norms
            answers = execute_together([(make(*words), words) for words in rows])
        assert all(answer.complete for answer in answers), answers
        return [answer.record for answer in answers]

    return carry_out


@pytest.fixture
def alone(make, tmp_path):
    """The record of the same run, by itself."""

    def carry_out(*words: str) -> RunRecord:
        return execute(make(*words, f"runs_dir={tmp_path / 'alone'}"), show=False).record

    return carry_out


@pytest.fixture
def make(composed, tmp_path):
    """As everywhere, but with a probe, and a run folder may be given."""

    def configure(*words: str):
        folder = [word.removeprefix("runs_dir=") for word in words if word.startswith("runs_dir=")]
        rest = [word for word in words if not word.startswith("runs_dir=")]
        return replace(composed("probes=light", *rest), runs_dir=folder[0] if folder else str(tmp_path / "runs"))

    return configure


def assert_same_run(one: RunRecord, other: RunRecord) -> None:
    assert one.header["run_id"] == other.header["run_id"]
    assert one.header["hashes"] == other.header["hashes"]
    mine, theirs = list(one.events()), list(other.events())
    assert [(e["step"], e["name"]) for e in mine] == [(e["step"], e["name"]) for e in theirs]
    for name in ("train/loss", "val/loss", "train/lr"):
        np.testing.assert_allclose(one.curve(name).values, other.curve(name).values, **CLOSE)
    assert (one.end["status"], one.end["step"]) == (other.end["status"], other.end["step"])
    assert one.end["test"]["loss"] == pytest.approx(other.end["test"]["loss"], rel=2e-3)


def test_each_run_equals_the_plain_loop_with_its_own_seed_and_rate(side_by_side, alone):
    rows = [("seed=0", "optimizer.lr=0.1"), ("seed=1", "optimizer.lr=0.1"), ("seed=1", "optimizer.lr=0.02")]
    records = side_by_side(*rows)
    for record, words in zip(records, rows, strict=True):
        assert_same_run(record, alone(*words))
        assert record.end["execution"] == "3 side by side, eager"
    assert len({json.dumps(record.curve("train/loss").values) for record in records}) == 3


def test_norms_freeze_side_by_side_as_they_do_alone(side_by_side, alone):
    rows = [("seed=0", "norm.freeze_after=11"), ("seed=1", "norm.freeze_after=11")]
    for record, words in zip(side_by_side(*rows), rows, strict=True):
        assert_same_run(record, alone(*words))


def test_probes_see_each_run_as_the_plain_loop_has_it(side_by_side, alone):
    records = side_by_side(("seed=0",), ("seed=1",))
    for record, words in zip(records, (("seed=0",), ("seed=1",)), strict=True):
        mine, theirs = record.arrays("layer_inputs"), alone(*words).arrays("layer_inputs")
        assert list(mine) == list(theirs)
        for name, array in mine.items():
            np.testing.assert_allclose(array, theirs[name], rtol=1e-2, atol=2e-3, equal_nan=True)


def test_a_run_that_diverges_ends_at_its_update_and_disturbs_nobody(side_by_side, alone):
    wild = ("seed=1", "optimizer.lr=1e30", "norm=none", "model.activation=relu")
    calm = ("seed=0", "optimizer.lr=0.05", "norm=none", "model.activation=relu")
    first, second = side_by_side(wild, calm)
    expected = alone(*wild)
    assert first.end["status"] == "diverged" == expected.end["status"]
    assert first.end["step"] == expected.end["step"]
    assert_same_run(second, alone(*calm))


def test_augmentation_draws_from_each_runs_own_stream(make):
    runs = [build(make(f"seed={seed}", "dataset.crop=1", "dataset.flip=true")) for seed in (0, 1)]
    same = [build(make(f"seed={seed}", "dataset.crop=1", "dataset.flip=true")) for seed in (0, 1)]
    next_batch = NextBatch(runs)
    for _ in range(3):
        images, labels = next_batch()
        for place, run in enumerate(same):
            expected_images, expected_labels = run.training_examples(run.batches.next(), run.augmentation)
            assert torch.equal(images[place], expected_images)
            assert torch.equal(labels[place], expected_labels)


def step_both_ways(make, *words: str, backend: str | None = None, steps: int = 4) -> None:
    rows = [("seed=0", "optimizer.lr=0.05"), ("seed=1", "optimizer.lr=0.01"), ("seed=2", "optimizer.lr=0.02")]
    stacked, plain = ([build(make(*words, *row)) for row in rows] for _ in range(2))
    for run in (*stacked, *plain):
        run.model.train()
    advance, next_batch = StackedStep(stacked, backend), NextBatch(stacked)
    for _ in range(steps):
        loss, correct = advance(*next_batch(), 1.0)
        for place, run in enumerate(plain):
            expected = train_step(run.model, run.optimizer, *run.training_batch(run.batches.next(), run.augmentation))
            torch.testing.assert_close((loss[place], correct[place]), expected, rtol=1e-3, atol=1e-4)
    for mine, theirs in zip(stacked, plain, strict=True):
        torch.testing.assert_close(mine.model.state_dict(), theirs.model.state_dict(), rtol=1e-3, atol=1e-4)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("norm", STACKABLE)
def test_norms_step_as_they_do_alone(make, norm):
    step_both_ways(make, f"norm={norm}", "probes=none")


def test_each_run_folds_its_own_first_batch(side_by_side, alone):
    rows = [("norm=one_shot", "seed=0"), ("norm=one_shot", "seed=1")]
    for record, words in zip(side_by_side(*rows), rows, strict=True):
        assert_same_run(record, alone(*words))
        unfolded = alone(*words, "norm.fold=false").curve("train/loss").values
        first, second = record.curve("train/loss").values[:2], unfolded[:2]
        np.testing.assert_allclose(first[0], second[0], **CLOSE)  # the first update is from the same loss


def test_a_cumulative_average_steps_as_it_does_alone(make):
    step_both_ways(make, "norm.momentum=null", "probes=none")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model", ["linear", "resmlp", "cnn", "vit"])
def test_other_models_step_as_they_do_alone(small, model):
    words = [word for word in small if not (model == "linear" and word.startswith("model."))]
    norm = "norm=none" if model == "linear" else "norm=batch"
    patch = ("model.patch=3",) if model == "vit" else ()
    step_both_ways(lambda *more: compose([*words, *more]), f"model={model}", *patch, norm, "probes=none")


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_every_optimizer_steps_as_it_does_alone(make, optimizer):
    step_both_ways(make, f"optimizer={optimizer}", "optimizer.weight_decay=0.01", "optimizer.decay_norm=false")


@pytest.mark.filterwarnings("ignore")
def test_the_compiled_stack_steps_as_each_run_alone(make):
    step_both_ways(make, "probes=none", backend="inductor")


def test_what_can_train_together_differs_in_seed_and_rate_only(make):
    rows = [
        ("seed=0",),
        ("norm=none",),
        ("seed=1", "optimizer.lr=0.3"),
        ("norm=noisy",),
        ("norm=noisy", "seed=1"),
        ("seed=2",),
    ]
    assert stacks([make(*words) for words in rows], 2) == [[0, 2], [5], [1], [3], [4]]


def test_runs_that_are_complete_are_skipped_and_the_rest_is_trained(make):
    execute(make("seed=1"), show=False)
    answers = execute_together([(make(f"seed={seed}"), ()) for seed in range(3)])
    assert [answer.skipped for answer in answers] == [False, True, False]
    assert all(answer.record.status == "finished" for answer in answers)


def test_a_failure_is_written_into_every_record_of_the_program(make, monkeypatch):
    def burst(*_: object) -> None:
        raise RuntimeError("burst")

    monkeypatch.setattr(NextBatch, "__call__", burst)
    answers = execute_together([(make(f"seed={seed}"), ()) for seed in range(2)])
    assert all(answer.status == "failed" and answer.reason == "RuntimeError: burst" for answer in answers)
    assert all(answer.record.status == "failed" for answer in answers)


def test_interrupted_together_and_taken_up_again_is_the_unbroken_run(make, monkeypatch, tmp_path, without_clock):
    rows = [("seed=0",), ("seed=1", "optimizer.lr=0.02")]
    whole = execute_together([(make(*row, f"runs_dir={tmp_path / 'whole'}"), ()) for row in rows])
    real, calls = NextBatch.__call__, iter(range(1, 1000))

    def stop(self):
        if next(calls) == 17:
            raise KeyboardInterrupt
        return real(self)

    with monkeypatch.context() as patch:
        patch.setattr(running, "CHECKPOINT_SECONDS", -1)
        patch.setattr(NextBatch, "__call__", stop)
        with pytest.raises(KeyboardInterrupt):
            execute_together([(make(*row), ()) for row in rows])
    again = execute_together([(make(*row), ()) for row in rows])
    for one, other in zip(again, whole, strict=True):
        assert one.record.status == "finished"
        assert without_clock(one.record.folder) == without_clock(other.record.folder)


def test_a_checkpoint_of_one_run_does_not_hold_the_others(make, monkeypatch):
    sizes = []
    real = running.Recording.save

    def spy(self, step):
        real(self, step)
        sizes.append((self.folder / "checkpoint.pt").stat().st_size)

    monkeypatch.setattr(running.Recording, "save", spy)
    monkeypatch.setattr(running, "CHECKPOINT_SECONDS", -1)
    execute(make("seed=9"), show=False)
    single = max(sizes)
    sizes.clear()
    execute_together([(make(f"seed={seed}"), ()) for seed in range(3)])
    assert max(sizes) < 1.2 * single


def test_the_time_of_a_program_is_shared(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("bnexp.engine.journal.time.perf_counter", lambda: now[0])
    whole = Stopwatch()
    first, second = ShareOfStopwatch(whole, 2), ShareOfStopwatch(whole, 2, {"train": 5.0})
    now[0] += 4.0
    with first.aside("eval"):
        now[0] += 3.0
    with whole.aside("compile"):
        now[0] += 10.0
    now[0] += 2.0
    assert first.spent() == {"train": 3.0, "eval": 3.0, "probe": 0.0, "record": 0.0, "compile": 5.0}
    assert second.spent() == {"train": 8.0, "eval": 0.0, "probe": 0.0, "record": 0.0, "compile": 5.0}
