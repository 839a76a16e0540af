"""The numbers of ``layer_inputs`` against a slow twin, and what it samples."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from bnexp.claims.fig1_stability import EARLY, LATE
from bnexp.config.compose import compose
from bnexp.config.schema import ModelConfig
from bnexp.engine.build import build
from bnexp.errors import UserError
from bnexp.models.blocks import NormAct
from bnexp.probes.layer_inputs import LABELS, POINTS, QUANTILES, _edges, _pooled, _statistics
from bnexp.schedule import observation_steps


def recomputed(view, num_batches: int, *, training: bool = True) -> dict[str, np.ndarray]:
    """``<site>/<point>`` to values [U, K], by walking an MLP layer by layer on a copy."""
    model = copy.deepcopy(view.model).train(training)
    found: dict[str, list[np.ndarray]] = {}
    with torch.no_grad():
        for start in range(0, num_batches * view.batch_size, view.batch_size):
            x = view.inputs[start : start + view.batch_size].flatten(1)
            for name in ("hidden1", "hidden2", "hidden3"):
                block = getattr(model, name)
                before = block.linear(x)
                after = block.site.norm(before)
                x = block.site.activation(after)
                for point, values in zip(POINTS, (before, after, x), strict=True):
                    found.setdefault(f"{name}/{point}", []).append(values.numpy().T)
    return {name: np.concatenate(parts, axis=1) for name, parts in found.items()}


@pytest.fixture
def seen(experiment, probe):
    """Two observations with an update between them, and the values behind each, recomputed."""
    built = experiment("norm=batch")
    looking, view = probe(built)
    values, observations = [], []
    for step in (0, 1):
        values.append(recomputed(view, 2))
        observations += looking.observe(step)
        with torch.no_grad():
            for parameter in built.model.parameters():
                parameter.add_(0.1 * torch.ones_like(parameter))
    return looking, values, observations


def test_percentiles_mean_and_sd_are_those_of_all_values(seen):
    looking, values, _ = seen
    arrays = looking.arrays()
    for t, twin in enumerate(values):
        for name, values_UK in twin.items():
            expected = np.quantile(values_UK, QUANTILES, axis=1, method="linear").T
            np.testing.assert_allclose(arrays[f"{name}/unit_quantiles"][t], expected, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(arrays[f"{name}/unit_mean"][t], values_UK.mean(1), rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(arrays[f"{name}/unit_sd"][t], values_UK.std(1), rtol=1e-4, atol=1e-6)


def test_pooled_numbers_are_those_of_all_units_together(seen):
    looking, values, _ = seen
    arrays = looking.arrays()
    for name, values_UK in values[1].items():
        expected = np.quantile(values_UK, QUANTILES, method="linear")
        np.testing.assert_allclose(arrays[f"{name}/pooled_quantiles"][1], expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(arrays[f"{name}/pooled_mean"][1], values_UK.mean(), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(arrays[f"{name}/pooled_sd"][1], values_UK.std(), rtol=1e-4, atol=1e-6)


def test_the_distance_moved_is_the_wasserstein_distance_between_the_two_samples(seen):
    looking, values, _ = seen
    for name in values[0]:
        moved = looking.arrays()[f"{name}/unit_w1"]
        assert np.isnan(moved[0]).all()
        expected = [
            np.abs(np.sort(a) - np.sort(b)).mean() for a, b in zip(values[0][name], values[1][name], strict=True)
        ]
        np.testing.assert_allclose(moved[1], expected, rtol=1e-4, atol=1e-6)


def test_an_observation_shows_the_pooled_percentiles_of_its_place(seen):
    looking, _, observations = seen
    assert len(observations) == 2 * 3 * len(POINTS)
    for observation in observations:
        _, point, site = observation.name.split("/", 2)
        row = looking.arrays()[f"{site}/{point}/pooled_quantiles"][observation.step]
        assert (observation.labels, observation.values) == (LABELS, tuple(row.tolist()))


def test_a_pooled_histogram_holds_the_share_of_all_values_in_each_bin(seen):
    looking, values, _ = seen
    arrays = looking.arrays()
    for name, values_UK in values[1].items():
        lowest, highest = values_UK.min(), values_UK.max()
        np.testing.assert_allclose(arrays[f"{name}/pooled_range"][1], (lowest, highest), rtol=1e-6)
        counts, _ = np.histogram(values_UK.astype(np.float64), bins=64, range=(lowest, highest))
        np.testing.assert_allclose(arrays[f"{name}/pooled_histogram"][1] * values_UK.size, counts, atol=1.5)
        assert arrays[f"{name}/pooled_histogram"].shape == (2, 64)


def test_light_looks_are_denser_early_than_those_of_older_runs():
    light, older = (compose([f"probes={name}"]).probes["layer_inputs"] for name in ("light", "layer_inputs"))
    assert compose().probes["layer_inputs"] == light
    early = [
        sum(step <= 300 for step in observation_steps(3000, int(3000 / one["steps_between"]), one["early"]))
        for one in (light, older)
    ]
    assert early[0] > 1.5 * early[1]


def test_shapes_are_as_documented(seen):
    arrays = seen[0].arrays()
    assert arrays["steps"].tolist() == [0, 1]
    assert arrays["hidden2/next_input/unit_quantiles"].shape == (2, 8, 3)
    assert {arrays[f"hidden2/next_input/unit_{key}"].shape for key in ("mean", "sd", "w1")} == {(2, 8)}
    assert arrays["hidden2/next_input/pooled_quantiles"].shape == (2, 3)


def test_a_batch_normalised_unit_is_seen_as_it_trains(seen):
    """In train mode each probe batch has mean 0 and variance 1 behind the norm (gamma 1, beta 0 at step 0)."""
    arrays = seen[0].arrays()
    np.testing.assert_allclose(arrays["hidden1/post_norm/unit_mean"][0], 0, atol=1e-5)
    np.testing.assert_allclose(arrays["hidden1/post_norm/unit_sd"][0], 1, atol=1e-2)


def test_in_eval_mode_a_unit_is_seen_by_the_statistics_of_before_the_look(experiment, probe):
    """A pass in train mode moves the running statistics, so it has to come second."""
    built = experiment("norm=batch")
    with torch.no_grad():
        for step in range(5):
            built.model.train()(built.prepare(built.validation.images)[20 * step : 20 * step + 20])
    expected = recomputed(probe(built)[1], 2, training=False)
    looking, _ = probe(built, eval_too=True)
    looking.observe(0)
    arrays = looking.arrays()
    for name, values_UK in expected.items():
        np.testing.assert_allclose(arrays[f"{name}/eval_unit_mean"][0], values_UK.mean(1), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(arrays[f"{name}/eval_unit_sd"][0], values_UK.std(1), rtol=1e-4, atol=1e-6)
    behind_the_norm = "hidden1/post_norm"
    assert (np.abs(arrays[f"{behind_the_norm}/eval_unit_sd"][0] - arrays[f"{behind_the_norm}/unit_sd"][0]) > 0.05).any()


def test_eval_mode_adds_arrays_and_changes_no_other(experiment, probe):
    built = experiment("norm=batch")
    plain, more = probe(built)[0], probe(built, eval_too=True)[0]
    buffers = [buffer.clone() for buffer in built.model.buffers()]
    for looking in (plain, more):
        for buffer, value in zip(built.model.buffers(), buffers, strict=True):
            buffer.copy_(value)
        looking.observe(0)
    added = set(more.arrays()) - set(plain.arrays())
    assert {name.rsplit("/", 1)[1] for name in added} == {"eval_unit_mean", "eval_unit_sd"}
    for name, array in plain.arrays().items():
        np.testing.assert_array_equal(more.arrays()[name], array)


def test_fixed_looks_are_the_steps_that_were_asked_for_as_far_as_the_run_goes(experiment, probe):
    looking, view = probe(experiment(), looks=(7, 0, 7, 2, 10**6), observations=2)
    assert list(looking.steps()) == [0, 2, 7]
    assert view.steps < 10**6


def test_the_claims_looks_are_the_same_at_every_budget_up_to_the_end_of_their_windows():
    looks = compose(["probes=fixed_looks"]).probes["layer_inputs"]["looks"]
    assert sorted(set(looks)) == list(looks)
    assert {EARLY[0], EARLY[1], LATE[1], 50_000} <= set(looks)
    assert 35 <= sum(look <= LATE[1] for look in looks) <= 45


@pytest.mark.parametrize("looks", [(), (1, -1)])
def test_looks_that_are_none_or_before_the_start_are_refused(experiment, probe, looks):
    with pytest.raises(UserError, match=r"^probes\.layer_inputs\.looks must "):
        probe(experiment(), looks=looks)


def test_convolutional_maps_are_sampled_at_the_same_places_every_time(experiment, probe):
    built = experiment("model=cnn", "norm=none")
    looking, _ = probe(built, values_per_unit=50)
    for step in (0, 1):
        looking.observe(step)
    arrays = looking.arrays()
    for name in arrays:
        if name.endswith("/unit_w1"):
            assert (arrays[name][1] == 0).all(), name
        elif name != "steps":
            np.testing.assert_array_equal(arrays[name][0], arrays[name][1])


def test_samples_of_a_map_come_from_the_map_and_are_as_many_as_asked(experiment, probe):
    built = experiment("model=cnn", "norm=none")
    looking, view = probe(built, values_per_unit=50, examples=20)
    values_UK = looking._collect()["hidden1/pre_norm"]
    with torch.no_grad():
        everything = built.model.hidden1.conv(view.inputs[:20]).movedim(1, 0).flatten(1).numpy()
    assert values_UK.shape == (8, 50)
    assert all(np.isin(row, whole).all() for row, whole in zip(values_UK, everything, strict=True))


def test_the_places_of_a_sample_depend_on_the_seed(experiment, probe):
    first, second = (probe(experiment("model=cnn", f"seed={seed}"), values_per_unit=50)[0] for seed in (0, 1))
    for looking in (first, second):
        looking._collect()
    assert not torch.equal(first._places["hidden1/pre_norm"], second._places["hidden1/pre_norm"])


@pytest.mark.parametrize(("examples", "expected"), [(1, 20), (20, 20), (21, 40), (40, 40), (9999, 40)])
def test_examples_are_rounded_up_to_whole_batches_as_far_as_there_are_any(experiment, probe, examples, expected):
    looking, _ = probe(experiment(), examples=examples)
    assert looking._collect()["hidden1/pre_norm"].shape[1] == expected


def test_a_model_without_hidden_layers_is_not_looked_at(make, probe):
    looking, _ = probe(
        build(replace(make("norm=none"), model=ModelConfig(name="linear", init="lecun", init_scale=1.0, options={})))
    )
    assert (list(looking.steps()), looking.summary()) == ([], {})


def test_every_site_of_a_model_is_observed(experiment, probe):
    built = experiment("model=resmlp", "model.depth=2")
    looking, _ = probe(built)
    sites = {name.removesuffix(".site") for name, m in built.model.named_modules() if isinstance(m, NormAct)}
    assert {o.name.split("/", 2)[2] for o in looking.observe(0)} == sites
    assert len(sites) >= 4


def test_histograms_come_at_a_few_steps_the_last_one_included(experiment, probe):
    looking, view = probe(experiment(), histograms=3, observations=10)
    steps = list(looking.steps())
    with_histogram = [step for step in steps if looking.observe(step)[0].histogram is not None]
    assert len(with_histogram) <= 3
    assert with_histogram[-1] == steps[-1] == view.steps
    assert [step for step in steps if probe(experiment(), histograms=0)[0].observe(step)[0].histogram] == []


@pytest.mark.parametrize("values", [[1.0, 1.0 + 2**-23], [0.0, 0.0], [-3e38, 3e38], [1e-45, 2e-45]])
@np.errstate(over="ignore")
def test_a_histogram_counts_values_however_near_or_far(values):
    pooled, counts = _pooled(np.array(values, np.float32))
    edges = _edges(*pooled["range"].tolist())
    assert counts.sum() == 2
    assert pooled["histogram"].sum() == 1
    np.testing.assert_array_equal(pooled["quantiles"], _statistics(np.array([values], np.float32))["quantiles"][0])
    assert np.isfinite(edges).all()
    assert (np.diff(edges) > 0).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_has_no_histogram_and_raises_no_warning(experiment, probe, bad):
    built = experiment("norm=none", "model.activation=relu")
    looking, _ = probe(built)
    looking.observe(0)
    with torch.no_grad():
        built.model.hidden2.linear.weight.fill_(bad)
    assert [o.histogram for o in looking.observe(30) if o.name.endswith("hidden2")] == [None] * 3
    assert looking.summary()["pre_norm"]["drift_mean"] is None


def test_a_restored_probe_goes_on_as_if_nothing_had_happened(experiment, probe):
    built = experiment("model=cnn")
    (unbroken, _), (first, _), (second, _) = (probe(built, values_per_unit=50) for _ in range(3))
    for step, looking in ((0, unbroken), (0, first), (1, unbroken)):
        looking.observe(step)
    second.restore(first.state())
    second.observe(1)
    for name, array in unbroken.arrays().items():
        np.testing.assert_array_equal(second.arrays()[name], array)


@pytest.mark.parametrize(
    ("option", "value", "least"),
    [
        ("examples", 0, 1),
        ("values_per_unit", 0, 1),
        ("observations", 1, 2),
        ("steps_between", 0, 1),
        ("histograms", -1, 0),
    ],
)
def test_an_option_out_of_range_is_refused(experiment, probe, option, value, least):
    with pytest.raises(
        UserError, match=rf"^probes\.layer_inputs\.{option} must be a whole number of at least {least}\n"
    ):
        probe(experiment(), **{option: value})


@pytest.mark.parametrize("early", [0, 1, "much"])
def test_a_share_of_early_looks_that_is_none_is_refused(experiment, probe, early):
    with pytest.raises(UserError, match=r"^probes\.layer_inputs\.early must be a number above 0 and below 1\n"):
        probe(experiment(), early=early)
