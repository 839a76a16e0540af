"""What a model says when it cannot be built, and what to type."""

from __future__ import annotations

import pytest

from bnexp.errors import UserError
from bnexp.models import build_model


@pytest.mark.parametrize(
    ("name", "shape", "options", "message"),
    [
        (
            "vgg",
            (1, 28, 28),
            {},
            "model=vgg needs images of at least 32x32 pixels\n"
            "  got: 28x28 pixels\n"
            "  try: dataset.pad=2, or 2 more than it is if you have set it: a border of zeros that makes them 32x32",
        ),
        (
            "cnn",
            (1, 3, 8),
            {},
            "model=cnn needs images of at least 4x4 pixels\n"
            "  got: 3x8 pixels\n"
            "  try: dataset.pad=1, or 1 more than it is if you have set it: a border of zeros that makes them 5x10",
        ),
        (
            "vgg",
            (3, 32, 32),
            {"depth": 17},
            "model.depth of model=vgg must be 11, 13, 16 or 19\n  got: 17\n  try: model.depth=16",
        ),
        (
            "resnet",
            (3, 32, 32),
            {"depth": 18},
            "model.depth of model=resnet must be 6n+2: a stem, three stages of n two-layer blocks and the output\n"
            "  got: 18\n"
            "  try: model.depth=20",
        ),
        (
            "resnet",
            (3, 32, 32),
            {"depth": 2},
            "model.depth must be a whole number of at least 8\n  got: 2\n  try: model.depth=20",
        ),
        (
            "mlp",
            (1, 28, 28),
            {"depth": 0},
            "model.depth must be a whole number of at least 1\n  got: 0\n  try: model.depth=3",
        ),
        (
            "mlp",
            (1, 28, 28),
            {"activation": "sigmiod"},
            "model.activation must be one of sigmoid, tanh, relu, gelu, identity\n"
            "  got: 'sigmiod'\n"
            "  try: model.activation=sigmoid",
        ),
        (
            "mlp",
            (1, 28, 28),
            {"first_scale": 0},
            "model.first_scale must be a number above 0\n  got: 0\n  try: model.first_scale=1",
        ),
        (
            "inception",
            (3, 32, 32),
            {"width": 1},
            "model.width must be a whole number of at least 2\n  got: 1\n  try: model.width=16",
        ),
        (
            "resmlp",
            (3, 32, 32),
            {"branch_scale": float("inf")},
            "model.branch_scale must be a number\n  got: inf\n  try: model.branch_scale=0",
        ),
        (
            "resmlp",
            (3, 32, 32),
            {"branch_scale": "fixpu"},
            "model.branch_scale must be one of fixup\n  got: 'fixpu'\n  try: model.branch_scale=fixup",
        ),
        (
            "resmlp",
            (3, 32, 32),
            {"branch_scale": "fixup"},
            "Fixup is there to do without a norm\n  got: model.branch_scale=fixup with a norm\n  try: norm=none",
        ),
        (
            "vit",
            (3, 32, 32),
            {"patch": 7},
            "model=vit cuts images into patches of 7x7 pixels, and these are not made of whole ones\n"
            "  got: 32x32 pixels\n  try: model.patch=8 (whole patches: [1, 2, 4, 8, 16, 32])",
        ),
        (
            "vit",
            (1, 28, 28),
            {"heads": 3},
            "model.heads must divide model.width (32)\n  got: 3\n  try: model.heads=4 (divisors: [1, 2, 4, 8, 16, 32])",
        ),
    ],
)
def test_a_model_that_cannot_be_built_says_why_and_what_to_type(build, name, shape, options, message):
    with pytest.raises(UserError) as error:
        build(name, shape, **options)
    assert str(error.value) == message


def test_softmax_regression_refuses_a_norm_and_names_it(config_of):
    import bnexp.norms as norms

    batch = norms.NormFactory(norms.NORMS["batch"], {}, "before")
    with pytest.raises(UserError) as error:
        build_model(config_of("linear"), (1, 28, 28), 10, batch, 0)
    assert str(error.value) == (
        "model=linear has no hidden layer, so there is nothing to normalise\n"
        "  got: norm=batch\n"
        "  try: norm=none, or model=mlp, which has hidden layers"
    )
