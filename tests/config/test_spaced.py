"""Evenly spaced values of a sweep: as NumPy has them, printed short, and what is no such function is told."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from bnexp.config.compose import combinations, expand
from bnexp.config.words import read
from bnexp.errors import UserError


@pytest.mark.parametrize(("name", "function"), [("linspace", np.linspace), ("logspace", np.logspace)])
@pytest.mark.parametrize("numbers", [(-3, 0, 7), (0.25, 1.5, 6), (2, -1, 4)])
def test_the_values_are_numpys_to_six_digits(name, function, numbers):
    (word,), _ = read([f"optimizer.lr={name}({','.join(map(str, numbers))})"])
    np.testing.assert_allclose(np.array(word.values, float), function(*numbers), rtol=1e-5, atol=1e-12)
    assert word.sweeps


def test_what_is_printed_is_short_and_is_what_the_run_has():
    lrs = ["0.001", "0.00316228", "0.01", "0.0316228", "0.1", "0.316228", "1"]
    words = ["optimizer.lr=logspace(-3,0,7)"]
    assert [one for (one,) in combinations(words)] == [f"optimizer.lr={lr}" for lr in lrs]
    assert [f"{config.optimizer.lr:g}" for config in expand(words)] == lrs


@pytest.mark.parametrize("words", ["optimizer.lr=range(0.1,0.5,0.1)", "optimizer.lr=linspace(0.1,0.4,4)"])
def test_no_value_has_the_last_digits_of_a_sum(words):
    assert [one for (one,) in combinations([words])] == [f"optimizer.lr={lr}" for lr in ("0.1", "0.2", "0.3", "0.4")]


def test_whole_numbers_stay_whole_numbers():
    assert [config.train.batch_size for config in expand(["train.batch_size=linspace(20,100,5)"])] == [20, 40, 60, 80, 100]


WRONG = ["", "1", "0,1", "0,1,1", "0,1,2.5", "a,b,3", "1,1,3", "1,1.0000000001,5", "0,1,99999"]


@pytest.mark.parametrize(("name", "inside"), [*product(("linspace", "logspace"), WRONG), ("logspace", "0,400,3")])
def test_what_is_no_row_of_values_is_told_with_one_that_is(name, inside):
    with pytest.raises(UserError) as error:
        read([f"optimizer.lr={name}({inside})"])
    assert error.value.got == f"optimizer.lr={name}({inside})"
    assert read([error.value.todo.strip("'")])[0][0].sweeps
