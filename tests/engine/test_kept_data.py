"""Runs of one data set, one after the other: the data are loaded once, but for a user's own files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from bnexp.config.compose import compose
from bnexp.data.source import Part, Source
from bnexp.engine.build import build


@pytest.fixture
def digits(make, tmp_path, monkeypatch):
    """Config of a data set whose files have official checksums, stood in for by noise."""
    rng = np.random.default_rng(0)

    def parse() -> Source:
        part = Part(rng.integers(0, 256, (4000, 1, 28, 28), dtype=np.uint8), rng.permutation(4000) % 10)
        return Source(part, part, 10)

    monkeypatch.setattr("bnexp.data.mnist_5k._parse", parse)
    dataset = compose(["dataset=mnist_5k"]).dataset
    return replace(make("probes=none"), dataset=dataset, data_dir=str(tmp_path / "data"))


def test_the_data_of_one_run_are_those_of_the_next(digits):
    first, second = build(digits), build(replace(digits, seed=1))
    assert second.train is first.train
    smaller = build(replace(digits, dataset=replace(digits.dataset, train_examples=1000)))
    assert len(smaller.train) == 1000
    assert torch.equal(build(digits).train.images, first.train.images)


def test_a_users_own_file_is_read_again(make, tmp_path, pattern_arrays):
    file = tmp_path / "own.npz"
    np.savez(file, **pattern_arrays)
    config = make("probes=none", f"dataset.path={file}")
    before = build(config).train.images.clone()
    np.savez(file, **{name: 255 - x if x.dtype == np.uint8 else x for name, x in pattern_arrays.items()})
    assert torch.equal(build(config).train.images, 255 - before)
