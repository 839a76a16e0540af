"""The written-out algorithm against torch's BatchNorm: forward, backward, running statistics; any shape, to 1e-10."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bnexp.norms.base import AFFINE
from bnexp.norms.batch import batch
from bnexp.norms.reference import reference
from bnexp.rng import torch_stream

shapes = st.one_of(
    st.tuples(st.integers(2, 9), st.integers(1, 5)),
    st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.integers(2, 4)),
)


def pair(shape, affine, momentum):
    """The written-out norm and torch's, with the same gamma and beta."""
    options = {"affine": affine, "eps": 1e-5, "momentum": momentum}
    ours, torchs = (build(shape[1], len(shape) - 2, **options).double() for build in (reference, batch))
    generator = torch_stream(1, "tests")
    with torch.no_grad():
        for mine, theirs in zip(ours.parameters(), torchs.parameters(), strict=True):
            theirs.copy_(torch.randn(theirs.shape, generator=generator, dtype=torch.float64))
            mine.copy_(theirs)
    return ours, torchs


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(shapes, st.sampled_from(AFFINE), st.sampled_from([0.1, 0.5, 1.0, None]), st.integers(0, 99))
def test_equal_to_torch_forward_backward_and_in_its_buffers(shape, affine, momentum, seed):
    ours, torchs = pair(shape, affine, momentum)
    generator = torch_stream(seed, "tests")
    for _ in range(3):
        x = (2 + 3 * torch.randn(shape, generator=generator, dtype=torch.float64)).requires_grad_()
        x_too = x.detach().clone().requires_grad_()
        upstream = torch.randn(shape, generator=generator, dtype=torch.float64)
        close(y := ours(x), y_too := torchs(x_too))
        y.backward(upstream)
        y_too.backward(upstream)
        close(x.grad, x_too.grad)
    for mine, theirs in zip(ours.parameters(), torchs.parameters(), strict=True):
        close(mine.grad, theirs.grad)
    for mine, theirs in zip(ours.buffers(), torchs.buffers(), strict=True):
        close(mine, theirs)
    close(ours.eval()(x), torchs.eval()(x))


def test_state_dict_is_interchangeable_with_torchs():
    ours, torchs = pair((4, 3), "full", 0.1)
    ours(torch.arange(12, dtype=torch.float64).reshape(4, 3))
    torchs.load_state_dict(ours.state_dict())
    assert ours.state_dict().keys() == torchs.state_dict().keys()


def test_batch_is_torchs_own_class():
    options = {"affine": "full", "eps": 1e-5, "momentum": 0.1}
    assert type(batch(3, 0, **options)) is nn.BatchNorm1d
    assert type(batch(3, 2, **options)) is nn.BatchNorm2d
