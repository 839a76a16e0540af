"""Index batches: permutations, and resuming in the middle of one."""

from __future__ import annotations

import pytest
import torch

from bnexp.data.batches import Batches
from bnexp.errors import UserError
from bnexp.rng import torch_stream


def make(num_examples=10, batch_size=3, seed=0, **order):
    return Batches(num_examples, batch_size, torch_stream(seed, "order"), **order)


#: Nine examples of class 0, eight of 1, ten of 2, and nine of 3.
LABELS = torch.tensor([0, 1, 2, 3] * 8 + [0, 3, 2, 2])


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
    assert torch.equal(batches.epoch()[0], first[0])
    assert first[0].tolist() != sorted(first[0].tolist())  # micro-batches of a sorted file would hold one class
    resumed = make(10, 10, seed=5)
    resumed.restore(state)
    assert torch.equal(draw(resumed, 2), first[:2])


def test_an_epochs_order_is_where_the_examples_are():
    there = Batches(10, 3, torch_stream(0, "order"), "meta")
    assert there.next().device.type == "meta"
    assert make().next().device.type == "cpu"


def sets(epoch):
    return sorted(sorted(batch.tolist()) for batch in epoch)


def test_fixed_batches_come_again_in_another_order():
    epochs = draw(make(14, 3, order="fixed"), 12).reshape(3, 4, 3)
    assert sets(epochs[0]) == sets(epochs[1]) == sets(epochs[2])
    assert len(set(epochs[0].flatten().tolist())) == 12
    assert not torch.equal(epochs[0], epochs[1])
    assert sets(epochs[0]) != sets(make(14, 3, seed=1, order="fixed").epoch())


@pytest.mark.parametrize(("order", "together", "num_batches"), [("one_class", 1, 11), ("two_classes", 2, 11)])
def test_batches_of_few_classes(order, together, num_batches):
    first, second = (draw(make(36, 3, order=order, labels=LABELS), 2 * num_batches)[part] for part in (slice(11), slice(11, 22)))
    for epoch in (first, second):
        assert max(len(set(LABELS[batch].tolist())) for batch in epoch) == together
        assert len(set(epoch.flatten().tolist())) == 3 * num_batches
    assert sets(first) != sets(second)  # dealt anew
    starts = {LABELS[make(36, 3, seed=seed, order=order, labels=LABELS).next()[0]].item() for seed in range(20)}
    assert starts == {0, 1, 2, 3}  # in a random order


@pytest.mark.parametrize("order", ["fixed", "one_class", "two_classes"])
def test_every_order_goes_on_where_it_was_and_depends_on_the_seed_alone(order):
    unbroken, resumed = (make(36, 3, order=order, labels=LABELS) for _ in range(2))
    draw(unbroken, 17)
    resumed.restore(unbroken.state())
    assert torch.equal(draw(resumed, 20), draw(unbroken, 20))


def test_a_class_that_fills_no_batch_is_refused():
    with pytest.raises(UserError) as error:
        make(36, 9, order="two_classes", labels=LABELS)
    assert str(error.value) == (
        "train.order=two_classes fills batches with examples of a class, and of one class there are only 8\n"
        "  got: train.batch_size=9\n"
        "  try: train.batch_size=8, or train.order=shuffled"
    )
