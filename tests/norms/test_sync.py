"""norm=sync: in one process it is batch normalisation; of parts it makes the statistics of the whole (by processes: tests/runs)."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bnexp.norms import sync as module
from bnexp.norms.sync import shared_batch

SHAPES = {0: (8, 6), 2: (8, 6, 3, 2)}


@pytest.mark.parametrize("dims", SHAPES)
def test_in_one_process_it_is_torchs_forward_backward_and_in_its_buffers(build, sample, dims):
    norm, torchs = build("sync", dims=dims), (nn.BatchNorm2d if dims else nn.BatchNorm1d)(6).double()
    x, y = sample(SHAPES[dims]).requires_grad_(), sample(SHAPES[dims]).requires_grad_()
    for one, inputs in ((norm, x), (torchs, y)):
        one(inputs).pow(3).sum().backward()
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-11, atol=1e-11)
    for name, value in [*torchs.named_parameters(), *torchs.named_buffers()]:
        torch.testing.assert_close(norm.get_parameter(name) if value.requires_grad else norm.get_buffer(name), value)


@pytest.mark.parametrize("dims", SHAPES)
@pytest.mark.parametrize("parts", [2, 4])
def test_means_and_variances_of_parts_make_those_of_the_whole(build, sample, monkeypatch, dims, parts):
    whole = sample(SHAPES[dims])
    whole[::3] += 1000  # parts far apart: a difference of squares would lose this in rounding
    axes = (0, *range(2, 2 + dims))
    pairs = [torch.stack(torch.var_mean(part, axes, correction=0, keepdim=True)[::-1]) for part in whole.chunk(parts)]
    monkeypatch.setattr(module, "from_all", lambda _: torch.stack(pairs))
    monkeypatch.setattr(module.distributed, "get_world_size", lambda: parts)
    torchs, norm = (nn.BatchNorm2d if dims else nn.BatchNorm1d)(6).double(), build("sync", dims=dims)
    with shared_batch():
        first = norm(whole.chunk(parts)[0])
    torch.testing.assert_close(first, torchs(whole).chunk(parts)[0], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(norm.running_mean, torchs.running_mean)
    torch.testing.assert_close(norm.running_var, torchs.running_var)


def test_outside_of_a_shared_batch_nothing_is_exchanged(build, sample, monkeypatch):
    monkeypatch.setattr(module, "from_all", lambda _: pytest.fail("exchanged"))
    with pytest.raises(RuntimeError, match="left"), shared_batch():
        raise RuntimeError("left")
    build("sync")(sample((8, 6)))
