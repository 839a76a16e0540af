"""Learning-rate factors and the grids of steps at which a run is looked at."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnexp.claims import CLAIMS
from bnexp.claims.quantities import Speed
from bnexp.config.compose import compose
from bnexp.config.paths import group_files
from bnexp.config.schema import ExperimentConfig, ScheduleConfig
from bnexp.records.archive import read_cells
from bnexp.schedule import (
    EVALUATED_PER_TRAINED,
    LEAST_EVALUATED,
    LEAST_EVALUATIONS,
    MOST_EVALUATIONS,
    MOST_POINTS,
    curve_steps,
    evaluation_steps,
    lr_factor,
    most_evaluations,
    observation_steps,
)

STEPS = st.integers(1, 20_000)

SHAPES = {
    "constant": ScheduleConfig(name="constant", warmup_steps=0),
    "cosine": ScheduleConfig(name="cosine", warmup_steps=0, final_factor=0.1),
    "exponential": ScheduleConfig(name="exponential", warmup_steps=0, final_factor=0.01),
    "step": ScheduleConfig(name="step", warmup_steps=0, drops=(0.5, 0.75), drop_factor=0.1),
}


ROOT = Path(__file__).resolve().parent.parent


def factors(shape: str, steps: int, warmup: int = 0) -> list[float]:
    schedule = SHAPES[shape]
    warmed = ScheduleConfig(**{**vars(schedule), "warmup_steps": warmup})
    return [lr_factor(warmed, step, steps) for step in range(steps)]


@pytest.mark.parametrize(("shape", "end"), [("constant", 1.0), ("cosine", 0.1), ("exponential", 0.01), ("step", 0.01)])
@pytest.mark.parametrize("warmup", [0, 7])
def test_every_shape_starts_at_one_after_warmup_and_ends_at_its_final_factor(shape, end, warmup):
    got = factors(shape, 101, warmup)
    assert got[warmup] == 1.0
    assert got[-1] == pytest.approx(end)


@pytest.mark.parametrize("shape", SHAPES)
def test_no_shape_rises_after_warmup(shape):
    got = factors(shape, 200, 10)[10:]
    assert all(later <= earlier for earlier, later in pairwise(got))


def test_warmup_is_linear_and_its_last_step_has_the_whole_rate():
    assert factors("cosine", 100, 5)[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_half_way_the_cosine_is_in_the_middle_and_the_exponential_at_the_geometric_mean():
    assert factors("cosine", 101)[50] == pytest.approx((1 + 0.1) / 2)
    assert factors("exponential", 101)[50] == pytest.approx(math.sqrt(0.01))


def test_the_step_shape_drops_at_its_fractions_and_nowhere_else():
    got = factors("step", 101)
    assert got[49:51] == pytest.approx([1.0, 0.1])
    assert got[74:76] == pytest.approx([0.1, 0.01])
    assert len({round(factor, 9) for factor in got}) == 3


@pytest.mark.parametrize("shape", SHAPES)
def test_a_run_of_one_step_or_of_warmup_only_has_a_rate(shape):
    assert factors(shape, 1) == [1.0]
    assert factors(shape, 8, 7)[-1] == 1.0


@given(steps=STEPS, every=st.integers(1, 5000))
def test_evaluations_start_at_zero_end_at_the_end_and_leave_no_gap_above_five_percent_or_every(steps, every):
    grid = evaluation_steps(steps, every)
    assert (grid[0], grid[-1]) == (0, steps)
    for before, after in pairwise(grid):
        assert 0 < after - before <= min(every, max(1, before // 20))


@given(steps=STEPS, every=st.sampled_from([100, 250, 500]))
def test_evaluations_are_few(steps, every):
    assert len(evaluation_steps(steps, every)) <= 20 + 80 * math.log10(steps + 1) + 2 * steps / (every / 2.5)


@given(steps=st.integers(2000, 50_000))
def test_late_evaluations_fall_on_multiples_of_every_where_it_is_round(steps):
    late = [step for step in evaluation_steps(steps, 100)[:-1] if step > 2000]
    assert all(step % 100 == 0 for step in late)


@given(first=STEPS, second=STEPS)
def test_a_longer_run_is_evaluated_at_the_steps_of_a_shorter_one(first, second):
    shorter, longer = sorted((first, second))
    assert set(evaluation_steps(shorter, 100)[:-1]) <= set(evaluation_steps(longer, 100))


@given(steps=STEPS, batch_size=st.integers(1, 512), examples=st.integers(1, 60_000))
def test_a_run_is_evaluated_a_dozen_times_or_on_a_bounded_number_of_examples(steps, batch_size, examples):
    grid = evaluation_steps(steps, 100, most_evaluations(steps, batch_size, examples))
    assert (grid[0], grid[-1], grid) == (0, steps, sorted(set(grid)))
    allowed = max(LEAST_EVALUATED, EVALUATED_PER_TRAINED * steps * batch_size)
    assert len(grid) <= LEAST_EVALUATIONS or len(grid) * examples <= allowed


#: The same on all 10,000 digits, by 3,000 and 5,000 steps of 60: results/LOG.md says how well their speeds are known.
CAPPED = {(name, "full") for name in ("gradient_shift", "lp_norms", "noisy_norm", "one_shot_control", "smoother_landscape")}


def configs_that_keep_their_grid() -> Iterator[ExperimentConfig]:
    """The default run, every experiment, and the runs of claims that tune by speed, at the budgets that are published."""
    yield compose(())
    yield from (compose((f"experiment={name}",)) for name in group_files("experiment"))
    for claim in (CLAIMS[name] for name in CLAIMS):
        for grid in claim.grids:
            if grid.tuning is None or not isinstance(grid.tuning.by, Speed) or grid.needs:
                continue  # nets on photographs train so few examples that the cap decides, in all arms alike
            for budget in ("quick", "full"):
                if (claim.id, budget) in CAPPED:
                    continue
                if budget in grid.budgets and claim.id in read_cells(ROOT / "results" / budget).get(budget, {}):
                    arm = next(iter(grid.arms.values())).format(control=claim.control, subject=claim.subject)
                    yield compose((*grid.overrides, *grid.budgets[budget], *arm.split()))


@pytest.mark.slow
def test_no_published_run_is_evaluated_less_often_than_its_config_says():
    configs = list(configs_that_keep_their_grid())
    assert len(configs) > 15
    for config in configs:
        train = config.train
        most = most_evaluations(train.steps, train.batch_size, config.dataset.validation_examples)
        assert len(evaluation_steps(train.steps, train.eval_every)) <= most, config


@pytest.mark.parametrize(("steps", "every", "examples"), [(50_000, 500, 10_000), (3000, 100, 500)])
def test_the_runs_of_the_speed_claims_are_evaluated_on_the_whole_grid(steps, every, examples):
    """``experiment=paper_mnist`` and the same on ``mnist_5k``."""
    assert evaluation_steps(steps, every, most_evaluations(steps, 60, examples)) == evaluation_steps(steps, every)


@given(steps=STEPS, count=st.integers(2, 300))
def test_observations_are_different_ordered_at_most_as_many_as_asked_and_include_both_ends(steps, count):
    grid = observation_steps(steps, count)
    assert grid == sorted(set(grid))
    assert (grid[0], grid[-1]) == (0, steps)
    assert len(grid) <= count


@given(steps=st.integers(1000, 50_000), count=st.integers(8, 100))
def test_observations_are_dense_early_and_leave_no_long_gap_late(steps, count):
    grid = observation_steps(steps, count)
    assert grid[1] == 1
    assert max(after - before for before, after in pairwise(grid)) <= steps / (count // 2) + 1


@given(steps=st.integers(1, 3_000_000), every=st.integers(1, 2000))
def test_the_training_curve_of_a_long_run_has_a_bounded_number_of_points(steps, every):
    grid = curve_steps(steps, every)
    assert len(grid) <= MOST_POINTS
    assert grid.step % every == 0
    if steps / every <= MOST_POINTS:
        assert grid == range(0, steps, every)


def test_a_million_steps_are_evaluated_as_asked_and_no_more_often_than_a_record_bears():
    assert most_evaluations(10**6, 60, 500) == MOST_EVALUATIONS
    grid = evaluation_steps(10**5, 1, MOST_EVALUATIONS)
    assert (len(grid) <= MOST_EVALUATIONS, grid[0], grid[-1]) == (True, 0, 10**5)
    assert len(evaluation_steps(10**6, 100)) < MOST_EVALUATIONS
