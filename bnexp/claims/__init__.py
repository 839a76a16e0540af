"""Claims: declared beforehand, judged from records, drawn. One import line each; nothing here imports torch."""

from bnexp.claims import covariate_shift, fig1_speed, layer_coupling, minibatch_noise, step_cost
from bnexp.claims.base import CLAIMS, Claim, register

__all__ = [
    "CLAIMS",
    "Claim",
    "covariate_shift",
    "fig1_speed",
    "layer_coupling",
    "minibatch_noise",
    "register",
    "step_cost",
]
