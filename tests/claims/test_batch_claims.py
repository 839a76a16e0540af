"""Claims about batches (H1 with J2, H2, J1, J3, B20) and about training a part of a net (K1), in made-up worlds."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from bnexp.claims import (
    batch_leakage,
    ghost_large_batch,
    precise_statistics,
    renorm_cure,
    shuffle_gain,
    small_batches,
    train_only_norm,
)
from bnexp.claims.batches import read_by
from bnexp.claims.judge import judge
from bnexp.claims.runs import FINISHED, INSIDE
from bnexp.stats.sample import Side

#: ./scripts/test leaves them out.
pytestmark = pytest.mark.slow

STEPS = np.array([0, 1, 2, 6, 13, 31, 50, 72, 100, 170, 200, 300, 400])


def record(seed=0, *, status="finished", test=90.0, recomputed=None, ways=None, tracks=None):
    """A run as analyses read it; accuracies in points, a little apart from seed to seed."""
    rng = np.random.default_rng([seed, int(10 * test)])
    luck = 0.1 * rng.normal()
    last = {way: (value + luck) / 100 for way, value in (ways or {}).items()}
    return SimpleNamespace(
        status=status,
        end={
            "test": {
                "accuracy": (test + luck) / 100,
                "recomputed_accuracy": None if recomputed is None else (recomputed + luck) / 100,
            },
            "probes": {"statistics": {"accuracy": last}},
        },
        arrays=lambda _: tracks,
    )


class World:
    """Eight seeds of each arm: ``made(arm, seed)`` is its record."""

    budget = "quick"

    def __init__(self, made, seeds=8) -> None:
        self.made, self.num = made, seeds

    def reported(self, arm: str, regime: str = "own", grid: int = 0):  # noqa: ARG002 - as Runs has it
        return [self.made(arm, seed) for seed in range(self.num)]

    def side(self, read, arm: str, regime: str = "own", grid: int = 0) -> Side:
        return Side((tuple(read(one) for one in self.reported(arm, regime, grid)),))

    def finished_gate(self):
        return {FINISHED: True}

    def tuning_gate(self):
        return {INSIDE: True}

    def chosen(self, arm: str, regime: str = "own", grid: int = 0):  # noqa: ARG002 - as Runs has it
        return (10.0,)


def judged(module, world):
    evidence = module.analyse(world, np.random.default_rng(0))
    verdicts = judge(module.CLAIM, evidence)
    module.draw(evidence, Figure())
    return evidence, verdicts, module.say(evidence, verdicts)


def sizes(penalty: float, back: float = 0.0):
    """Error grows by ``penalty`` points a halving below 8; batch statistics give the share ``back`` of it back."""

    def made(arm, seed):
        size = int(arm.split()[2].rstrip(",")) if arm.startswith("m =") else None
        lost = penalty * {2: 2, 4: 1}.get(size, 0)
        mended = lost * (1 - back)
        if "frozen" in arm:
            return record(seed, test=94 - mended, ways={"eval": 94 - mended})
        by = {"eval": 94 - lost, "batch": 94 - mended, "recomputed 16": 94 - lost}
        return record(seed, test=94 - lost, ways=by if size else {"eval": 94.0})

    return World(made)


@pytest.mark.parametrize(
    ("penalty", "back", "slope", "share", "words"),
    [
        (10, 0.8, "SUPPORTED", "SUPPORTED", "so BN does fail at small batches"),
        (10, -0.3, "SUPPORTED", "CONTRADICTED", "batch statistics -30 %"),
        (0.2, 0.8, "INCONCLUSIVE", "INCONCLUSIVE", "but nothing follows"),
        (-5, 0.8, "INCONCLUSIVE", "INCONCLUSIVE", "but nothing follows"),
    ],
)
def test_small_batches_judges_the_slope_and_what_mends_it(penalty, back, slope, share, words):
    evidence, verdicts, sentence = judged(small_batches, sizes(penalty, back))
    assert verdicts["slope"].outcome == slope
    assert verdicts["batch statistics"].outcome == verdicts["frozen at the end"].outcome == share
    assert verdicts["slope"].effect.estimate == pytest.approx(penalty, abs=0.2)
    assert words in sentence
    assert bool(evidence.gates[small_batches.PENALTY]) == (penalty > 1)


def lagging(early: float, later: float = 0.0, end: float = 0.0):
    """Recomputed statistics read ``early`` points more up to step 40 and ``later`` after it."""

    def made(arm, seed):
        luck = 0.02 * np.random.default_rng([seed, len(arm)]).normal()
        gain = np.where(STEPS <= 40, early, later) + luck
        tracks = {
            "steps": STEPS, "accuracy/eval": 0.8 - gain / 100, "accuracy/recomputed 17": np.full(len(STEPS), 0.8),
            "accuracy/recomputed 58": np.full(len(STEPS), 0.8 + luck / 100), "lag/hidden1": gain, "lag/hidden2": 0 * gain,
        }  # fmt: skip
        return record(seed, test=90.0, recomputed=90 + end, tracks=tracks)

    return World(made)


@pytest.mark.parametrize(
    ("early", "outcome", "words"),
    [(5, "SUPPORTED", "so running averages do lag"), (0, "CONTRADICTED", "too little to matter"),
     (-4, "CONTRADICTED", "so running averages are the better ones")],
)  # fmt: skip
def test_precise_statistics_judges_the_first_tenth(early, outcome, words):
    _, verdicts, sentence = judged(precise_statistics, lagging(early))
    assert verdicts["ReLU, high rate"].outcome == outcome
    assert verdicts["ReLU, high rate, later"].outcome == "CONTRADICTED"
    assert verdicts["ReLU, high rate, at the end"].outcome == verdicts["ReLU, high rate, 1,000 examples"].outcome == "SUPPORTED"
    assert words in sentence
    assert judged(precise_statistics, lagging(early, end=1.0))[1]["ReLU, high rate, at the end"].outcome == "CONTRADICTED"


def test_a_mean_over_a_part_of_training_is_over_steps_not_looks():
    ramp = record(tracks={"steps": np.array([0, 10, 100])})
    values = np.array([0.0, 10.0, 10.0])
    assert precise_statistics.mean_over(ramp, (0, 0.1), values) == pytest.approx(np.arange(1, 11).mean())
    assert precise_statistics.mean_over(ramp, (0.1, 1), values) == pytest.approx(10)
    assert precise_statistics.mean_over(record(status="diverged", tracks={"steps": STEPS}), (0, 1), STEPS) == 0


def leaking(leak: float):
    """With BN and batches of one class train mode reads ``leak`` points more than eval mode, which is near chance."""

    def made(arm, seed):
        norm, order = arm.split(", ")
        if order == "shuffled":
            return record(seed, ways={"eval": 94.0, "batch": 93.0})
        low = {"BN": 20.0, "batch renorm": 60.0}.get(norm, 85.0)
        ways = {"eval": low, "batch": low + (leak if norm == "BN" else 0), "mixed": low}
        return record(seed, ways=ways)

    return World(made)


@pytest.mark.parametrize(
    ("leak", "outcome", "words"),
    [(60, "SUPPORTED", "so it does read labels off the companions"), (2, "CONTRADICTED", "so it reads no labels off"),
     (-15, "CONTRADICTED", "take away rather than tell")],
)  # fmt: skip
def test_batch_leakage_judges_the_gap_and_the_controls(leak, outcome, words):
    _, verdicts, sentence = judged(batch_leakage, leaking(leak))
    assert verdicts["one class"].outcome == outcome
    assert verdicts["one class"].effect.estimate == pytest.approx(leak + 1, abs=0.3)
    assert verdicts["cost beside group norm"].effect.estimate == pytest.approx(74 - 9, abs=0.5)
    assert verdicts["batch renorm"].outcome == "SUPPORTED"
    assert words in sentence


@pytest.mark.parametrize(
    ("gain", "outcome", "words"),
    [(1.0, "SUPPORTED", "so shuffling does more for BN"), (-1.0, "CONTRADICTED", "so it does less"),
     (0.0, "CONTRADICTED", "less than the 0.2 points")],
)  # fmt: skip
def test_shuffle_gain_is_a_difference_of_differences(gain, outcome, words):
    def made(arm, seed):
        more = 0.5 * (arm.endswith("shuffled")) + gain * (arm == "subject shuffled")
        if arm.startswith("subject"):
            return record(seed, test=80, recomputed=92 + more)
        return record(seed, test=90 + more)

    _, verdicts, sentence = judged(shuffle_gain, World(made, seeds=16))
    assert verdicts["with BN minus without"].outcome == outcome
    assert verdicts["with BN minus without"].effect.estimate == pytest.approx(gain, abs=0.1)
    assert words in sentence


def test_a_diverged_run_reads_nothing_and_a_net_without_statistics_its_eval_mode():
    assert read_by("batch")(record(status="diverged")) == 0
    assert read_by("recomputed 16")(record(ways={"eval": 90.0})) == pytest.approx(90, abs=1)


@pytest.mark.parametrize(
    ("ahead", "outcome", "words"),
    [(8, "SUPPORTED", "worth more than other weights"), (0, "CONTRADICTED", "less than the 3 points"),
     (-8, "CONTRADICTED", "worth less")],
)  # fmt: skip
def test_train_only_norm_compares_equal_counts(ahead, outcome, words):
    levels = {train_only_norm.NORM: 70 + ahead, train_only_norm.RANDOM: 70, train_only_norm.OUTPUT: 50, train_only_norm.ALL: 95}
    _, verdicts, sentence = judged(train_only_norm, World(lambda arm, seed: record(seed, test=levels[arm])))
    assert verdicts[train_only_norm.RANDOM].outcome == outcome
    assert verdicts[train_only_norm.OUTPUT].outcome == "SUPPORTED"
    assert words in sentence


def test_as_many_random_weights_as_the_sentence_counts():
    from bnexp.config.compose import compose
    from bnexp.engine.build import build

    grid = train_only_norm.CLAIM.grids[0]
    words = (*grid.overrides, *grid.budgets["smoke"], "train.only=norm", "threads=1")
    trains = [p.numel() for p in build(compose(list(words))).model.parameters() if p.requires_grad]
    assert sum(trains) == train_only_norm.COUNT


@pytest.mark.parametrize(
    ("gain", "outcome", "same", "words"),
    [(3, "SUPPORTED", "SUPPORTED", "so it does help there"), (0, "CONTRADICTED", "CONTRADICTED", "less than the 1 point"),
     (-3, "CONTRADICTED", "CONTRADICTED", "so it does harm there")],
)  # fmt: skip
def test_renorm_cure_judges_both_regimes(gain, outcome, same, words):
    def made(arm, seed):
        norm, regime = arm.split(", ")
        base = {renorm_cure.SMALL: 90, renorm_cure.SORTED: 70, renorm_cure.WHOLE: 93}[regime]
        return record(seed, test=base + gain * (norm == "batch renorm"))

    _, verdicts, sentence = judged(renorm_cure, World(made))
    assert verdicts[renorm_cure.SMALL].outcome == verdicts[renorm_cure.SORTED].outcome == outcome
    assert verdicts[renorm_cure.WHOLE].outcome == same
    assert words in sentence


def large_batches(ghosts, small=93.0):
    """A world in which nets read so many digits, ghosts that many points above 92; running statistics read 5 points less."""
    points = dict.fromkeys(ghost_large_batch.GHOST_ARMS, 92 + ghosts)
    points |= {ghost_large_batch.SMALL: small, ghost_large_batch.LARGE: 92.0}
    return World(lambda arm, seed: record(seed, test=points[arm] - 5, recomputed=points[arm]))


@pytest.mark.parametrize(
    ("ghosts", "outcome", "end"),
    [
        (1.0, "SUPPORTED", "so they do help there"),
        (0.0, "CONTRADICTED", "less than the 0.2 points that would matter"),
        (-1.0, "CONTRADICTED", "so they do harm there"),
    ],
)
def test_ghosts_at_large_batches_are_judged_by_recomputed_statistics(ghosts, outcome, end):
    evidence = ghost_large_batch.analyse(large_batches(ghosts), np.random.default_rng(0))
    verdicts = judge(ghost_large_batch.CLAIM, evidence)
    assert verdicts["ghosts"].outcome == outcome
    assert verdicts["ghosts"].effect.estimate == pytest.approx(ghosts, abs=0.15)
    assert verdicts["remains"].outcome == ("SUPPORTED" if ghosts == 1.0 else "CONTRADICTED")
    sentence = ghost_large_batch.say(evidence, verdicts)
    assert end in sentence
    assert "92.0 % in batches of 1,024" in sentence
    figure = Figure()
    ghost_large_batch.draw(evidence, figure)
    assert len(figure.axes[0].lines) == 4
