"""``shift`` against a net walked by hand, and what it reads."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from bnexp.engine.evaluate import evaluate
from bnexp.errors import UserError
from bnexp.probes.shift import ShiftProbe, shifts, statistics_of

OPTIONS = {
    "sizes": [1, 4, 16],
    "priors": [0, 16],
    "class_size": 5,
    "test_examples": 2000,
    "brightness": 0.3,
    "contrast": 0.2,
    "noise": 0.18,
}


@pytest.fixture
def looking(probe):
    """``looking(experiment, sizes=[4])``: the probe with these options on a net whose running statistics are not the first ones."""

    def on(experiment, **options):
        experiment.model.train()
        with torch.no_grad():
            experiment.model(experiment.training_batch(torch.arange(40), experiment.augmentation)[0])
        return ShiftProbe(probe(experiment)[1], **{**OPTIONS, **options})

    return on


def test_statistics_of_a_batch_alone_are_those_it_would_be_trained_with(experiment):
    """Eval mode by statistics of a batch is train mode on that batch, however deep the net: torch's own normalisation says so."""
    for model, norm in (("mlp", "batch"), ("cnn", "batch"), ("mlp", "renorm")):  # renorm starts as pure batch norm
        built = experiment(f"model={model}", f"norm={norm}")
        x, _ = built.training_batch(torch.arange(20), built.augmentation)
        with torch.no_grad():
            trained = copy.deepcopy(built.model).train()(x)
            built.model.eval()
            with statistics_of(built.model, x, prior=0):
                torch.testing.assert_close(built.model(x), trained, rtol=1e-4, atol=1e-5)


def test_a_prior_keeps_that_many_examples_of_the_training_statistics(experiment):
    built = experiment("norm=batch")
    model = built.model.eval()
    norms = [getattr(model, f"hidden{index}").site.norm for index in (1, 2)]
    for norm in norms:
        norm.running_mean.fill_(0.5)
        norm.running_var.fill_(3.0)
    x, _ = built.training_batch(torch.arange(4), built.augmentation)
    with torch.no_grad(), statistics_of(model, x, prior=16):
        z = x.flatten(1)
        for index, norm in enumerate(norms, start=1):
            block = getattr(model, f"hidden{index}")
            z = block.linear(z)
            torch.testing.assert_close(norm.running_mean, 0.8 * 0.5 + 0.2 * z.mean(0))
            torch.testing.assert_close(norm.running_var, 0.8 * 3.0 + 0.2 * z.var(0, correction=0))
            z = block.site(z)  # by the blended statistics, as the next norm sees it


def test_clean_pictures_by_training_statistics_are_the_run_s_own_test_score(experiment, looking):
    built = experiment("norm=batch")
    probe = looking(built)
    probe.observe(30)
    assert probe.summary()["accuracy"]["clean"]["training"] == evaluate(built.model, built.test, built).accuracy


def test_every_way_of_reading_leaves_the_statistics_as_they_were(experiment, looking):
    built = experiment("norm=batch")
    probe = looking(built)
    before = [buffer.clone() for buffer in built.model.buffers()]
    probe.observe(30)
    assert all(torch.equal(a, b) for a, b in zip(before, built.model.buffers(), strict=True))
    assert all(not module._forward_pre_hooks for module in built.model.modules())


def test_statistics_come_from_validation_pictures_and_one_class_is_one_class(experiment, looking, monkeypatch):
    built = experiment("norm=batch")
    probe = looking(built)
    seen: dict[str, list] = {}
    shifted = probe._shifted

    def spy(name, part, examples, chosen):
        seen.setdefault(part, []).append((examples, examples.labels[chosen]))
        return shifted(name, part, examples, chosen)

    monkeypatch.setattr(probe, "_shifted", spy)
    probe.observe(30)
    assert set(seen) == {"test", "target", "target/0", "target/1", "target/2"}
    for part, uses in seen.items():
        assert len(uses) == len(shifts(1, brightness=0, contrast=0, noise=0))
        for examples, labels in uses:
            assert examples is (built.test if part == "test" else built.validation)
            assert part in ("test", "target") or labels.tolist() == 5 * [int(part[-1])]
            assert part != "target" or len(set(labels.tolist())) == 3


def test_what_is_read_is_the_share_of_right_answers_by_those_statistics(experiment, looking):
    built = experiment("norm=batch")
    probe = looking(built)
    probe.observe(30)
    target, _ = probe._shifted("noise", "target", built.validation, probe._order("target", 47)[:16])
    x, labels = probe._shifted("noise", "test", built.test, probe._order("test", 53))
    model = copy.deepcopy(built.model).eval()
    with torch.no_grad(), statistics_of(model, target[:4], prior=16):
        expected = (model(x).argmax(1) == labels).double().mean().item()
    found = probe.summary()
    assert found["accuracy"]["noise"]["recomputed"][1][1] == pytest.approx(expected)
    assert (found["priors"][1], found["sizes"][1]) == (16, 4)


def test_at_one_seed_every_arm_is_shown_the_same_pictures(experiment, looking):
    def picture(*words):
        built = experiment(*words)
        return looking(built)._shifted("noise", "test", built.test, torch.arange(5))[0]

    assert torch.equal(picture("norm=none"), picture("norm=batch"))
    assert not torch.equal(picture("norm=none"), picture("norm=none", "seed=1"))


def test_a_net_without_running_statistics_is_read_as_it_is(experiment, looking):
    probe = looking(experiment("norm=layer"))
    observations = probe.observe(30)
    assert {observation.labels for observation in observations} == {("training",)}
    assert {name.split("/")[-1] for name in probe.arrays()} == {"sizes", "priors", "training"}
    assert all(found["recomputed"] is None for found in probe.summary()["accuracy"].values())


def test_it_looks_once_after_the_last_step_and_a_restored_one_knows_what_it_saw(experiment, looking):
    built = experiment("norm=batch")
    first, second = looking(built), looking(built)
    assert (list(first.steps()), first.summary()) == ([30], {})
    first.observe(30)
    second.restore(first.state())
    assert second.summary() == first.summary()
    for name, array in first.arrays().items():
        np.testing.assert_array_equal(second.arrays()[name], array)
    assert first.arrays()["noise/recomputed"].shape == (2, 3)


def test_only_three_channels_can_be_recoloured():
    strengths = {"brightness": 0.3, "contrast": 0.2, "noise": 0.18}
    five = ["clean", "brightness", "contrast", "inversion", "noise"]
    assert list(shifts(1, **strengths)) == five
    assert list(shifts(3, **strengths)) == ["clean", "colour", *five[1:]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"sizes": [16, 512]},
            "probes=shift recomputes statistics on 512 validation examples, and there are 47\n"
            "  got: probes.shift.sizes=[...,512]\n  try: dataset.validation_examples=512, or probes.shift.sizes=[47]",
        ),
        ({"sizes": []}, "{}.sizes must not be empty\n  got: []\n  try: {}.sizes=[1,16,512]"),
        ({"sizes": 4}, "{}.sizes must be a list\n  got: 4\n  try: {}.sizes=[4]"),
        ({"sizes": [0]}, "{}.sizes must be a whole number of at least 1\n  got: 0\n  try: {}.sizes=1"),
        ({"priors": [-1]}, "{}.priors must be a whole number of at least 0\n  got: -1\n  try: {}.priors=1"),
        ({"class_size": 0}, "{}.class_size must be a whole number of at least 1\n  got: 0\n  try: {}.class_size=64"),
        ({"noise": -1.0}, "{}.noise must be a number at least 0\n  got: -1\n  try: {}.noise=0.18"),
    ],
)
def test_an_option_out_of_range_is_refused(experiment, looking, options, message):
    with pytest.raises(UserError) as error:
        looking(experiment(), **options)
    assert str(error.value) == message.replace("{}", "probes.shift")
