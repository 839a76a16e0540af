"""Batch augmentation against the obvious loop over images.

Legend: B batch, C channels, H W space.
"""

from __future__ import annotations

import pytest
import torch

from bnexp.data.augment import augment, crop, flip
from bnexp.rng import torch_stream

SHAPES = [(40, 1, 5, 7), (40, 3, 8, 8)]


def bytes_of(shape):
    return torch.randint(256, shape, generator=torch_stream(0, "test"), dtype=torch.uint8)


def generator(seed=0):
    return torch_stream(seed, "augment")


def slow_flip(x_BCHW, generator):
    mirrored = torch.randint(2, (len(x_BCHW),), generator=generator)
    return torch.stack([image.flip(2) if mirror else image for image, mirror in zip(x_BCHW, mirrored, strict=True)])


def slow_crop(x_BCHW, shift, generator):
    _, channels, height, width = x_BCHW.shape
    tops, lefts = (torch.randint(2 * shift + 1, (len(x_BCHW),), generator=generator) for _ in range(2))
    out = torch.zeros_like(x_BCHW)
    for index, (top, left) in enumerate(zip(tops.tolist(), lefts.tolist(), strict=True)):
        canvas = torch.zeros(channels, height + 2 * shift, width + 2 * shift, dtype=torch.uint8)
        canvas[:, shift : shift + height, shift : shift + width] = x_BCHW[index]
        out[index] = canvas[:, top : top + height, left : left + width]
    return out


@pytest.mark.parametrize("shape", SHAPES)
def test_flip_equals_its_slow_twin(shape):
    x = bytes_of(shape)
    assert torch.equal(flip(x, generator()), slow_flip(x, generator()))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("shift", [1, 4])
def test_crop_equals_its_slow_twin(shape, shift):
    x = bytes_of(shape)
    assert torch.equal(crop(x, shift, generator()), slow_crop(x, shift, generator()))


def test_about_half_of_the_images_are_mirrored():
    x = bytes_of((2000, 1, 2, 2))
    x[..., 0], x[..., 1] = 0, 1
    assert 0.45 < flip(x, generator())[:, 0, 0, 0].float().mean() < 0.55


def test_every_shift_occurs():
    x = torch.zeros(500, 1, 5, 5, dtype=torch.uint8)
    x[:, :, 2, 2] = 1
    places = crop(x, 1, generator()).flatten(1).argmax(1)
    assert set(places.tolist()) == {row * 5 + column for row in (1, 2, 3) for column in (1, 2, 3)}


def test_augment_does_what_the_config_says_and_leaves_its_input_alone(config):
    x = bytes_of((40, 3, 8, 8))
    kept = x.clone()
    stream = generator()
    expected = slow_flip(slow_crop(x, 2, stream), stream)
    assert torch.equal(augment(x, config(flip=True, crop=2), generator()), expected)
    assert torch.equal(x, kept)


def test_without_augmentation_nothing_is_drawn(config):
    x, stream = bytes_of((4, 1, 3, 3)), generator()
    before = stream.get_state()
    assert augment(x, config(), stream) is x
    assert torch.equal(stream.get_state(), before)


def test_the_result_depends_on_the_generator_and_on_no_global_one(config):
    x, both = bytes_of((40, 1, 8, 8)), config(flip=True, crop=2)
    before = torch.get_rng_state()
    first = augment(x, both, generator())
    assert torch.equal(first, augment(x, both, generator()))
    assert not torch.equal(first, augment(x, both, generator(1)))
    assert torch.equal(torch.get_rng_state(), before)
