"""Index batches: permutations, and resuming in the middle of one."""

from __future__ import annotations

import pytest
import torch

from bnexp.data.batches import Batches
from bnexp.errors import UserError
from bnexp.rng import torch_stream


def make(num_examples=10, batch_size=3, seed=0):
    return Batches(num_examples, batch_size, torch_stream(seed, "order"))


def draw(batches, count):
    return torch.stack([batches.next() for _ in range(count)])


def test_an_epoch_holds_each_example_at_most_once_and_batches_are_full():
    for epoch in draw(make(), 12).reshape(4, 9):
        assert len(set(epoch.tolist())) == 9
        assert set(epoch.tolist()) <= set(range(10))


def test_without_a_remainder_an_epoch_is_a_permutation():
    epochs = draw(make(12, 3), 8).reshape(2, 12)
    assert [sorted(epoch.tolist()) for epoch in epochs] == [list(range(12))] * 2
    assert not torch.equal(epochs[0], epochs[1])


def test_an_example_left_out_of_one_epoch_comes_in_others():
    assert set(draw(make(), 60).flatten().tolist()) == set(range(10))


def test_the_order_depends_on_the_seed_alone():
    assert torch.equal(draw(make(), 9), draw(make(), 9))
    assert not torch.equal(draw(make(), 9), draw(make(seed=1), 9))


@pytest.mark.parametrize("before", [0, 2, 3, 7])
def test_a_restored_order_goes_on_exactly_as_the_unbroken_one(before):
    unbroken = make()
    for _ in range(before):
        unbroken.next()
    state = unbroken.state()
    resumed = make(seed=5)
    resumed.next()
    resumed.restore(state)
    assert torch.equal(draw(resumed, 11), draw(unbroken, 11))


def test_a_state_is_a_snapshot():
    batches = make()
    state = batches.state()
    first = draw(batches, 7)
    batches.restore(state)
    assert torch.equal(draw(batches, 7), first)


def test_no_global_generator_moves():
    before = torch.get_rng_state()
    draw(make(), 5)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(UserError) as error:
        make(10, 11)
    assert str(error.value) == (
        "train.batch_size must not be larger than the 10 training examples\n"
        "  got: train.batch_size=11\n"
        "  try: train.batch_size=10"
    )


def test_a_batch_of_everything_is_allowed():
    assert sorted(make(10, 10).next().tolist()) == list(range(10))


def test_a_batch_of_everything_has_one_order_for_good():
    batches = make(10, 10)
    first = draw(batches, 3)
    state = batches.state()
    assert (first == first[0]).all()
    assert torch.equal(batches.order, first[0])
    assert first[0].tolist() != sorted(first[0].tolist())  # micro-batches of a sorted file would hold one class
    resumed = make(10, 10, seed=5)
    resumed.restore(state)
    assert torch.equal(draw(resumed, 2), first[:2])


def test_an_epochs_order_is_where_the_examples_are():
    there = Batches(10, 3, torch_stream(0, "order"), "meta")
    assert there.next().device.type == "meta"
    assert make().next().device.type == "cpu"
