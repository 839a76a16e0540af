"""A claim's declaration put to another layer, data set or net: shown beside the claim, never in its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bnexp.claims.base import CLAIMS, Claim
from bnexp.errors import UserError

SUBJECT, PLUGINS = "subject=", "plugins="


def variant_of(claim: Claim, words: Sequence[str]) -> Claim:
    """The claim as ``words`` vary it: ``subject=norm=ghost``, and overrides of any other setting; the claim itself without words.

    Several overrides of a subject are joined by commas: ``subject=norm=ghost,norm.ghost_size=16``.

    Raises:
        UserError: the claim has no subject that could be another, or trains nothing that an override could change.
    """
    if not words:
        return claim
    subject = next((word.removeprefix(SUBJECT) for word in words if word.startswith(SUBJECT)), "")
    trains = claim.grids or (claim.measurement and claim.measurement.takes_subject)
    if subject and not claim.subject:
        raise UserError(
            f"{claim.id} is not about a layer that could be another one",
            got=f"subject={subject}",
            todo=f"a claim that is: {', '.join(one.id for one in map(CLAIMS.__getitem__, CLAIMS) if one.subject)}",
        )
    others = [word for word in words if not word.startswith(SUBJECT)]
    if others and not trains:
        raise UserError(
            f"{claim.id} trains no net that a setting could change",
            got=" ".join(others),
            todo=f"bnexp reproduce {claim.id}",
        )
    if subject and "=" not in subject:
        raise UserError("a subject is an override", got=f"subject={subject}", todo=f"subject=norm={subject}")
    return replace(claim, subject=subject.replace(",", " ") or claim.subject, variant=tuple(words))


def overrides_of(claim: Claim, arm: str) -> tuple[str, ...]:
    """What a variant sets in the runs of an arm (its words as declared).

    Plugins are part of a run's name, so that of a variant with another subject only its subject's runs name them.
    """
    others = tuple(word for word in claim.variant if not word.startswith((SUBJECT, PLUGINS)))
    needs_plugins = others or "{subject}" in arm
    return (*others, *(word for word in claim.variant if word.startswith(PLUGINS) and needs_plugins))


def from_key(key: str) -> Claim | None:
    """The claim or variant of a :attr:`~bnexp.claims.base.Claim.key`; None where no such claim is registered."""
    name, *words = key.split(" ")
    return variant_of(CLAIMS[name], words) if name in CLAIMS else None
