"""A replayed step does what the compiled one does, or it is not used."""

from __future__ import annotations

import pytest
import torch

from bnexp.engine import kernels
from bnexp.engine.replayed import replay

BATCH = torch.randint(0, 256, (6, 1, 2, 2), dtype=torch.uint8), torch.arange(6)


def step(weight, images, labels):
    weight.add_(images.mean())
    return images.square().sum(), labels.sum()


def recorded(run, *, every=True):
    """What Inductor's kernels would do: write into the tensors of the first call. Of these, or only into the loss."""
    answer = run()

    def again():
        for old, new in list(zip(answer, run(), strict=True))[: 2 if every else 1]:
            old.copy_(new)

    return again, answer


def replayed(weight):
    before = weight.clone()
    return replay(step, [weight], BATCH, lambda: weight.copy_(before))


def test_a_replayed_step_trains_and_answers_as_the_compiled_one(monkeypatch):
    monkeypatch.setattr(kernels, "recorded", recorded)
    weight, expected_weight = torch.zeros(3), torch.zeros(3)
    again = replayed(weight)
    weight.zero_()
    for images, labels in (BATCH, (BATCH[0] // 2, BATCH[1] + 1)):
        assert again(images, labels) == step(expected_weight, images.float(), labels)
    assert torch.equal(weight, expected_weight)


def refuses(_):
    raise RuntimeError("0 kernels")


@pytest.mark.parametrize(
    "broken",
    [
        lambda run: recorded(run, every=False),  # the count of correct answers stays that of the first batch
        lambda run: (lambda: None, run()),  # so does all
        refuses,
    ],
)
def test_a_recording_that_lacks_something_or_cannot_be_made_is_not_used(monkeypatch, broken):
    monkeypatch.setattr(kernels, "recorded", broken)
    assert replayed(torch.zeros(3)) is None
