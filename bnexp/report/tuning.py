"""How a claim's arms were tuned: the whole tuning curve, and what each arm could expect of less tuning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from bnexp.claims.base import Tuning
from bnexp.claims.judge import Judged
from bnexp.claims.quantities import Quantity
from bnexp.claims.tuning import at_edge
from bnexp.figures.tuning import draw_tuning
from bnexp.report.pictures import Picture, picture
from bnexp.stats.random_search import draws_needed, expected_best
from bnexp.stats.verdict import counted

#: A tuned key to its words on an axis.
KEYS = {"optimizer.lr": "learning rate"}

#: Arm to tuned value to the judged quantity at each tuning seed.
Scores = Mapping[str, Mapping[float, list[float]]]

#: Sizes of a small budget (docs/claims.md, 0.4).
DRAWS = (1, 3, 5)


@dataclass(frozen=True)
class LittleTuning:
    """What one arm can expect of a random search.

    Attributes:
        arm: its name.
        expected: expected best of the judged quantity after each of ``DRAWS`` draws, in words.
        best: that of its best value, in words.
        needed: draws after which the expected best is near that, see ``Quantity.near``.
    """

    arm: str
    expected: tuple[str, ...]
    best: str
    needed: int


@dataclass(frozen=True)
class TuningView:
    """The tuning of one grid.

    Attributes:
        key: what was tuned.
        near: what is near enough, in words.
        picture: the tuning curve.
        little: a row for each arm.
    """

    key: str
    near: str
    picture: Picture
    little: list[LittleTuning]


def tuning_views(judged: Judged) -> list[TuningView]:
    """One for each grid in which arms choose a value."""
    views = []
    for index, grid in enumerate(judged.claim.grids):
        scores = _scores(judged, index)
        if grid.tuning is not None and scores:
            drawn = _curve_picture(judged, index, grid.tuning, scores)
            little = [_little(arm, tried, grid.tuning.by) for arm, tried in scores.items()]
            views.append(TuningView(grid.tuning.key, grid.tuning.by.near[1], drawn, little))
    return views


def _scores(judged: Judged, index: int) -> Scores:
    tried = {arm: judged.runs.scores(arm, index) for arm in judged.runs.arms(index)}
    return {
        arm: {value: list(by_seed.values()) for value, by_seed in values.items()}
        for arm, values in tried.items()
        if values
    }


def _little(arm: str, tried: Mapping[float, list[float]], by: Quantity) -> LittleTuning:
    means = [fmean(scores) for scores in tried.values()]
    expected = tuple(by.show(expected_best(means, num_draws)) for num_draws in DRAWS)
    return LittleTuning(arm, expected, by.show(max(means)), draws_needed(means, by.near[0]))


def labels(judged: Judged, scores: Mapping[str, Any]) -> dict[str, str]:
    """What a legend calls each arm: control and subject with the layer they have."""
    known = {"control": judged.claim.control, "subject": judged.claim.subject}
    return {arm: f"{arm}: {known[arm]}" if known.get(arm) else arm for arm in scores}


def _curve_picture(judged: Judged, index: int, tuning: Tuning, scores: Scores) -> Picture:
    chosen = {arm: judged.runs.chosen(arm, "own", index) for arm in scores}
    key, words = KEYS.get(tuning.key, tuning.key), labels(judged, scores)
    shown = {words[arm]: tried for arm, tried in scores.items()}
    rings = {words[arm]: values for arm, values in chosen.items()}
    return picture(
        lambda figure: draw_tuning(shown, rings, figure.subplots(), key=key, quantity=tuning.by.in_words()),
        _curve_caption(scores, chosen, tuning),
        f"Tuning curve of {tuning.key}",
        (4.2, 2.8 + 0.2 * len(scores)),
    )


def _curve_caption(scores: Scores, chosen: Mapping[str, tuple[float, ...]], tuning: Tuning) -> str:
    seeds = counted(max(len(runs) for tried in scores.values() for runs in tried.values()), "tuning seed")
    caption = f"At up to {seeds}."
    grown = {arm: sorted(set(tried) - set(tuning.values)) for arm, tried in scores.items()}
    if any(grown.values()):
        words = "; ".join(
            f"{arm} by {', '.join(f'{value:.3g}' for value in values)}" for arm, values in grown.items() if values
        )
        caption += f" The list grew by itself, because a choice lay at its edge: {words}."
    edges = [arm for arm, tried in scores.items() if at_edge({v: {} for v in tried}, list(chosen[arm]))]
    if edges:
        caption += f" The choice of {', '.join(edges)} lies at the edge all the same: its best value may lie beyond."
    return caption
