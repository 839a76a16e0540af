"""Samples: which candidates count as chosen, what a side weighs, and what re-drawn tuning seeds make of it."""

from __future__ import annotations

import numpy as np
import pytest

from bnexp.stats.sample import Sample, Side, near_best

# Which candidates count


def test_what_lies_within_one_standard_error_of_the_best_counts():
    # The best: mean 3, squared distances 1 + 1 over 4 - 1, so that its error is sqrt(2 / 3) / sqrt(4) = .408.
    best = [2.0, 4.0, 3.0, 3.0]
    error = np.sqrt(2 / 3) / 2
    scores = np.array([best, [3 - error + 1e-9] * 4, [3 - error - 1e-9] * 4, [0.0, 11.99, 0.0, -2.0]])
    assert near_best(scores).tolist() == [True, True, False, False]


def test_the_error_is_the_best_ones_and_not_that_of_a_noisy_other():
    assert near_best(np.array([[3.0, 3.0, 3.0], [0.0, 8.0, 0.9]])).tolist() == [True, False]


def test_exact_ties_all_count_and_with_one_seed_only_the_best_does():
    assert near_best(np.array([[1.0, 1.0], [1.0, 1.0], [0.9, 0.9]])).tolist() == [True, True, False]
    assert near_best(np.array([[1.0], [0.999], [0.5]])).tolist() == [True, False, False]
    assert near_best(np.array([[1.0], [1.0]])).tolist() == [True, True]
    assert near_best(np.array([[7.0, -3.0]])).tolist() == [True]


def test_many_draws_are_judged_one_by_one(rng):
    scores = rng.normal(size=(50, 4, 6))
    assert near_best(scores).tolist() == [near_best(one).tolist() for one in scores]


# Sides


@pytest.mark.parametrize(
    ("values", "tuning", "words"),
    [
        ((), None, "rows over the same seeds"),
        (((1.0, 2.0), (1.0,)), None, "got lengths \\[2, 1\\]"),
        (((1.0, np.nan),), None, "values must be finite"),
        (((1.0, np.inf),), None, "values must be finite"),
        (((1.0, 2.0),), ((1.0,), (2.0,)), "every candidate needs the same tuning seeds"),
        (((1.0,), (2.0,)), ((1.0, 2.0), (1.0,)), "every candidate needs the same tuning seeds"),
        (((1.0,), (2.0,)), ((1.0,), (np.nan,)), "tuning scores must be finite"),
    ],
)
def test_what_is_no_side_is_refused(values, tuning, words):
    with pytest.raises(ValueError, match=words):
        Side(values, tuning)


def test_shares_are_equal_among_the_chosen_and_sum_to_one():
    side = Side(((1.0,), (2.0,), (3.0,)), ((1.0, 1.0), (1.0, 1.0), (0.0, 0.1)))
    assert side.shares().tolist() == [0.5, 0.5, 0]
    assert Side(((1.0,), (2.0,), (3.0,), (4.0,))).shares().tolist() == [0.25] * 4
    assert Side(((1.0,), (2.0,))).shares(np.zeros((3, 0), int)).tolist() == [[0.5, 0.5]] * 3


def test_redrawn_tuning_seeds_choose_again():
    side = Side(((1.0,), (2.0,)), ((5.0, 0.0), (0.0, 5.0)))
    draws = np.array([[0, 0], [1, 1], [0, 1]])
    assert side.shares(draws).tolist() == [[1, 0], [0, 1], [0.5, 0.5]]


def test_another_unit_leaves_the_choice_alone():
    side = Side(((1.0, 2.0),), ((3.0, 4.0),))
    assert side.times(0.5) == Side(((0.5, 1.0),), ((3.0, 4.0),))
    assert (side.num_tuning, Side(((1.0,),)).num_tuning) == (2, 0)


# Samples


def test_arms_of_other_seeds_are_refused():
    two, three = Side(((1.0, 2.0),)), Side(((1.0, 2.0, 3.0),))
    for arm, base in (((two,), (three,)), ((two, three), ()), ((), (two,)), ((), ())):
        with pytest.raises(ValueError, match="same seeds"):
            Sample(arm, base)
    with pytest.raises(ValueError, match="same tuning seeds"):
        Sample((Side(((1.0,),), ((1.0,),)),), (Side(((1.0,),), ((1.0, 2.0),)),))


def test_plain_numbers_make_one_candidate_that_nobody_tuned_and_every_entry_of_an_array_counts():
    sample = Sample.of([1, 2], np.array([3.0, 5.0]))
    assert (sample.arm[0].values, sample.base[0].values, sample.num_seeds, sample.num_tuning) == (
        ((1.0, 2.0),), ((3.0, 5.0),), 2, 0,
    )  # fmt: skip
    assert Sample.of(np.zeros((3, 4))).num_seeds == 12
    assert Sample.of([1.0]).base == ()


def test_differences_are_arm_less_base_and_ratios_logarithms_of_base_over_arm():
    sample = Sample.of([1.0, 2.0], [4.0, 2.0])
    assert sample.effects("difference").tolist() == [-3, 0]
    assert sample.effects("ratio") == pytest.approx([np.log(4), 0])
    assert Sample.of([1.0, 2.0]).effects("difference").tolist() == [1, 2]
    with pytest.raises(ValueError, match="positive"):
        Sample.of([0.0], [1.0]).effects("ratio")


def test_chosen_candidates_and_arms_of_a_side_are_averaged_or_added():
    tied = Side(((1.0, 2.0), (3.0, 4.0)), ((1.0, 1.0), (1.0, 1.0)))
    plain = Side(((10.0, 10.0),))
    assert Sample((tied,), (plain,)).effects("difference").tolist() == [-8, -7]
    assert Sample((tied, plain), (plain,)).effects("difference").tolist() == [-4, -3.5]
    assert Sample((tied, plain), (plain,), summed=True).effects("difference").tolist() == [2, 3]


def test_the_number_of_a_side_is_a_mean_or_a_geometric_one():
    tied = Side(((1.0, 2.0), (4.0, 8.0)), ((1.0, 1.0), (1.0, 1.0)))
    sample = Sample((tied,))
    assert sample.seeds_of(sample.arm).tolist() == [2.5, 5]
    assert sample.seeds_of(sample.arm, log=True) == pytest.approx([2, 4])
    assert sample.seeds_of([tied, Side(((16.0, 1.0),))], log=True) == pytest.approx([np.sqrt(32), 2])


def test_a_redraw_takes_whole_seeds_and_lets_its_tuning_seeds_choose():
    arm = Side(((1.0, 2.0, 3.0), (10.0, 20.0, 30.0)), ((5.0, 0.0), (0.0, 5.0)))
    base = Side(((100.0, 200.0, 300.0),), ((1.0, 2.0),))
    sample = Sample((arm,), (base,))
    seeds = np.array([[0, 0, 2], [1, 1, 1], [2, 1, 0]])
    tuning = np.array([[0, 0], [1, 1], [0, 1]])
    found = sample.redrawn("difference", seeds, tuning)
    assert found.tolist() == [[-99, -99, -297], [-180] * 3, [16.5 - 300, 11 - 200, 5.5 - 100]]
    as_chosen = sample.redrawn("difference", seeds, None)
    assert as_chosen.tolist() == [[5.5 - 100, 5.5 - 100, 16.5 - 300], [11 - 200] * 3, [16.5 - 300, 11 - 200, 5.5 - 100]]


def test_a_redraw_of_what_is_there_is_what_is_there(rng):
    side = Side(tuple(map(tuple, rng.lognormal(size=(3, 8)))), tuple(map(tuple, rng.normal(size=(3, 6)))))
    sample = Sample((side,), (Side(tuple(map(tuple, rng.lognormal(size=(2, 8))))),))
    every, own = np.arange(8)[None], np.arange(6)[None]
    for scale in ("difference", "ratio"):
        assert sample.redrawn(scale, every, own)[0] == pytest.approx(sample.effects(scale))
