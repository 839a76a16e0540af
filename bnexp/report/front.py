"""What the page opens with: three sentences that answer its question, the surface of settings, the paper's own experiment."""

from __future__ import annotations

from collections.abc import Sequence

from bnexp.claims.judge import Judged

#: Does it help, and is it for the reason that was given? The claims whose sentences answer first.
FIRST = ("fig1_speed", "pinned_moments")

#: The claim whose figure shows all settings at once, and those that repeat the paper's experiment.
SURFACE = "speed_anywhere"
PAPER = ("fig1_speed", "fig1_accuracy", "fig1_stability")


def answers(judged: Sequence[Judged]) -> list[Judged]:
    """The claims whose sentences open the page: those of ``FIRST`` and one more, as far as they were judged.

    The one more is chosen by a rule, not by hand: of all other claims about BN as a layer (those with a subject) whose verdict is
    not fragile, in the order given, the first that is contradicted, else the first that is supported.
    """
    own = [one for one in judged if one.primary and not one.claim.variant]
    first = [one for name in FIRST for one in own if one.claim.id == name]
    others = [one for one in own if one.claim.id not in (*FIRST, SURFACE) and one.claim.subject]
    firm = [one for one in others if one.primary and not one.primary.fragile]
    more = [one for word in ("CONTRADICTED", "SUPPORTED") for one in firm if one.primary and one.primary.outcome == word]
    chosen = [*first, *more[:1]]
    return [one for place, one in enumerate(chosen) if one.sentence not in [before.sentence for before in chosen[:place]]]
