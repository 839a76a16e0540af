"""How a data set becomes three parts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnexp.data.dataset import load_splits, stratified_order
from bnexp.data.source import Part, Source
from bnexp.errors import UserError


@pytest.fixture
def load(config, npz_file):
    """Splits of the synthetic file, with some values of the config changed."""
    return lambda **changes: load_splits(config(options={"path": str(npz_file)}, **changes), npz_file.parent)


def numbers(part):
    """Which images of the file a part holds."""
    return part.images[:, 0, 0, 0].tolist()


def test_parts_are_disjoint_and_lose_nothing(load):
    splits = load()
    assert sorted(numbers(splits.train) + numbers(splits.validation)) == list(range(100))
    assert len(splits.validation) == 20


def test_images_keep_their_labels(load, arrays):
    for part in (load().train, load().validation):
        assert part.labels.tolist() == arrays["y_train"][numbers(part)].tolist()
        assert np.array_equal(part.images[:, 0], arrays["x_train"][numbers(part)])


def test_test_part_is_untouched(load, arrays):
    assert np.array_equal(load().test.images[:, 0], arrays["x_test"])
    assert np.array_equal(load().test.labels, arrays["y_test"])


def test_validation_has_the_class_proportions_of_the_whole(load):
    assert np.bincount(load().validation.labels).tolist() == [12, 6, 2]
    assert np.bincount(load(train_examples=40).train.labels).tolist() == [24, 12, 4]


def test_a_smaller_training_subset_is_the_beginning_of_a_larger_one(load):
    small, large = numbers(load(train_examples=10).train), numbers(load(train_examples=50).train)
    assert large[:10] == small
    assert numbers(load().train)[:50] == large


def test_validation_does_not_depend_on_the_training_subset(load):
    assert numbers(load(train_examples=10).validation) == numbers(load().validation)


def test_the_order_is_not_that_of_the_file(load):
    zeros = [number for number in numbers(load().train) if number < 60]
    assert zeros != sorted(zeros)


def test_splitting_twice_gives_the_same_and_moves_no_global_generator(load):
    before = np.random.get_state()[1].tolist()
    first, second = load(), load()
    assert numbers(first.train) == numbers(second.train)
    assert first.checksum == second.checksum
    assert np.random.get_state()[1].tolist() == before


@pytest.mark.parametrize("change", [{"validation_examples": 21}, {"train_examples": 79}, {"pad": 1}])
def test_checksum_tells_different_splits_apart(load, change):
    assert load(**change).checksum != load().checksum


def test_checksum_tells_a_changed_pixel_apart(load, npz_file, arrays):
    before = load().checksum
    arrays["x_test"][3, 2, 1] += 1
    np.savez(npz_file, **arrays)
    assert load().checksum != before


def test_pad_adds_zero_pixels_on_every_side_of_every_part(load):
    padded, plain = load(pad=2), load()
    assert padded.train.images.shape[1:] == (1, 10, 9)
    for part, same in ((padded.train, plain.train), (padded.validation, plain.validation), (padded.test, plain.test)):
        assert np.array_equal(part.images[:, :, 2:-2, 2:-2], same.images)
        assert part.images.sum() == same.images.sum()


@settings(deadline=None, max_examples=60)
@given(counts=st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(sum), seed=st.integers(0, 99))
def test_every_prefix_of_a_stratified_order_is_balanced(counts, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    order = stratified_order(labels, np.random.default_rng(seed))
    assert sorted(order.tolist()) == list(range(len(labels)))
    shares = np.array(counts) / sum(counts)
    taken = np.cumsum(np.eye(len(counts))[labels[order]], axis=0)
    sizes = np.arange(1, len(labels) + 1)[:, None]
    assert (np.abs(taken - sizes * shares) <= 1 + len(counts) / 2 * shares).all()


def test_a_rare_class_does_not_come_early():
    labels = np.repeat([0, 1], [90, 10])
    order = stratified_order(labels, np.random.default_rng(0))
    assert np.flatnonzero(labels[order] == 1)[:2].tolist() == [5, 15]


def test_all_examples_of_a_class_are_equally_likely_to_come_first():
    labels = np.array([0, 0, 0, 1, 1, 1])
    firsts = [stratified_order(labels, np.random.default_rng(seed))[0] for seed in range(600)]
    assert min(np.bincount(firsts, minlength=3)[:3]) > 150


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"validation_examples": 100},
            "dataset.validation_examples leaves nothing to train on: dataset=npz has 100 training examples\n"
            "  got: dataset.validation_examples=100\n"
            "  try: dataset.validation_examples=16",
        ),
        (
            {"train_examples": 81},
            "dataset.train_examples is more than the 80 that the validation split leaves of the 100"
            " training examples of dataset=npz\n"
            "  got: dataset.train_examples=81\n"
            "  try: dataset.train_examples=80, or null for all of them",
        ),
        (
            {"crop": 5},
            "dataset.crop shifts by up to that many pixels and must be less than the image's 5\n"
            "  got: dataset.crop=5\n"
            "  try: dataset.crop=1",
        ),
    ],
)
def test_asking_for_more_than_there_is_says_what_there_is(load, changes, message):
    with pytest.raises(UserError) as error:
        load(**changes)
    assert str(error.value) == message


def test_all_but_one_example_may_be_held_out(load):
    assert len(load(validation_examples=99).train) == 1


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (np.zeros((2, 1, 3, 3), np.float32), np.zeros(2, np.int64)),
        (np.zeros((2, 3, 3), np.uint8), np.zeros(2, np.int64)),
        (np.zeros((2, 3, 3, 1), np.uint8).transpose(0, 3, 1, 2)[:, :, ::2], np.zeros(2, np.int64)),
        (np.zeros((2, 1, 3, 3), np.uint8), np.zeros(3, np.int64)),
        (np.zeros((2, 1, 3, 3), np.uint8), np.zeros(2, np.int32)),
    ],
)
def test_a_part_refuses_arrays_of_another_kind(images, labels):
    with pytest.raises(ValueError, match="must be"):
        Part(images, labels)


def test_a_source_refuses_parts_that_do_not_fit_together():
    part = Part(np.zeros((2, 1, 3, 3), np.uint8), np.array([0, 1]))
    with pytest.raises(ValueError, match="differ"):
        Source(part, part.padded(1), 2)
    with pytest.raises(ValueError, match=r"0\.\.0"):
        Source(part, part, 1)
