"""Colours of the runs on page, stills and animation, from the palette of all figures."""

from __future__ import annotations

from collections.abc import Sequence

from bnexp.figures.style import COLORS
from bnexp.look.tracks import Seen

#: Okabe & Ito's palette less the colours of the two main arms, and two greys: on white, and on black where those are too dark.
_OTHERS = (
    ("#009E73", "#2FC79B"), ("#CC79A7", "#E39BC3"), ("#8A6D00", "#F0E442"), ("#56B4E9", "#A5D8F5"),
    ("#E69F00", "#FFC857"), ("#333333", "#E0E0E0"), ("#7f7f7f", "#9f9f9f"),
)  # fmt: skip
_ON_BLACK = {"none": "#F58A42", "batch": "#56B4E9"}


def colours(runs: Sequence[Seen]) -> list[tuple[str, str]]:
    """The colour of each run, on white and on black; one an arm, and never the same for neighbours."""
    arms: dict[str, tuple[str, str]] = {}
    for run in runs:
        if run.arm in arms:
            continue
        main = (COLORS[run.norm], _ON_BLACK[run.norm]) if run.norm in _ON_BLACK else _OTHERS[0]
        free = [pair for pair in (main, *_OTHERS) if pair not in arms.values()]
        arms[run.arm] = free[0] if free else _OTHERS[len(arms) % len(_OTHERS)]
    return [arms[run.arm] for run in runs]
