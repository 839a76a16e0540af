"""Claims C2, C3, C5, D2 and D3: what they measure against slow twins, and made-up records that reach the verdicts they should."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch.nn import functional as F  # noqa: N812

from bnexp.claims import CLAIMS
from bnexp.claims import first_steps as d2
from bnexp.claims import gradient_shift as c2
from bnexp.claims import gradient_shift_linear as linear
from bnexp.claims import moments_explode as d3
from bnexp.claims import projection_bound as c5
from bnexp.claims import smoother_landscape as c3
from bnexp.claims.base import BUDGETS
from bnexp.claims.causes import COMPARED, GRIDS
from bnexp.claims.judge import Judged, judge, judge_runs
from bnexp.claims.places import PLACES
from bnexp.claims.runs import Cell, Runs
from bnexp.config.compose import compose
from bnexp.engine.build import build
from bnexp.figures.style import SETTINGS
from bnexp.norms import NORMS
from bnexp.records.reader import RunRecord

#: ./scripts/test leaves them out.
pytestmark = pytest.mark.slow

LOOKS = np.array([0, 10, 100, 500])
LAYERS = ("hidden2", "hidden3", "output")


def drawn(claim, evidence) -> Figure:
    with matplotlib.rc_context(dict(SETTINGS)):
        figure = Figure()
        claim.draw(evidence, figure)
        figure.draw_without_rendering()
    return figure


# Runs that are made up: C2 and C3


def shift_arrays(cosine: float, relative: float) -> dict[str, np.ndarray]:
    rows = {"shift": 1.0, "relative_shift": relative, "cosine": cosine}
    return {"steps": LOOKS} | {f"{what}/{layer}": np.full(4, value) for what, value in rows.items() for layer in LAYERS}


def landscape_arrays(change: float) -> dict[str, np.ndarray]:
    """Every quantity is ``change``; the loss falls from 2.3 to .1."""
    quantities = ("loss_range", "relative_loss_range", "gradient_change", "relative_gradient_change", "smoothness", "cosine")
    kinds = ("rate", *(f"{word} {share}" for word in ("layers", "whole") for share in ("0.001", "0.01", "0.1")))
    found = {f"{what}/{kind}": np.full(4, change) for what in quantities for kind in kinds}
    return {"steps": LOOKS, "loss/here": np.array([2.3, 2.0, 0.5, 0.1])} | found


def write_run(folder: Path, slow: float, **probes: dict[str, np.ndarray]) -> None:
    """A run that passes every level of both places, later where it is slow, and what its probes saw."""
    folder.mkdir()
    steps = range(5, 505, 5)
    rows = [(step, 1 - min(0.9, 4.0 * slow / step)) for step in steps]
    events = [{"step": step, "name": "val/accuracy", "value": value, "seconds": step / 1000} for step, value in rows]
    (folder / "run.json").write_text("{}", encoding="utf-8")
    (folder / "end.json").write_text(json.dumps({"status": "finished", "step_ms": 1.0}), encoding="utf-8")
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
    (folder / "probes").mkdir()
    for name, arrays in probes.items():
        np.savez(folder / "probes" / f"{name}.npz", **arrays)


@pytest.fixture
def made_up(tmp_path) -> Callable[..., Judged]:
    """``made_up("gradient_shift", control=(cosine, relative, change), subject=...)``: judged where the data are bundled."""

    def make(claim: str, **arms: tuple[float, float, float]) -> Judged:
        rng, cells = np.random.default_rng(0), []
        for grid, place in enumerate(("sigmoid", "ReLU")):
            tuning = CLAIMS[claim].grids[grid].tuning
            for arm, (cosine, relative, change) in arms.items():
                asked = [("tuning", value, seed) for value in (0.25, 0.5, 1.0) for seed in BUDGETS["quick"].tuning_seeds(tuning)]
                asked += [(regime, 0.5, seed) for regime in ("own", "same") for seed in range(8)]
                for regime, value, seed in asked:
                    folder = tmp_path / f"{place}-{arm}-{regime}-{value}-{seed}"
                    wobble = float(np.exp(rng.normal(0, 0.01)))
                    seen = {} if regime == "tuning" else {
                        "gradient_shift": shift_arrays(cosine * wobble, relative * wobble),
                        "landscape": landscape_arrays(change * wobble),
                    }  # fmt: skip
                    write_run(folder, (1.0 if value == 0.5 else 1.5) * wobble, **seen)
                    cells.append(
                        Cell(grid=grid, regime=regime, arm=arm, value=value, seed=seed, run_id=folder.name, command="")
                    )
        return judge_runs(Runs(CLAIMS[claim], "quick", cells, tmp_path))

    return make


@pytest.mark.parametrize(
    ("with_bn", "outcome", "word", "words"),
    [
        pytest.param(0.9, "SUPPORTED", "as claimed", "gradients BN reduces internal covariate shift there", marks=pytest.mark.slow),
        pytest.param(0.51, "CONTRADICTED", "too small", "does not reduce internal covariate", marks=pytest.mark.slow),
        (0.3, "CONTRADICTED", "reversed", "BN increases internal covariate shift there; relative to its length it changes 2."),
    ],
)
def test_c2_is_judged_by_the_cosine_and_says_so(made_up, with_bn, outcome, word, words):
    one = made_up("gradient_shift", control=(0.5, 0.8, 1.0), subject=(with_bn, 0.4, 1.0))
    assert not one.failure
    assert one.primary is not None
    assert (one.primary.outcome, one.primary.word) == (outcome, word)
    assert one.primary.effect.estimate == pytest.approx(with_bn - 0.5, abs=0.01)
    assert one.verdicts["ReLU, same rate: relative change"].effect.estimate == pytest.approx(2, rel=0.02)
    assert one.verdicts["convolutional, own rate: cosine"].word == "out of reach"
    assert words in one.sentence
    cosines = re.search(r"mean cosine of ([.\d]+) with BN and ([.\d]+) without", one.sentence)
    assert cosines
    assert [float(found) for found in cosines.groups()] == pytest.approx([with_bn, 0.5], abs=0.011)
    assert len(drawn(one.claim, one.evidence).axes) == 2


@pytest.mark.parametrize(
    ("factor", "outcome", "words"),
    [
        (2.0, "SUPPORTED", "2.0 times less"),
        pytest.param(1.0, "CONTRADICTED", "neither clearly", marks=pytest.mark.slow),
        pytest.param(0.5, "CONTRADICTED", "2.0 times more", marks=pytest.mark.slow),
    ],
)
def test_c3_is_judged_by_the_scale_free_change_and_says_so(made_up, factor, outcome, words):
    one = made_up("smoother_landscape", control=(1, 1, 0.1 * factor), subject=(1, 1, 0.1))
    assert not one.failure
    assert one.primary.outcome == outcome
    reached = [name for name in one.verdicts if not name.startswith("convolutional")]
    assert len(reached) == 18
    assert all(one.verdicts[name].effect.estimate == pytest.approx(factor, rel=0.02) for name in reached)
    assert words in one.sentence
    assert len(drawn(one.claim, one.evidence).axes) == 2


def test_c2_and_c3_share_their_runs_and_tune_without_probes():
    assert CLAIMS["gradient_shift"].grids is CLAIMS["smoother_landscape"].grids is GRIDS
    for grid in GRIDS:
        assert {words[0] for words in grid.tuning.overrides.values()} == {"probes=none"}
    assert set(COMPARED) == set(PLACES)


def test_at_equal_loss_a_quantity_is_read_between_looks_along_the_log_loss(tmp_path):
    """A change of the gradient that is the square of the loss has the geometric mean of the levels' squares."""
    loss = np.array([2.3, 1.0, 1.2, 0.3])  # a look at which the loss is higher again does not count twice
    fallen = np.minimum.accumulate(loss)
    arrays = {"steps": LOOKS, "loss/here": loss, f"relative_gradient_change/{c3.LAYERS}": fallen**2}
    write_run(tmp_path / "run", 1.0, landscape=arrays)
    found = c3._number(RunRecord(tmp_path / "run"), c3.EQUAL_LOSS)
    assert found == pytest.approx(np.exp(np.log(c3.LOSSES**2).mean()))


def test_looks_without_a_number_are_left_out_and_a_run_without_any_has_none(tmp_path):
    arrays = shift_arrays(0.5, 1.0)
    arrays["cosine/output"] = np.array([0.5, np.nan, 0.2, np.nan])
    write_run(tmp_path / "some", 1.0, gradient_shift=arrays)
    assert c2._cosine(RunRecord(tmp_path / "some")) == pytest.approx((0.5 + 1.2 / 3) / 2)
    arrays["cosine/output"] = np.full(4, np.nan)
    write_run(tmp_path / "none", 1.0, gradient_shift=arrays)
    with pytest.raises(ValueError, match="no look at which its gradients are numbers"):
        c2._cosine(RunRecord(tmp_path / "none"))


# The linear net of C2


def one_net(w: list[torch.Tensor], x: torch.Tensor, y: torch.Tensor, with_bn: bool) -> torch.Tensor:
    """The loss of one net, layer by layer with torch's own batch normalisation."""
    h = x
    for index, layer in enumerate(w):
        h = F.linear(h, layer)
        if with_bn and index < len(w) - 1:
            h = F.batch_norm(h, None, None, training=True, eps=linear.EPS)
    return F.mse_loss(h, y, reduction="sum") / len(x)


@pytest.mark.parametrize("with_bn", [False, True])
def test_stacked_linear_nets_are_nets_one_by_one_and_their_cosines_are_of_nets_that_stepped(with_bn):
    draw = torch.Generator().manual_seed(0)
    w, x, y = (torch.randn(2, *s, generator=draw, dtype=torch.float64) for s in ((5, 4, 4), (9, 4), (9, 4)))
    loss, gradient = linear.loss_and_gradient(w, x, y, with_bn)
    cosines = linear.cosines_of(w, gradient, x, y, with_bn, 0.1)
    assert cosines.shape == (2, 4)
    for net in range(2):
        leaves = [layer.clone().requires_grad_() for layer in w[net]]
        expected = one_net(leaves, x[net], y[net], with_bn)
        own = torch.autograd.grad(expected, leaves)
        assert loss[net].item() == pytest.approx(expected.item())
        torch.testing.assert_close(gradient[net], torch.stack(own))
        for place in range(1, 5):
            moved = [v - 0.1 * g if index < place else v for index, (v, g) in enumerate(zip(leaves, own, strict=True))]
            (after,) = torch.autograd.grad(one_net(moved, x[net], y[net], with_bn), [leaves[place]])
            expected_cosine = F.cosine_similarity(own[place].flatten(), after.flatten(), dim=0)
            assert cosines[net, place - 1].item() == pytest.approx(expected_cosine.item())


class Measured:
    """Runs of a measurement that are made up."""

    budget = "quick"

    def __init__(self, *arrays: dict[str, np.ndarray]) -> None:
        self.arrays = arrays

    def seeds(self) -> tuple[int, ...]:
        return tuple(range(len(self.arrays)))

    def measured(self, seed: int) -> dict[str, np.ndarray]:
        return self.arrays[seed]


def linear_world(plain: float, with_bn: float, gain: float) -> Measured:
    rng, found = np.random.default_rng(0), {"steps": np.array([0, 1, 10])}
    for rate in linear.RATES:
        for kind, cosine, loss in ((linear.PLAIN, plain, gain), (linear.BN, with_bn, 1.0)):
            found[f"{kind}/{rate}/cosine"] = cosine + rng.normal(0, 0.02, (8, 3, 4)).astype(np.float32)
            found[f"{kind}/{rate}/loss"] = loss * np.exp(rng.normal(0, 0.05, (8, 3)))
    return Measured(found)


@pytest.mark.parametrize(
    ("plain", "with_bn", "outcome", "words"),
    [
        (1.0, 0.1, "SUPPORTED", "BN raises"),
        (0.9, 0.85, "CONTRADICTED", "do not turn more"),
        (0.1, 0.9, "CONTRADICTED", "BN lowers"),
    ],
)
def test_the_linear_net_is_judged_by_its_cosines(plain, with_bn, outcome, words):
    evidence = linear.analyse(linear_world(plain, with_bn, 2.0), np.random.default_rng(0))
    verdicts = judge(linear.CLAIM, evidence)
    assert next(iter(verdicts.values())).outcome == outcome
    assert verdicts["short steps: final loss"].outcome == "SUPPORTED"
    sentence = linear.say(evidence, verdicts)
    assert words in sentence
    assert re.search(r"their loss at the end is 2\.[01] times lower with BN", sentence)
    assert len(drawn(linear.CLAIM, evidence).axes) == 4


# The bound of C5


def test_the_equality_holds_and_its_check_sees_a_wrong_term(monkeypatch):
    rng = np.random.default_rng(0)
    assert max(c5._errors(rng, torch.Generator().manual_seed(0)).max() for _ in range(20)) < 1e-9

    def detached(_: str, units: int, dims: int, **options: object) -> torch.nn.Module:
        return NORMS["detached"].build(units, dims, momentum=1.0, detach="both", **options).double()

    monkeypatch.setattr(c5, "float64_norm", detached)
    assert min(c5._errors(np.random.default_rng(1), torch.Generator().manual_seed(1)).max() for _ in range(5)) > 1e-4


def test_the_share_is_one_along_the_two_directions_and_two_in_m_of_a_random_one():
    draw = torch.Generator().manual_seed(0)
    y = torch.randn(50, 400, generator=draw, dtype=torch.float64)
    centred = (y - y.mean(0)) / y.std(0, unbiased=False)
    assert c5._share(y, torch.ones_like(y)) == pytest.approx(1)
    assert c5._share(y, centred) == pytest.approx(1, rel=1e-4)
    assert c5._share(y, torch.randn(50, 400, generator=draw, dtype=torch.float64)) == pytest.approx(2 / 50, rel=0.1)


def test_c5_measures_both_nets_and_judges_equality_and_shares():
    measured = c5.measure(0, "smoke")
    assert measured["error"].max() < 1e-8
    assert measured["sigmoid"].shape == (1, 2, 3)
    assert measured["ReLU"].shape == (1, 2, 6)
    rng = np.random.default_rng(0)
    worlds = [{"error": np.full(50, 1e-14)} | {net: rng.normal(0.3, 0.01, (1, 7, 3)) for net in c5.NETS} for _ in range(8)]
    world = Measured(*worlds)
    evidence = c5.analyse(world, rng)
    verdicts = judge(c5.CLAIM, evidence)
    assert {verdict.outcome for verdict in verdicts.values()} == {"SUPPORTED"}
    assert "is an equality" in c5.say(evidence, verdicts)
    assert "30 % in the paper's sigmoid net and 30 % in a ReLU net" in c5.say(evidence, verdicts)
    assert drawn(c5.CLAIM, evidence).axes


# The first steps of D2


def test_the_first_steps_are_those_of_a_copy_that_is_really_moved():
    words = ("model=mlp", "model.depth=4", "model.width=16", "norm=batch", "probes=none", "threads=1", "train.batch_size=20")
    experiment = build(compose(["dataset=mnist_5k", *words]))
    batches = [experiment.training_batch(experiment.batches.next(), experiment.augmentation) for _ in range(2)]
    ratios = d2.first_ratios(experiment.model, *batches[0])
    place = int(np.argmin(abs(d2.RATES - 1)))
    net = copy.deepcopy(experiment.model).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=float(d2.RATES[place]))
    worst = 0.0
    for index, (x, y) in enumerate(batches):
        before = F.cross_entropy(net(x), y)
        optimizer.zero_grad()
        before.backward()
        optimizer.step()
        ratio = F.cross_entropy(net(x), y).item() / before.item()
        worst = max(worst, ratio)
        if index == 0:
            assert ratios[place] == pytest.approx(ratio, rel=1e-3)
    assert d2._worst(experiment.model, batches, float(d2.RATES[place])) == pytest.approx(worst, rel=1e-3)


@pytest.mark.parametrize(
    ("ratios", "place"), [([1, 0.5, 11, 2], 2), ([1, np.nan, 1, 1], 1), ([1, 1, 1, np.inf], 3), ([1, 1, 1, 1], 3)]
)
def test_a_limit_is_the_first_rate_beyond_it(ratios, place):
    assert d2.limit_of(np.array(ratios)) == place


@pytest.mark.parametrize(
    ("decades", "outcome", "words"),
    [(4.0, "SUPPORTED", "so BN lets the first step be far larger"), (0.4, "CONTRADICTED", "less than the factor of ten"),
     (-2.0, "CONTRADICTED", "so BN lets the first step be less large")],
)  # fmt: skip
def test_d2_counts_powers_of_ten(decades, outcome, words):
    rng, measured = np.random.default_rng(0), []
    for _ in range(8):
        found = {}
        for net in d2.NETS:
            for arm, limit in ((d2.CONTROL, -4.0), (d2.SUBJECT, -4.0 + decades)):
                found[f"{net}/{arm}/ratio"] = np.where(np.log10(d2.RATES) < limit, 1.0, 100.0)[None]
                found |= {f"{net}/{arm}/{what}": np.array([limit + rng.normal(0, 0.1)]) for what in (d2.FIRST, d2.TEN)}
        measured.append(found)
    evidence = d2.analyse(Measured(*measured), rng)
    verdicts = judge(d2.CLAIM, evidence)
    assert {verdict.outcome for verdict in verdicts.values()} == {outcome}
    assert words in d2.say(evidence, verdicts)
    assert len(drawn(d2.CLAIM, evidence).axes) == 2


# Moments over depth, D3


def test_moments_and_their_growth_with_depth_are_those_of_values_that_grow_by_a_known_factor():
    draw = torch.Generator().manual_seed(0)
    first = torch.randn(500, 40, generator=draw, dtype=torch.float64) + 2
    sds, means = d3._log_moments([first * 10 ** (0.3 * place) for place in range(5)])
    assert sds[0] == pytest.approx(0, abs=0.02)
    assert means[0] == pytest.approx(np.log10(2), abs=0.02)
    assert d3.slopes(np.array([sds, means])) == pytest.approx([0.3, 0.3])


@pytest.mark.parametrize(
    ("plain", "with_bn", "outcomes"),
    [(0.3, 0.01, {"SUPPORTED"}), (0.02, 0.01, {"CONTRADICTED", "SUPPORTED"}), (0.1, 0.3, {"CONTRADICTED"})],
)
def test_d3_compares_growth_with_depth(plain, with_bn, outcomes):
    rng, measured = np.random.default_rng(0), []
    for _ in range(8):
        found = {}
        for arm, slope in ((d2.CONTROL, plain), (d2.SUBJECT, with_bn)):
            for key in (f"{net}/{arm}/{when}/{moment}" for net in d2.NETS for when in ("before", "after") for moment in d3.MOMENTS):
                found[key] = (slope * ("/after/" in key) * np.arange(20) + rng.normal(0, 0.02, 20))[None]
        measured.append(found)
    evidence = d3.analyse(Measured(*measured), rng)
    verdicts = judge(d3.CLAIM, evidence)
    assert {verdict.outcome for verdict in verdicts.values()} == outcomes
    word = verdicts["residual, sd: growth without BN against with it"].word
    ends = {"as claimed": "faster without BN by more", "too small": "does not grow faster", "reversed": "grows faster with BN"}
    assert ends[word] in d3.say(evidence, verdicts)
    assert len(drawn(d3.CLAIM, evidence).axes) == 2
