"""What a compiled step is fed is what the eager step computes for itself, to the bit, or torch's own operations do it."""

from __future__ import annotations

import pytest
import torch

from bnexp.config.compose import compose
from bnexp.engine import feed as feeding
from bnexp.engine import step
from bnexp.engine.build import Experiment, build
from bnexp.engine.feed import feed_of

SMALL = ("dataset.train_examples=200", "train.batch_size=37", "probes=none", "device=cpu", "threads=1")


def experiment(*overrides: str) -> Experiment:
    return build(compose([*SMALL, *overrides]))


@pytest.mark.parametrize(
    "words",
    [
        (), ("dataset.binarize=true", "dataset.standardize=unit"), ("dataset.standardize=none",),
        ("dataset.standardize=per_pixel",), ("model=cnn",),
        ("model=cnn", "dataset=coloured_digits", "dataset.standardize=per_pixel"),
        pytest.param(("dataset.binarize=true", "dataset.standardize=per_pixel"), marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_a_fed_batch_is_the_standardised_one_to_the_bit(words):
    built = experiment(*words)
    feed = feed_of(built)
    assert feed is not None
    for _ in range(7):  # into a second epoch
        indices = built.batches.next()
        inputs, labels = feed(indices)
        expected = built.training_batch(indices, built.augmentation)
        assert torch.equal(inputs, expected[0])
        assert torch.equal(labels, expected[1])
        assert inputs.stride() == expected[0].stride()
        assert (inputs.data_ptr(), labels.data_ptr()) == tuple(part.data_ptr() for part in feed.batch)


@pytest.mark.parametrize("words", [("dataset.crop=2",), ("dataset.flip=true",)])
def test_what_is_augmented_is_not_fed(words, capsys):
    assert feed_of(experiment(*words)) is None
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("kernel", "reason"),
    [(lambda _: 1 / 0, "ZeroDivisionError: division by zero"), (lambda _: lambda *_: None, "wrong answers")],
)
def test_without_it_torch_gathers_and_says_so(monkeypatch, capsys, kernel, reason):
    step.say_once.cache_clear()
    monkeypatch.setattr(feeding, "_kernel", kernel)
    assert feed_of(experiment()) is None
    assert capsys.readouterr().err == f"batches are gathered operation by operation, which takes longer ({reason})\n"
