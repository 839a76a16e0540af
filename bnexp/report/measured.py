"""What the two sides of an endpoint are before they are compared, with the unit: the words at the axis of their picture."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill

from bnexp.claims.base import Endpoint

#: Characters a line and lines that an axis has room for.
LINE, MOST_LINES = 34, 3

_LEVELS = {
    "seconds": "seconds of training to a level of validation error, mean over levels",
    "training loss": "training steps to a level of training loss, mean over levels",
    "": "training steps to a level of validation error, mean over levels",
}

#: Claim to words by a part of the endpoint's name, the first that fits; of other claims the estimand stands at the axis.
MEASURED: Mapping[str, Mapping[str, str]] = {
    "fig1_accuracy": {"": "test accuracy after the last step, %"},
    "fig1_speed": _LEVELS,
    "hidden_normalization": _LEVELS,
    "input_normalization": _LEVELS,
    "fig1_stability": {
        "spread": "total variation of the log of a unit's 15-85 % width (no unit)",
        "": "total variation of a unit's median, in its own 15-85 % widths",
    },
    "layer_coupling": {
        "interaction": "decrease of all updates together minus one by one, share of the latter",
        "gradient": "how far the gradient moved, in its own length",
        "nudge": "change of the loss, share of the loss",
    },
    "minibatch_noise": {
        "gap": "training minus test accuracy at the end, points",
        "loss": "validation accuracy at equal training loss, %",
        "test": "test accuracy at the end, %",
    },
    "pinned_moments": {
        "sd": "change of the log of a unit's sd from look to look (no unit)",
        "": "change of a unit's mean from look to look, in its sd",
    },
    "step_cost": {"": "milliseconds a training step"},
}


def measured_words(claim: str, name: str, endpoint: Endpoint) -> str:
    """What stands at the axis of both sides, in at most ``MOST_LINES`` lines and one of the unit.

    Args:
        claim: its id.
        name: of the endpoint.
        endpoint: whose estimand and unit stand there where nothing else was written down.
    """
    known = next((words for part, words in MEASURED.get(claim, {}).items() if part in name), "")
    if known:
        return fill(known, LINE)
    unit = f"\n({endpoint.unit})" if endpoint.unit else ""
    return fill(endpoint.estimand, LINE, max_lines=MOST_LINES, placeholder=" ...") + unit
