"""What a user reads when an option of a norm is wrong, word for word."""

from __future__ import annotations

import pytest
import torch

from bnexp.errors import UserError


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        (
            "group",
            {"num_features": 10, "num_groups": 4},
            "norm.num_groups must divide the number of features (10)\n"
            "  got: 4\n  try: norm.num_groups=5 (divisors: [1, 2, 5])",
        ),
        (
            "group",
            {"num_features": 7, "num_groups": 4},
            "norm.num_groups must divide the number of features (7)\n  got: 4\n  try: norm.num_groups=1 (divisors: [1])",
        ),
        (
            "group",
            {"num_groups": 6},
            "norm=group with one feature in a group has no spread in a fully connected layer, where it is one value\n"
            "  got: norm.num_groups=6 for 6 features\n  try: norm.num_groups=1, or norm=layer, which is the same",
        ),
        (
            "group",
            {"num_groups": 0},
            "norm.num_groups must be a whole number of at least 1\n  got: 0\n  try: norm.num_groups=4",
        ),
        (
            "instance",
            {},
            "norm=instance averages over the space of one image, "
            "and a feature of a fully connected layer is one value\n"
            "  got: norm=instance on 6 features without space\n"
            "  try: norm=layer, which averages over features, or a model whose hidden layers are all convolutions",
        ),
        (
            "ghost",
            {"ghost_size": 3},
            "norm.ghost_size must divide train.batch_size (8)\n"
            "  got: 3\n  try: norm.ghost_size=4 (divisors: [2, 4, 8])",
        ),
        (
            "ghost",
            {"ghost_size": 1},
            "norm.ghost_size must be a whole number of at least 2\n  got: 1\n  try: norm.ghost_size=20",
        ),
        (
            "batch",
            {"affine": "ful"},
            "norm.affine must be one of full, scale, shift, none\n  got: 'ful'\n  try: norm.affine=full",
        ),
        (
            "layer",
            {"eps": 1e39},
            "norm.eps must be a number above 0 and within 3.4e+38 of 0, as a float32 is\n  got: 1e+39\n  try: norm.eps=1e-05",
        ),
        ("layer", {"eps": 0}, "norm.eps must be a number above 0\n  got: 0\n  try: norm.eps=1e-05"),
        (
            "reference",
            {"momentum": 1.5},
            "norm.momentum must be a number above 0 and at most 1\n  got: 1.5\n  try: norm.momentum=0.1",
        ),
        ("renorm", {"r_max": 0.5}, "norm.r_max must be a number at least 1\n  got: 0.5\n  try: norm.r_max=3"),
        ("renorm", {"d_max": -1}, "norm.d_max must be a number at least 0\n  got: -1\n  try: norm.d_max=5"),
        (
            "renorm",
            {"warmup_steps": -1},
            "norm.warmup_steps must be a whole number of at least 0\n  got: -1\n  try: norm.warmup_steps=500",
        ),
        (
            "renorm",
            {"r_ramp_steps": 0},
            "norm.r_ramp_steps must be a whole number of at least 1\n  got: 0\n  try: norm.r_ramp_steps=3500",
        ),
        (
            "renorm",
            {"d_ramp_steps": 0},
            "norm.d_ramp_steps must be a whole number of at least 1\n  got: 0\n  try: norm.d_ramp_steps=2000",
        ),
        (
            "noisy",
            {"amplitude": -1},
            "norm.amplitude must be a number at least 0\n  got: -1\n  try: norm.amplitude=1",
        ),
        (
            "noisy",
            {"where": "befor"},
            "norm.where must be one of before, after\n  got: 'befor'\n  try: norm.where=before",
        ),
        (
            "detached",
            {"detach": "var"},
            "norm.detach must be one of mean, variance, both\n  got: 'var'\n  try: norm.detach=variance",
        ),
        (
            "lp",
            {"order": "first"},
            "norm.order must be one of mean_first, norm_first\n  got: 'first'\n  try: norm.order=norm_first",
        ),
        ("lp", {"p": "l3"}, "norm.p must be one of l1, l2, linf\n  got: 'l3'\n  try: norm.p=l2"),
        (
            "batch",
            {"batch_size": 1},
            "norm=batch needs statistics over several examples, and a batch of 1 has no spread\n"
            "  got: train.batch_size=1\n"
            "  try: train.batch_size=60, or norm=layer, which looks at one example at a time",
        ),
    ],
)
def test_wrong_option(build, name, arguments, message):
    with pytest.raises(UserError) as caught:
        build(name, **arguments)
    assert str(caught.value) == message


def test_renorm_refuses_a_cumulative_average(build):
    with pytest.raises(UserError, match=r"^norm\.momentum must be a number\n  got: None\n"):
        build("renorm", momentum=None)


def test_ghost_in_train_mode_names_the_batch_it_cannot_split(build, sample):
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the whole message is compared below
        build("ghost", ghost_size=4)(sample((6, 6)))
    assert str(caught.value) == (
        "norm=ghost in train mode needs batches of a multiple of 4 examples (norm.ghost_size), got 6; "
        "use such a batch, or eval mode"
    )


@pytest.mark.parametrize(
    "name", ["reference", "sync", "renorm", "noisy", "one_shot", "mean_only", "scale_only", "detached", "lp"]
)
def test_one_value_per_feature_has_no_statistics_in_train_mode(build, name):
    norm, x = build(name), torch.ones(1, 6, dtype=torch.float64)
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the whole message is compared below
        norm(x)
    assert str(caught.value) == (
        "a norm in train mode needs at least 2 values per feature, got a batch of shape (1, 6); "
        "use a larger batch, or eval mode"
    )
    assert torch.isfinite(norm.eval()(x)).all()
