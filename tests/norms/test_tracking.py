"""``norm.track=false``: no running statistics, in eval mode the batch's; and who cannot do without, or cannot freeze."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bnexp.errors import UserError

WITHOUT = ("batch", "reference", "detached", "lp", "mean_only", "scale_only", "noisy", "sync")


@pytest.mark.parametrize("name", WITHOUT)
@pytest.mark.parametrize("shape", [(8, 6), (4, 6, 3, 3)])
def test_eval_mode_is_train_mode_and_nothing_is_kept(build, sample, name, shape):
    options = {"amplitude": 0} if name == "noisy" else {}
    norm = build(name, dims=len(shape) - 2, track=False, **options)
    x = sample(shape)
    train = norm.train()(x)
    torch.testing.assert_close(norm.eval()(x), train, rtol=0, atol=0)
    assert not list(norm.buffers())


def test_it_is_torchs_own_without_running_statistics(build, sample):
    mine, theirs = build("batch", track=False).eval(), nn.BatchNorm1d(6, track_running_stats=False).double().eval()
    assert torch.equal(mine(sample((8, 6))), theirs(sample((8, 6))))
    torch.testing.assert_close(build("reference", track=False).eval()(sample((8, 6))), theirs(sample((8, 6))))


@pytest.mark.parametrize("name", ["ghost", "renorm", "layer", "none"])
def test_who_cannot_do_without_says_why(build, name):
    with pytest.raises(UserError, match=r"running statistics|batch norms"):
        build(name, track=False)


@pytest.mark.parametrize("name", ["layer", "none", "one_shot", "weight"])
def test_what_has_no_running_statistics_cannot_freeze(build, name):
    with pytest.raises(UserError, match="alone can be frozen"):
        build(name, freeze_after=3)


def test_without_statistics_there_is_nothing_to_freeze(build):
    with pytest.raises(UserError, match="nothing to freeze"):
        build("batch", track=False, freeze_after=3)
