"""Claims: declared beforehand, judged from records, drawn. One import line each; nothing here imports torch."""

from bnexp.claims import (
    algorithm_1,
    conv_property,
    fig1_accuracy,
    fig1_speed,
    fig1_stability,
    hidden_normalization,
    identity_restored,
    inference_algorithm_2,
    input_normalization,
    minibatch_noise,
    pinned_moments,
    scale_invariance,
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
    "fig1_accuracy",
    "fig1_speed",
    "fig1_stability",
    "hidden_normalization",
    "identity_restored",
    "inference_algorithm_2",
    "input_normalization",
    "minibatch_noise",
    "pinned_moments",
    "register",
    "scale_invariance",
    "squeezes_to_unit_interval",
    "step_cost",
    "used_everywhere",
    "weight_norm_growth",
]
