"""Claims: declared beforehand, judged from records, drawn. One import line each; nothing here imports torch."""

from bnexp.claims import (
    algorithm_1,
    conv_property,
    fig1_speed,
    hidden_normalization,
    identity_restored,
    inference_algorithm_2,
    input_normalization,
    scale_invariance,
    speed_anywhere,
    squeezes_to_unit_interval,
    used_everywhere,
    weight_norm_growth,
)
from bnexp.claims.base import CLAIMS, Claim, register

__all__ = [
    "CLAIMS",
    "Claim",
    "algorithm_1",
    "conv_property",
    "fig1_speed",
    "hidden_normalization",
    "identity_restored",
    "inference_algorithm_2",
    "input_normalization",
    "register",
    "scale_invariance",
    "speed_anywhere",
    "squeezes_to_unit_interval",
    "used_everywhere",
    "weight_norm_growth",
]
