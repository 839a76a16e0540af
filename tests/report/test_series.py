"""The command behind each series does exactly its runs."""

from __future__ import annotations

import itertools

import pytest

from bnexp.report.provenance import merged, seed_words, series


def expanded(command: str) -> set[str]:
    """The single runs a sweep with comma lists stands for."""
    choices = [
        [f"{word.partition('=')[0]}={value}" for value in word.partition("=")[2].split(",")] if "=" in word else [word]
        for word in command.split(" ")
    ]
    return {" ".join(words) for words in itertools.product(*choices)}


def test_each_series_expands_to_the_commands_of_its_runs(world):
    judged = world.of("speed")
    told = series(judged)
    asked = {one for entry in told for command in entry.commands for one in expanded(command)}
    assert asked == {cell.command for cell in judged.runs.cells}
    assert all(len(entry.commands) == 1 for entry in told)


def test_series_are_one_for_each_arm_and_purpose_and_reported_ones_come_first(world):
    told = [(one.name, one.count, one.num_diverged) for one in series(world.of("speed"))]
    assert told == [
        ("control: reported, optimizer.lr=0.1", "8 runs, seeds 0 to 7", 0),
        ("subject: reported, optimizer.lr=1", "8 runs, seeds 0 to 7", 0),
        ("subject: reported, at the same value, optimizer.lr=0.1", "8 runs, seeds 0 to 7", 0),
        ("control: tuning, every value tried", "8 runs, seeds 1000, 1001", 1),
        ("subject: tuning, every value tried", "8 runs, seeds 1000, 1001", 0),
    ]


def test_runs_that_are_not_there_are_counted_and_not_named(world):
    absent = next(one for one in series(world.of("missing")) if one.num_missing)
    assert (absent.num_missing, absent.runs) == (3, ())


@pytest.mark.parametrize(
    "commands",
    [
        ["train a=1 seed=0", "train a=2 seed=1"],  # a sweep would do four
        ["train a=[1,2] seed=0", "train a=[3] seed=0"],  # a comma of another kind
        ["train a=1", "train b=1"],
        ["train a=1", "train a=1 b=2"],
    ],
)
def test_commands_that_no_sweep_covers_stay_as_they_are(commands):
    assert merged(commands) == tuple(commands)


def test_seeds_with_a_gap_are_all_named():
    assert seed_words([0, 1, 2, 5]) == "seeds 0, 1, 2, 5"
