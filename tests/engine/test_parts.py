"""The small parts of the engine: ledger, stopwatch, optimiser, threads, what is built."""

from __future__ import annotations

import inspect
import platform
import subprocess
import sys
import time
from dataclasses import replace
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from bnexp.engine import journal
from bnexp.engine.build import build, build_optimizer
from bnexp.engine.device import pick_device, use_threads
from bnexp.engine.ensemble import Block
from bnexp.engine.journal import Ledger, Progress, Reading
from bnexp.engine.step import set_lr, train_step
from bnexp.errors import UserError
from bnexp.models.blocks import NormAct

NAN = float("nan")


@pytest.fixture
def ledger():
    """A ledger of batches of 10 with the losses 1, 2, ... and the counts 1, 2, ... given."""

    def fill(*losses: float) -> Ledger:
        filled = Ledger(10)
        for index, loss in enumerate(losses, start=1):
            filled.add(torch.tensor(loss), torch.tensor(index))
        return filled

    return fill


def test_a_reading_is_the_mean_since_the_last_one(ledger):
    filled = ledger(1.0, 2.0, 6.0)
    assert filled.read(3) == Reading(3, 3.0, 0.2, None)
    assert filled.read(3) is None
    filled.add(torch.tensor(5.0), torch.tensor(10))
    assert filled.read(4) == Reading(1, 5.0, 1.0, None)


def test_answers_that_the_next_step_writes_into_are_kept():
    """A replayed step and a captured one always answer in the same memory."""
    alone, block = Ledger(10), Block([Ledger(10), Ledger(10)])
    for taker, shape in ((alone, ()), (block, (2,))):
        loss, correct = torch.zeros(shape), torch.zeros(shape, dtype=torch.int64)
        for number in (1, 2, 6):
            taker.add(loss.fill_(number), correct.fill_(number))
    block.deal()
    assert [ledger.read(3) for ledger in (alone, *block.ledgers)] == [Reading(3, 3.0, 0.3, None)] * 3


@pytest.mark.parametrize("bad", [NAN, float("inf"), -float("inf")])
def test_the_first_loss_that_is_not_finite_is_named_by_its_update(ledger, bad):
    assert not ledger(1.0, 2.0).broken()
    filled = ledger(1.0, 2.0, bad, 3.0, NAN)
    assert filled.broken()
    assert filled.read(25).diverged_at == 23


def test_time_aside_is_not_training(monkeypatch):
    now = iter([0.0, 10.0, 13.0, 20.0])
    monkeypatch.setattr(journal.time, "perf_counter", lambda: next(now))
    watch = journal.Stopwatch({"train": 100.0, "eval": 7.0})
    with watch.aside("eval"):
        pass
    assert watch.spent() == {"train": 117.0, "eval": 10.0, "probe": 0.0, "record": 0.0, "compile": 0.0}


def test_a_stopwatch_runs():
    watch = journal.Stopwatch()
    time.sleep(0.01)
    assert 0.01 <= watch.train_seconds() < 5


def decayed(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Parameter name to its weight decay; each must be there once."""
    by_id = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(by_id)
    return {name: by_id[id(p)] for name, p in model.named_parameters()}


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("decay_norm", [True, False])
def test_weight_decay_spares_the_norms_when_asked_to(make, name, decay_norm):
    experiment = build(make(f"optimizer={name}"))
    config = replace(experiment.config.optimizer, weight_decay=0.25, decay_norm=decay_norm)
    decays = decayed(experiment.model, build_optimizer(config, experiment.model))
    norms = {id(p) for m in experiment.model.modules() if isinstance(m, NormAct) for p in m.norm.parameters()}
    for parameter, (key, decay) in zip(experiment.model.parameters(), decays.items(), strict=True):
        assert decay == (0.0 if id(parameter) in norms and not decay_norm else 0.25), key
    assert len(norms) == 6


def test_a_net_without_norms_has_all_its_weights_decayed(make):
    experiment = build(make("norm=none", "optimizer.decay_norm=false", "optimizer.weight_decay=0.5"))
    assert set(decayed(experiment.model, experiment.optimizer).values()) == {0.5}


@pytest.mark.parametrize(
    ("words", "kind", "facts"),
    [
        (["optimizer.momentum=0.8", "optimizer.nesterov=true"], torch.optim.SGD, {"momentum": 0.8, "nesterov": True}),
        (
            ["optimizer=adam", "optimizer.beta1=0.8", "optimizer.eps=0.1"],
            torch.optim.Adam,
            {"betas": (0.8, 0.999), "eps": 0.1},
        ),
        (["optimizer=adamw"], torch.optim.AdamW, {"weight_decay": 0.01, "lr": 0.001}),
    ],
)
def test_an_optimizer_gets_the_options_of_its_config(make, words, kind, facts):
    optimizer = build(make(*words)).optimizer
    assert type(optimizer).__bases__ == (kind,)
    assert {key: optimizer.param_groups[0][key] for key in facts} == facts


@pytest.mark.parametrize("words", [["optimizer.nesterov=true"], ["optimizer=adam"], ["optimizer=adamw"]])
def test_an_optimizer_without_torchs_wrappers_takes_the_same_steps_to_the_bit(make, words):
    ours, theirs = (build(make(*words)) for _ in range(2))
    (stock,) = type(ours.optimizer).__bases__
    options = {name: ours.optimizer.param_groups[0].get(name) for name in inspect.signature(stock).parameters}
    plain = stock(**(options | {"params": theirs.model.parameters()}))
    for experiment, optimizer in ((ours, ours.optimizer), (theirs, plain)):
        for _ in range(3):
            train_step(
                experiment.model, optimizer, *experiment.training_batch(experiment.batches.next(), experiment.noise)
            )
    assert all(map(torch.equal, ours.model.parameters(), theirs.model.parameters()))
    theirs.optimizer.load_state_dict(plain.state_dict())
    states = [experiment.optimizer.state_dict() for experiment in (ours, theirs)]
    torch.testing.assert_close(states[0]["state"], states[1]["state"], rtol=0, atol=0)
    assert states[0]["param_groups"] == states[1]["param_groups"]


def test_the_learning_rate_is_set_for_every_group(make):
    optimizer = build(make("optimizer.decay_norm=false")).optimizer
    set_lr(optimizer, 0.7)
    assert [group["lr"] for group in optimizer.param_groups] == [0.7, 0.7]


@pytest.mark.parametrize(
    ("asked", "inherited", "layer", "expected"),
    [
        (3, "2", nn.Conv2d(1, 1, 1), 3),
        (None, "2", nn.Conv2d(1, 1, 1), 2),
        (None, None, nn.Conv2d(1, 1, 1), 5),
        (None, None, nn.Linear(1, 1), 1),
    ],
)
def test_threads_are_those_asked_for_then_inherited_then_what_the_net_gains_from(
    monkeypatch, asked, inherited, layer, expected
):
    monkeypatch.setattr("joblib.cpu_count", lambda: 5)
    if inherited:
        monkeypatch.setenv("BNEXP_THREADS", inherited)
    assert use_threads(asked, layer) == torch.get_num_threads() == expected


FAULTS = """
import resource, torch
from bnexp.engine.device import keep_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        pieces = [torch.ones(2**22) for _ in range(6)]
        del pieces
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
given_back = faults()
keep_memory()
faults()
print(given_back, faults())
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="keep_memory is for glibc")
def test_memory_that_is_freed_is_not_fetched_again_page_by_page():
    answer = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    given_back, kept = map(int, answer.stdout.split())
    if given_back < 10_000:
        pytest.skip("this C library keeps such pieces without being told")
    assert kept < 100


HUGE = """
import torch
from pathlib import Path
from bnexp.engine.device import keep_memory

keep_memory()
piece = torch.ones(2**22)  # 16 MB
print(next(line for line in Path("/proc/self/smaps_rollup").read_text().splitlines() if line.startswith("AnonHugePages")))
"""
PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="keep_memory is for glibc")
@pytest.mark.skipif(not PAGES.exists() or "[madvise]" not in PAGES.read_text(), reason="huge pages come to all or to none here")
def test_memory_comes_in_huge_pages():
    answer = subprocess.run([sys.executable, "-c", HUGE], capture_output=True, text=True, check=True)
    assert int(answer.stdout.split()[1]) >= 14 * 1024  # KB; what numpy asks for is smaller


def test_no_gpu_is_taken_for_granted(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert pick_device("auto").type == "cpu"
    with pytest.raises(UserError, match="no CUDA device"):
        pick_device("cuda")


@pytest.mark.parametrize("name", ["cuda:2", "cuda:x", "cuda:-1"])
def test_a_gpu_that_is_not_there_is_refused(monkeypatch, name):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert pick_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(UserError, match="there are 2 CUDA devices, numbered from 0"):
        pick_device(name)


def test_augmentation_changes_training_batches_only(make):
    experiment = build(make("dataset.flip=true", "dataset.crop=2"))
    indices = torch.arange(50)
    plain = experiment.prepare(experiment.train.images[indices])
    augmented, labels = experiment.training_batch(indices, experiment.augmentation)
    assert not torch.equal(augmented, plain)
    assert torch.equal(labels, experiment.train.labels[indices])


@pytest.mark.parametrize(("validation", "batch", "seen"), [(47, 20, 47), (15, 20, 20), (1, 20, 20), (100, 100, 100)])
def test_probes_are_given_at_least_one_whole_training_batch(make, monkeypatch, validation, batch, seen):
    views = []
    monkeypatch.setattr("bnexp.engine.build.build_probes", lambda _, view: views.append(view) or {})
    experiment = build(make(f"dataset.validation_examples={validation}", f"train.batch_size={batch}"))
    (view,) = views
    assert len(view.inputs) == len(view.labels) == seen
    pictures = {picture.numpy().tobytes() for picture in experiment.prepare(experiment.validation.images)}
    assert {picture.numpy().tobytes() for picture in view.inputs} <= pictures
    assert len({picture.numpy().tobytes() for picture in view.inputs}) == min(validation, seen)


def test_a_bar_says_that_a_run_is_being_prepared_until_its_first_step(monkeypatch):
    terminal = StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)
    progress = Progress("a run", 3000)
    assert terminal.getvalue().rstrip().endswith("left, preparing")
    progress.scalar(1, "train/loss", 0.5)
    progress._bar.refresh()
    assert terminal.getvalue().rstrip().endswith("left, loss 0.500")


def test_what_is_left_is_foretold_without_what_came_before_the_first_step(monkeypatch, capsys):
    now = [100.0]
    monkeypatch.setattr("bnexp.engine.journal.time", SimpleNamespace(monotonic=lambda: now[0]))
    progress = Progress("a run", 3000)
    for seconds, step in ((20, 1), (10, 1001), (1, 1101), (9, 2001)):  # it compiles for 20 s
        now[0] += seconds
        progress.scalar(step, "train/loss", 0.5)
    progress.close({})
    assert capsys.readouterr().err.splitlines() == [
        "a run: step 1001/3000, loss 0.500, 100 steps/s, 20 s left",
        "a run: step 2001/3000, loss 0.500, 100 steps/s, 10 s left",
    ]
