"""How a claim's arms were tuned: the whole tuning curve, and what each arm could expect of less tuning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bnexp.claims.base import Tuning
from bnexp.claims.judge import Judged
from bnexp.claims.runs import final_accuracy
from bnexp.figures.tuning import draw_expected_best, draw_tuning
from bnexp.report.pictures import Picture, picture
from bnexp.stats.random_search import draws_needed, expected_best
from bnexp.stats.verdict import counted

#: Arm to tuned value to the final accuracy of each tuning seed.
Scores = Mapping[str, Mapping[float, list[float]]]

#: Sizes of a small budget, and how near to its best an arm has to come (docs/claims.md, 0.4).
DRAWS = (1, 3, 5)
NEAR_BEST = 0.005


@dataclass(frozen=True)
class LittleTuning:
    """What one arm can expect of a random search.

    Attributes:
        arm: its name.
        expected: expected best validation accuracy after each of ``DRAWS`` draws, in words.
        best: the accuracy of its best tuning run, in words.
        needed: draws after which the expected best is within ``NEAR_BEST`` of that.
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
        pictures: the tuning curve, and the expected best against the number of draws.
        little: a row for each arm.
    """

    key: str
    pictures: list[Picture]
    little: list[LittleTuning]


def tuning_views(judged: Judged) -> list[TuningView]:
    """One for each grid in which arms choose a value."""
    views = []
    for index, grid in enumerate(judged.claim.grids):
        scores = _scores(judged, index)
        if grid.tuning is not None and scores:
            pictures = [_curve_picture(judged, index, grid.tuning, scores), _search_picture(scores)]
            views.append(TuningView(grid.tuning.key, pictures, [_little(arm, runs) for arm, runs in scores.items()]))
    return views


def _scores(judged: Judged, index: int) -> Scores:
    tried = {arm: judged.runs.tuning(arm, index) for arm in judged.runs.arms(index)}
    return {
        arm: {value: [final_accuracy(record) for record in records] for value, records in values.items()}
        for arm, values in tried.items()
        if values
    }


def _flat(tried: Mapping[float, list[float]]) -> list[float]:
    return [score for scores in tried.values() for score in scores]


def _little(arm: str, tried: Mapping[float, list[float]]) -> LittleTuning:
    scores = _flat(tried)
    expected = tuple(f"{100 * expected_best(scores, num_draws):.1f} %" for num_draws in DRAWS)
    return LittleTuning(arm, expected, f"{100 * max(scores):.1f} %", draws_needed(scores, NEAR_BEST))


def _curve_picture(judged: Judged, index: int, tuning: Tuning, scores: Scores) -> Picture:
    chosen = {arm: judged.runs.chosen(arm, "own", index) for arm in scores}
    return picture(
        lambda figure: draw_tuning(scores, chosen, figure.subplots(), key=tuning.key),
        _curve_caption(scores, chosen),
        f"Tuning curve of {tuning.key}",
        (4.2, 2.8 + 0.2 * len(scores)),
    )


def _search_picture(scores: Scores) -> Picture:
    most = max(len(tried) for tried in scores.values())
    caption = (
        "How much tuning does each arm need? The best that so many random draws can expect, where a draw is one of the "
        f"arm's tuning runs, any as likely as any other; {counted(most, 'draw')} cost as much as the whole list at one seed. "
        "Exact for these runs (Dodge et al. 2019); the best of noisy runs flatters every arm a little."
    )
    return picture(
        lambda figure: draw_expected_best(
            {arm: _flat(tried) for arm, tried in scores.items()}, figure.subplots(), most_draws=most
        ),
        caption,
        "Expected best accuracy against random draws",
        (4.2, 2.8 + 0.2 * len(scores)),
    )


def _curve_caption(scores: Scores, chosen: Mapping[str, float | None]) -> str:
    seeds = counted(max(len(runs) for tried in scores.values() for runs in tried.values()), "tuning seed")
    edges = [arm for arm, tried in scores.items() if len(tried) > 1 and chosen[arm] in (min(tried), max(tried))]
    caption = (
        f"Every value that was tried, at {seeds} that are not among the reported ones: small points are runs, lines their means, "
        "the ring the choice (highest mean; a run that diverged counts as 0)."
    )
    if edges:
        caption += f" The choice of {', '.join(edges)} lies at the edge of the list: its best value may lie beyond."
    return caption
