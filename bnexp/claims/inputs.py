"""What the claims about the inputs of a net share: how large inputs are, and the levels and budgets of their runs."""

from __future__ import annotations

import math

from bnexp.claims.quantities import Levels, Speed

#: Of the pixels 0..1 of MNIST's 60,000 training digits: mean and standard deviation (the constants of PyTorch's MNIST example;
#: computed from the files they are .13066 and .30811), and the root mean square of pixels that are standardised each by its own
#: mean and deviation, with the floor of ``data/standardize.py`` (computed from the files).
MEAN, SD, PER_PIXEL_RMS = 0.1307, 0.3081, 0.788

_UNIT_RMS = math.hypot(MEAN, SD)

#: ``dataset.standardize`` to the root mean square of the inputs.
RMS = {"none": 255 * _UNIT_RMS, "unit": _UNIT_RMS, "center": SD, "global": 1.0, "per_pixel": PER_PIXEL_RMS}

#: Validation errors and training losses, as in the claims about Fig. 1, at the horizons of these runs.
SPEED = Speed({"smoke": Levels(0.5, 0.3, 60), "quick": Levels(0.15, 0.08, 1500), "full": Levels(0.10, 0.03, 10_000)})
LOSS_SPEED = Speed(
    {"smoke": Levels(2.0, 1.0, 60), "quick": Levels(0.5, 0.1, 1500), "full": Levels(0.3, 0.05, 10_000)},
    curve="train/loss",
)

BUDGETS = {
    "smoke": ("dataset=mnist_5k", "train.steps=60", "train.eval_every=10", "train.log_every=10"),
    "quick": ("dataset=mnist_5k", "train.steps=1500", "train.eval_every=50", "train.eval_gap=0.15", "train.log_every=25"),
    "full": ("dataset=mnist", "train.steps=10000", "train.eval_every=200", "train.log_every=50"),
}
#: A run may end once it has been to the hardest level of error, and a reported one of training loss too.
STOP_AT_ACCURACY = {"quick": ("train.stop_at_accuracy=0.92",), "full": ("train.stop_at_accuracy=0.97",)}
STOP_AT_LOSS = {"quick": ("train.stop_at_loss=0.1",), "full": ("train.stop_at_loss=0.05",)}
TUNING_ONLY = dict.fromkeys(STOP_AT_LOSS, ("train.stop_at_loss=null",))


def budgets(*, loss: bool) -> dict[str, tuple[str, ...]]:
    """Overrides for each budget; with ``loss`` for runs that are read for their training loss as well."""
    return {
        name: (*words, *STOP_AT_ACCURACY.get(name, ()), *(STOP_AT_LOSS.get(name, ()) if loss else ()))
        for name, words in BUDGETS.items()
    }


def inputs(standardize: str) -> str:
    """Overrides of an arm: its inputs, and first weights that give them the pre-activations that pixels 0..1 have at the start.

    Example:
        >>> inputs("global")
        'dataset.standardize=global model.first_scale=0.3347'
    """
    return f"dataset.standardize={standardize} model.first_scale={RMS['unit'] / RMS[standardize]:.4g}"
