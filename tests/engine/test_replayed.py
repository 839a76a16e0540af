"""A replayed step does what the compiled one does, or it is not used."""

from __future__ import annotations

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing import assert_close

from bnexp.engine import replayed
from bnexp.engine.kernels import with_fastest_products
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


def replay_of(weight):
    before = weight.clone()
    return replay(step, [weight], BATCH, lambda: weight.copy_(before))


def test_a_replayed_step_trains_and_answers_as_the_compiled_one(monkeypatch):
    monkeypatch.setattr(replayed, "recorded", recorded)
    weight, expected_weight = torch.zeros(3), torch.zeros(3)
    again = replay_of(weight)
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
    monkeypatch.setattr(replayed, "recorded", broken)
    assert replay_of(torch.zeros(3)) is None


@pytest.mark.slow
def test_recorded_kernels_do_again_what_inductors_code_does(monkeypatch):
    def step(weight, x):
        y = (x @ weight).relu()
        weight.sub_(0.1 * (x.t() @ y))
        return y.sum(), (y @ weight.t()).square().sum()

    weight, x = torch.rand(9, 5), torch.rand(6, 9)
    graph = make_fx(step)(weight.clone(), x)
    with_fastest_products(graph)
    compiled = torch._inductor.compile(graph, [weight, x])
    held = torch.zeros_like(x)
    again, answer = replayed.recorded(lambda: compiled(weight, held))
    for _ in range(3):
        expected_weight, batch = weight.clone(), torch.rand(6, 9)
        expected = step(expected_weight, batch)
        held.copy_(batch)
        again()
        assert_close(answer, expected)
        assert_close(weight, expected_weight)
    with pytest.raises(RuntimeError, match="0 kernels"):
        replayed.recorded(lambda: None)
    monkeypatch.setattr(replayed, "MOST_HELD", 100)
    with pytest.raises(RuntimeError, match=r"kernels on [\d,]+ bytes"):
        replayed.recorded(lambda: compiled(weight, held))
