"""The sentences and distributions against numbers worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from bnexp.errors import UserError
from bnexp.look import tracks
from bnexp.look.tracks import _from_histograms, _from_units, _limits, _speed, _thinned, _tracks_sentence
from bnexp.records.curves import Curve


def quantiles(*looks):
    """``[T, U, 3]`` of pairs (centre, width) of one unit."""
    return np.array([[[centre - width / 2, centre, centre + width / 2]] for centre, width in looks])


@pytest.mark.parametrize(
    ("last", "words"),
    [
        ((2.0, 3.1), "widened 3.1 times and moved by 2 widths."),
        ((0.0, 1.02), "kept its width and moved by 0 widths."),
        ((-0.5, 0.25), "narrowed to 0.25 of its width and moved by 0.5 widths."),
        ((20.0, 35.2), "widened 35 times and moved by 20 widths."),
        ((0.0, 0.01), "all but collapsed and moved by 0 widths."),
        ((0.0, 0.0), "is nearly constant at step 10: its width is 1 at step 0 and 0 at step 10."),
        ((1.48e5, 1.0), "is nearly constant at step 0: its width is 1 at step 0 and 1 at step 10."),
        ((0.5, 2e6), "is nearly constant at step 0: its width is 1 at step 0 and 2e+06 at step 10."),
    ],
)
def test_a_sentence_says_how_much_wider_the_median_unit_became_and_how_far_it_moved(last, words):
    said = _tracks_sentence(quantiles((0.0, 1.0), (9.0, 9.0), last), np.array([0, 5, 10]), "without BN", 1)
    assert said == f"Without BN the median unit of layer 1 {words}"


def test_what_diverged_and_what_never_lived_is_said():
    diverged = quantiles((0.0, 1.0), (np.inf, 1.0))
    assert _tracks_sentence(diverged, np.array([0, 500]), "with BN", 2).endswith("not finite any more at step 500.")
    dead = quantiles((0.0, 0.0), (0.0, 0.0))
    assert "no width to compare with" in _tracks_sentence(dead, np.array([0, 5]), "with BN", 2)


def test_histograms_of_different_ranges_come_out_as_one_density():
    rng = np.random.default_rng(0)
    edges = np.linspace(-4, 4, 41)
    for centre in (-1.0, 1.5):
        values = rng.normal(centre, 0.7, 200_000)
        shares, _ = np.histogram(values, bins=64, range=(values.min(), values.max()))
        found = _from_histograms(shares[None] / 200_000, np.array([[values.min(), values.max()]]), edges)[0]
        expected = np.diff(norm.cdf(edges, centre, 0.7))
        np.testing.assert_allclose(found, expected / expected.max(), atol=0.05)


def test_one_value_alone_is_one_peak():
    edges = np.linspace(-1, 1, 9)
    found = _from_histograms(np.eye(64)[:1], np.array([[0.1, 0.1]]), edges)[0]
    assert found.tolist() == [0, 0, 0, 0, 1, 0, 0, 0]


def test_an_older_record_is_put_together_from_its_units_as_normals():
    edges = np.linspace(-4, 4, 41)
    units = [[centre + 0.5 * norm.ppf(share) for share in (0.15, 0.5, 0.85)] for centre in (-1, 1)]
    found = _from_units(np.array([units]), edges)[0]
    expected = np.diff(norm.cdf(edges, -1, 0.5) + norm.cdf(edges, 1, 0.5))
    np.testing.assert_allclose(found, expected / expected.max(), atol=1e-6)


def test_axes_show_nearly_all_units_whatever_one_diverged_run_does():
    sane = np.stack([np.full((10, 100), q) for q in (-1.0, 0.0, 1.0)], axis=-1)
    low, high = _limits([sane, np.full((10, 100, 3), np.nan)])
    assert -1.3 < low < -1
    assert 1 < high < 1.3
    assert _limits([np.full((2, 3, 3), np.inf)]) == (-1.0, 1.0)


def test_many_looks_are_thinned_evenly_on_the_logarithmic_axis_the_ends_included():
    steps = np.arange(3001)
    kept = steps[_thinned(steps)]
    assert len(kept) <= tracks.MOST_LOOKS
    assert (kept[0], kept[-1]) == (0, 3000)
    assert (kept < 100).sum() > 15


def curve(reached: int | None) -> Curve:
    steps = tuple(range(0, 1001, 10))
    return Curve(steps, tuple(0.905 if reached is not None and step >= reached else 0.1 for step in steps), steps)


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (600, 40, "90% accuracy: without BN after 600 steps, with BN after 40: 15.0 times sooner with BN."),
        (40, 60, "90% accuracy: without BN after 40 steps, with BN after 60: 1.5 times sooner without BN."),
        (40, 40, "90% accuracy: without BN after 40 steps, with BN after 40."),
        (None, 60, "90% accuracy: with BN after 60 steps, without BN not in 1,000."),
        (None, None, "Neither without BN nor with BN reached 50% accuracy."),
    ],
)
def test_speed_is_told_at_the_highest_accuracy_that_both_reach(first, second, words):
    runs = [
        tracks.Seen(label, "", norm, norm, np.array([0]), curve(reached), {}, True)
        for label, norm, reached in (("without BN", "none", first), ("with BN", "batch", second))
    ]
    assert _speed(runs) == words


def test_a_scene_has_what_its_records_have(scene):
    assert [run.label for run in scene.runs] == [
        f"{arm} BN, seed {seed}" for arm in ("without", "with") for seed in (0, 1)
    ]
    assert [scene.runs[index].label for index in scene.columns] == ["without BN, seed 0", "with BN, seed 0"]
    assert scene.layers == ["hidden1", "hidden2", "hidden3"]
    assert all(run.has_histograms for run in scene.runs)
    for run in scene.runs:
        for (_, point), place in run.places.items():
            assert place.quantiles.shape == (len(run.steps), 8, 3)
            assert place.density.max(axis=1) == pytest.approx(1), point


class Record:
    """A record with these arrays."""

    def __init__(self, name: str, *keys: str) -> None:
        self.folder = Path("kept") / name
        self._keys = keys

    def arrays(self, _: str) -> dict[str, np.ndarray]:
        return {"steps": np.array([0, 5])} | {key: np.zeros((2, 3, 3)) for key in self._keys}


@pytest.mark.parametrize(
    ("other", "what", "todo"),
    [
        ("hidden1/pre_norm/unit_mean", "this record keeps no percentiles of units", "bnexp look kept whole"),
        ("stage1/pre_norm/unit_quantiles", "these runs have no hidden layer in common", "bnexp look kept/whole"),
    ],
)
def test_records_that_cannot_be_drawn_beside_each_other_are_refused(other, what, todo):
    records = [Record("whole", "hidden1/pre_norm/unit_quantiles"), Record("other", other)]
    with pytest.raises(UserError) as refusal:
        tracks.read_scene(records)
    assert refusal.value.what.startswith(what)
    assert refusal.value.todo == todo
