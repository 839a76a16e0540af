"""Bytes to network inputs, against numpy in double precision.

Legend: N examples, C channels, H W space.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bnexp.config.schema import STANDARDIZE
from bnexp.data.standardize import SD_FLOOR, Standardizer


@pytest.fixture
def images_NCHW():
    """A dark and a bright channel, more images than a chunk of the fit; pixel (0, 0) always 0 and (1, 1) always 255."""
    rng = np.random.default_rng(0)
    images = (rng.integers(0, 256, (1207, 2, 4, 3)) * np.array([0.3, 1.0])[:, None, None]).astype(np.uint8)
    images[:, :, 0, 0], images[:, :, 1, 1] = 0, 255
    return images


def expected(images, mode, binarize):
    u = (images / 255 > 0.5).astype(float) if binarize else images / 255
    if mode == "none":
        return images.astype(float)
    if mode == "unit":
        return u
    if mode == "per_pixel":
        return (u - u.mean(0)) / np.maximum(u.std(0), SD_FLOOR)
    centred = u - u.mean((0, 2, 3), keepdims=True)
    return centred if mode == "center" else centred / u.std((0, 2, 3), keepdims=True)


@pytest.mark.parametrize(
    ("mode", "binarize"), [*((m, False) for m in STANDARDIZE), *((m, True) for m in STANDARDIZE[1:])]
)
def test_every_mode_equals_numpy(images_NCHW, config, mode, binarize):
    result = Standardizer(images_NCHW, config(standardize=mode, binarize=binarize))(torch.from_numpy(images_NCHW))
    assert result.dtype == torch.float32
    np.testing.assert_allclose(result.numpy(), expected(images_NCHW, mode, binarize), rtol=1e-5, atol=2e-6)
    floats = torch.from_numpy(images_NCHW).float()
    prepare = Standardizer(images_NCHW, config(standardize=mode, binarize=binarize))
    assert torch.equal(prepare.of_floats(floats), result)
    assert torch.equal(floats, torch.from_numpy(images_NCHW).float())


def test_binarize_decides_every_byte_as_the_definition_does(images_NCHW, config):
    all_bytes = torch.arange(256, dtype=torch.uint8).reshape(256, 1, 1, 1)
    result = Standardizer(images_NCHW, config(binarize=True))(all_bytes).flatten().numpy()
    assert result.tolist() == (np.arange(256) / 255 > 0.5).astype(float).tolist()


def test_no_input_is_further_than_the_floor_allows(images_NCHW, config):
    images_NCHW[:, :, 0, 0] = 0
    images_NCHW[5, :, 0, 0] = 255
    result = Standardizer(images_NCHW, config(standardize="per_pixel"))(torch.from_numpy(images_NCHW))
    assert 9 < result.abs().max() <= 1 / SD_FLOOR


def test_only_the_images_it_was_fitted_on_matter(images_NCHW, config):
    fitted = Standardizer(images_NCHW, config(standardize="global"))
    alone = fitted(torch.from_numpy(images_NCHW[:1]))
    assert torch.equal(alone, fitted(torch.from_numpy(images_NCHW))[:1])


def test_images_of_one_grey_value_do_not_divide_by_zero(config):
    images = np.full((5, 1, 3, 3), 7, np.uint8)
    result = Standardizer(images, config(standardize="global"))(torch.from_numpy(images))
    assert result.abs().max() < 1e-6


def test_the_batch_itself_is_not_changed(images_NCHW, config):
    x = torch.from_numpy(images_NCHW)
    kept = x.clone()
    Standardizer(images_NCHW, config(standardize="global"))(x)
    assert torch.equal(x, kept)
