"""Tuning by hand: which runs are asked for in which order, what is chosen of them, and how a list grows at its edge."""

from __future__ import annotations

from collections.abc import Callable

from bnexp.claims.base import BUDGETS, Budget, Tuning
from bnexp.claims.quantities import FinalAccuracy, Levels, Speed
from bnexp.claims.tuning import at_edge, chosen, contenders, extended, listed, next_runs

BUDGET = Budget(name="quick", num_seeds=8, num_tuning_seeds=4, num_first_seeds=2, most_extended=2)
TUNING = Tuning(key="optimizer.lr", values=(1.0, 2.0, 4.0), by=FinalAccuracy())  # far: 2 points
SEEDS = (1000, 1001, 1002, 1003)


def scored(**rows: list[float]) -> dict[float, dict[int, float]]:
    """``scored(_2=[90, 91])``: value 2 at its first two tuning seeds."""
    return {float(name[1:].replace("_", ".")): dict(zip(SEEDS, row, strict=False)) for name, row in rows.items()}


def flat(*values: float) -> dict[float, dict[int, float]]:
    """All values tie; the first seeds, by a little, prefer the second."""
    others = {value: dict.fromkeys(SEEDS, 90.0) for value in values}
    return others | {values[1]: dict(zip(SEEDS, (90.1, 90.1, 89.9, 89.9), strict=True))}


def carried_out(tuning: Tuning, budget: Budget, score: Callable[[float, int], float]) -> tuple[list, dict]:
    """The batches of runs that are asked for one after the other, and the scores at the end."""
    scores: dict[float, dict[int, float]] = {}
    batches = []
    while batch := next_runs(tuning, budget, scores):
        assert len(batch) == len(set(batch))
        assert not [1 for value, seed in batch if seed in scores.get(value, {})]
        batches.append(batch)
        for value, seed in batch:
            scores.setdefault(value, {})[seed] = score(value, seed)
        assert len(batches) < 20
    return batches, scores


# Rounds


def test_first_every_value_is_tried_at_the_first_seeds():
    every = [(value, seed) for value in (1.0, 2.0, 4.0) for seed in SEEDS[:2]]
    assert next_runs(TUNING, BUDGET, {}) == every
    assert next_runs(TUNING, BUDGET, scored(_1=[90.0, 90.0], _2=[80.0])) == every[3:]


def test_then_those_not_far_behind_at_all_seeds():
    scores = scored(_1=[88.5, 88.5], _2=[90.0, 90.0], _4=[80.0, 95.0])  # means 88.5, 90, 87.5
    assert contenders(TUNING, BUDGET, scores) == [1.0, 2.0]
    assert next_runs(TUNING, BUDGET, scores) == [(1.0, 1002), (1.0, 1003), (2.0, 1002), (2.0, 1003)]
    complete = scored(_1=[88.5] * 4, _2=[90.0] * 4, _4=[80.0, 95.0])
    assert next_runs(TUNING, BUDGET, complete) == []
    assert chosen(TUNING, BUDGET, complete) == [2.0]


def test_exactly_as_far_as_allowed_is_not_far():
    assert contenders(TUNING, BUDGET, scored(_1=[88.0, 88.0], _2=[90.0, 90.0], _4=[87.99, 87.99])) == [1.0, 2.0]


def test_being_far_is_decided_on_the_first_seeds_alone():
    # 1 is far better on the later seeds than 2 is, and stays; what 4 did on the first ones is final.
    complete = scored(_1=[89.0, 89.0, 99.0, 99.0], _2=[90.0, 90.0, 80.0, 80.0], _4=[80.0, 80.0])
    assert contenders(TUNING, BUDGET, complete) == [1.0, 2.0]
    assert chosen(TUNING, BUDGET, complete) == [1.0]


def test_every_value_within_a_standard_error_of_the_best_is_chosen():
    # 2: mean 90, sd sqrt(8 / 3), error sqrt(8 / 3) / 2 = .816
    noisy = [88.0, 92.0, 90.0, 90.0]
    near = scored(_1=[89.2] * 4, _2=noisy, _4=[89.1] * 4)
    assert chosen(TUNING, BUDGET, near) == [1.0, 2.0]
    assert chosen(TUNING, BUDGET, scored(_1=[90.0] * 4, _2=[90.0] * 4, _4=[80.0] * 2)) == [1.0, 2.0]


def test_speed_is_far_where_half_as_many_steps_again_are_needed():
    tuning = Tuning(key="optimizer.lr", values=(1.0, 2.0, 4.0), by=Speed({"quick": Levels(0.2, 0.1, 100)}))
    scores = scored(_1=[-5.0, -5.0], _2=[-5.4, -5.4], _4=[-5.41, -5.41])  # log 1.5 = .4055
    assert contenders(tuning, BUDGET, scores) == [1.0, 2.0]


# Edges


def test_a_list_grows_while_the_best_lies_at_its_upper_edge_by_its_own_step_up_to_a_bound():
    batches, scores = carried_out(TUNING, BUDGET, lambda value, _: 10 * value)
    assert batches[1:3] == [[(8.0, 1000), (8.0, 1001)], [(16.0, 1000), (16.0, 1001)]]
    assert sorted(scores) == [1, 2, 4, 8, 16]
    assert extended(TUNING, BUDGET, scores) == [8, 16]
    assert (chosen(TUNING, BUDGET, scores), at_edge(scores, [16.0])) == ([16], True)


def test_and_at_its_lower_edge():
    _, scores = carried_out(TUNING, BUDGET, lambda value, _: -10 * value)
    assert sorted(scores) == [0.25, 0.5, 1, 2, 4]
    assert extended(TUNING, BUDGET, scores) == [0.25, 0.5]
    assert at_edge(scores, chosen(TUNING, BUDGET, scores))


def test_it_stops_growing_where_the_best_lies_inside():
    _, scores = carried_out(TUNING, BUDGET, lambda value, _: -100 * abs(value - 8))
    assert sorted(scores) == [1, 2, 4, 8, 16]
    assert chosen(TUNING, BUDGET, scores) == [8]
    assert not at_edge(scores, [8.0])
    assert {len(scores[value]) for value in (1.0, 2.0, 4.0, 16.0)} == {2}


def test_a_near_tie_at_the_edge_is_reason_enough_to_look_beyond():
    scores = scored(_1=[80.0] * 2, _2=[88.0, 92.0, 90.0, 90.0], _4=[89.5] * 4)  # the best is 2; 4 is within its error of .816
    assert chosen(TUNING, BUDGET, scores) == [2.0, 4.0]
    assert next_runs(TUNING, BUDGET, scores) == [(8.0, 1000), (8.0, 1001)]


def test_both_edges_may_grow_at_once():
    assert sorted({value for value, _ in next_runs(TUNING, BUDGET, flat(1.0, 2.0, 4.0))}) == [0.5, 8.0]


def test_the_steps_at_each_edge_are_those_of_the_list():
    uneven = Tuning(key="optimizer.lr", values=(1.0, 3.0, 12.0), by=FinalAccuracy())
    assert sorted({value for value, _ in next_runs(uneven, BUDGET, flat(1.0, 3.0, 12.0))}) == [0.333333, 48.0]


def test_values_of_a_list_that_grew_can_be_typed():
    decimal = Tuning(key="optimizer.lr", values=(0.03, 0.1, 0.3), by=FinalAccuracy())
    _, scores = carried_out(decimal, BUDGET, lambda value, _: 100 * value)
    assert extended(decimal, BUDGET, scores) == [0.9, 2.7]


def test_a_single_value_is_no_list_that_could_grow():
    one = Tuning(key="optimizer.lr", values=(2.0,), by=FinalAccuracy())
    _, scores = carried_out(one, BUDGET, lambda *_: 1.0)
    assert list(scores) == [2]
    assert not at_edge(scores, [2.0])


def test_a_smoke_budget_thins_the_list_tries_each_once_and_never_grows_it():
    smoke = BUDGETS["smoke"]
    tuning = Tuning(key="optimizer.lr", values=tuple(2.0**power for power in range(7)), by=FinalAccuracy())
    assert listed(tuning, smoke) == (1, 8, 64)
    batches, scores = carried_out(tuning, smoke, lambda value, _: value)
    assert batches == [[(1.0, 1000), (8.0, 1000), (64.0, 1000)]]
    assert (chosen(tuning, smoke, scores), extended(tuning, smoke, scores)) == ([64], [])


def test_tuning_seeds_are_never_reported_ones():
    tuning = Tuning(key="optimizer.lr", values=(1.0,), by=FinalAccuracy(), num_seeds={"quick": 8})
    assert [len(budget.tuning_seeds(tuning)) for budget in BUDGETS.values()] == [1, 8, 6]
    for budget in BUDGETS.values():
        assert min(budget.tuning_seeds(tuning)) == 1000 > budget.num_seeds
