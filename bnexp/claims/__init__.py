"""Claims: declared beforehand, judged from records, drawn. One import line each; nothing here imports torch."""

from bnexp.claims import fig1_accuracy, fig1_speed, fig1_stability, pinned_moments
from bnexp.claims.base import CLAIMS, Claim, register

__all__ = ["CLAIMS", "Claim", "fig1_accuracy", "fig1_speed", "fig1_stability", "pinned_moments", "register"]
