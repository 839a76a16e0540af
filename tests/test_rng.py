"""Named streams: each its own, the same every time; and nobody's global generator moves."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bnexp.rng import STREAMS, numpy_stream, stream_seed, torch_stream
from bnexp.runs.run import execute


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_the_same_every_time(name):
    assert torch.equal(torch.rand(5, generator=torch_stream(3, name)), torch.rand(5, generator=torch_stream(3, name)))
    assert np.array_equal(numpy_stream(3, name).random(5), numpy_stream(3, name).random(5))


def test_streams_differ_by_name_and_by_seed():
    drawn = {
        tuple(torch.rand(3, generator=torch_stream(seed, name)).tolist()) for seed in range(20) for name in STREAMS
    }
    assert len(drawn) == 20 * len(STREAMS)


@pytest.mark.slow
@given(seeds=st.lists(st.integers(0, 10**9), min_size=2, max_size=2, unique=True), name=st.text(max_size=20))
def test_neighbouring_seeds_have_unrelated_streams(seeds, name):
    first, second = (stream_seed(seed, name) for seed in seeds)
    assert first != second
    assert 0 <= first < 2**63


def test_seed_and_name_cannot_be_confused():
    assert stream_seed(1, "2init") != stream_seed(12, "init")


def test_seeds_are_pinned_for_committed_results():
    assert stream_seed(0, "order") == 5618756638689033999


def global_states() -> tuple:
    kind, keys, position, has_gauss, cached = np.random.get_state()
    return torch.get_rng_state().tolist(), (kind, keys.tolist(), position, has_gauss, cached), random.getstate()


@pytest.mark.parametrize(
    "words", [["norm=noisy"], ["model=cnn", "dataset.flip=true", "dataset.crop=1"]], ids=["noisy", "augmented"]
)
def test_a_whole_run_moves_no_global_generator(make, words):
    before = global_states()
    execute(make("train.steps=6", *words))
    assert global_states() == before


def test_a_run_does_not_read_the_global_generators(make, without_clock):
    folders = []
    for global_seed in (0, 1):
        torch.manual_seed(global_seed)
        np.random.seed(global_seed)
        random.seed(global_seed)
        folders.append(execute(make("train.steps=6", "norm=noisy", "force=true")).record.folder)
    assert folders[0] != folders[1]
    assert without_clock(folders[0]) == without_clock(folders[1])
