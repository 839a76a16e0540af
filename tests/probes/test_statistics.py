"""What is read with running, batch and recomputed statistics, against the same done by hand."""

from __future__ import annotations

import pytest
import torch

from bnexp.errors import UserError
from bnexp.norms.population import recompute_statistics
from bnexp.probes.base import guest
from bnexp.probes.statistics import distance


def probe_of(built):
    return built.probes["statistics"]


def seen(built, step=3):
    with guest(built.model, [built.noise]):
        return probe_of(built).look(step)


def stepped(experiment, *words, steps=3):
    """The small run after a few updates, so that running statistics are neither the first nor the last."""
    built = experiment("probes=statistics", *words)
    for _ in range(steps):
        x, y = built.training_batch(built.batches.next(), built.augmentation)
        loss = torch.nn.functional.cross_entropy(built.model(x), y)
        built.optimizer.zero_grad()
        loss.backward()
        built.optimizer.step()
    return built


def shares(built, outputs, chosen_KB):
    return float((outputs.argmax(1) == probe_of(built)._view.labels[chosen_KB.flatten()]).float().mean())


def test_each_way_of_reading_is_what_it_says(experiment):
    built = stepped(experiment, "probes.statistics.batches=[1,4]")
    view, chosen_KB = probe_of(built)._view, probe_of(built)._arranged["eval"]
    found = seen(built)["accuracy"]
    assert list(found) == ["eval", "batch", "recomputed 1", "recomputed 4"]
    x = view.inputs[chosen_KB.flatten()]
    assert found["eval"] == pytest.approx(shares(built, built.model.eval()(x), chosen_KB))
    with guest(built.model, []), torch.no_grad():
        by_batch = torch.cat([built.model.train()(view.inputs[some]) for some in chosen_KB])
    assert found["batch"] == pytest.approx(shares(built, by_batch, chosen_KB))
    with guest(built.model, []):
        recompute_statistics(built.model, [view.training_batch(f"probe/statistics/3/{i}")[0] for i in range(4)])
        assert found["recomputed 4"] == pytest.approx(shares(built, built.model.eval()(x), chosen_KB))


def test_the_lag_of_the_first_norm_is_that_of_its_mean(experiment):
    """The first layer's inputs are the data, so that its recomputed mean is that of the batches, whatever the norms do."""
    built = stepped(experiment, "probes.statistics.batches=[8]")
    view, norm = probe_of(built)._view, built.model.hidden1.site.norm
    found = seen(built)["lag"]
    z = torch.stack([built.model.hidden1.linear(view.training_batch(f"probe/statistics/3/{i}")[0].flatten(1)) for i in range(8)])
    mean_C, sd_C = z.mean((0, 1)), (z.var(1).mean(0) + norm.eps).sqrt()
    assert found["hidden1"] == pytest.approx(((norm.running_mean - mean_C) / sd_C).square().mean().sqrt().item(), rel=1e-4)
    assert list(found) == ["hidden1", "hidden2", "hidden3"]
    assert distance(norm.running_mean, norm) == 0


def test_without_running_statistics_there_is_nothing_to_recompute(experiment):
    for norm in ("none", "layer"):
        found = seen(stepped(experiment, f"norm={norm}"))
        assert list(found) == ["accuracy"]
        assert found["accuracy"]["eval"] == found["accuracy"]["batch"]


@pytest.mark.parametrize(("order", "most"), [("one_class", 1), ("two_classes", 2)])
def test_companions_are_those_of_training(experiment, order, most):
    built = stepped(experiment, f"train.order={order}", "train.batch_size=10")
    probe = probe_of(built)
    assert max(len(set(probe._view.labels[some].tolist())) for some in probe._arranged["batch"]) == most
    assert max(len(set(probe._view.labels[some].tolist())) for some in probe._arranged["mixed"]) == 3
    assert list(seen(built)["accuracy"]) == ["eval", "batch", "mixed", "recomputed 16"]
    y = probe._view.training_batch("probe/anything")[1]
    assert len(set(y.tolist())) <= most  # of three classes one has no partner


def test_ghosts_and_micro_batches_are_read_as_they_train(experiment):
    assert set(seen(stepped(experiment, "norm=ghost", "norm.ghost_size=5"))["accuracy"]) == {"eval", "batch", "recomputed 16"}
    micro = stepped(experiment, "train.accumulate=4")
    assert probe_of(micro)._arranged["batch"].shape[1] == 5


def test_a_class_too_small_for_a_batch_is_refused_before_the_run(experiment):
    with pytest.raises(UserError, match="fills batches with examples of a class"):
        experiment("probes=statistics", "train.order=one_class", "train.batch_size=20")
