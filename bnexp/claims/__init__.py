"""Claims: declared beforehand, judged from records, drawn. One import line each; nothing here imports torch."""

from bnexp.claims import (
    algorithm_1,
    conv_property,
    covariate_shift,
    fig1_speed,
    hidden_normalization,
    identity_restored,
    inference_algorithm_2,
    input_normalization,
    layer_coupling,
    minibatch_noise,
    scale_invariance,
    speed_anywhere,
    squeezes_to_unit_interval,
    step_cost,
    used_everywhere,
    weight_norm_growth,
)
from bnexp.claims.base import CLAIMS, Claim, register

__all__ = [
    "CLAIMS",
    "Claim",
    "algorithm_1",
    "conv_property",
    "covariate_shift",
    "fig1_speed",
    "hidden_normalization",
    "identity_restored",
    "inference_algorithm_2",
    "input_normalization",
    "layer_coupling",
    "minibatch_noise",
    "register",
    "scale_invariance",
    "speed_anywhere",
    "squeezes_to_unit_interval",
    "step_cost",
    "used_everywhere",
    "weight_norm_growth",
]
