"""B10. The paper: one mean, sd, gamma and beta for a whole feature map keep "the convolutional property" (section 3.2).

The source normalises "different elements of the same feature map, at different locations, in the same way", so that an input
moved by some pixels still gives the same output, moved by as many. Its alternative is one set of numbers per activation
(channel, row, column). The source also counts the values behind a statistic as m' = m * p * q; neighbours in an image are
alike, so far fewer are independent, as the scatter of the batch means shows.

Legend: N batch, C channels, H W space, K random inputs, B batches (each a feature of one input, so a norm takes them at once).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Measurement, Runs, Sample, register
from bnexp.claims.exact import NORMS_UNDER_TEST, ONCE, float64_norm, says
from bnexp.claims.runs import all_measured
from bnexp.figures.style import COLORS
from bnexp.rng import numpy_stream
from bnexp.stats.rules import Exact

NUM_INPUTS = {"smoke": 10, "quick": 120, "full": 400}
NUM_BATCHES = {"smoke": 60, "quick": 600, "full": 2000}

#: What is moved, and what differs from a bare norm in train mode. In the first, statistics per activation pass as well.
SITUATIONS = ("whole batch", "whole batch, gamma and beta", "whole batch, eval mode", "one image of the batch")

#: Standard deviation of the Gaussian that smooths white noise, in pixels; 0 leaves it white.
SMOOTHINGS = (0.0, 0.5, 1.0, 2.0, 4.0)
IMAGE_SIZE, BATCH_SIZE = 28, 8


def measure(seed: int, budget: str) -> dict[str, np.ndarray]:
    """Shift errors per map and per activation ``[K, 4]``; effective values an image of smoothed noise ``[5]`` and of digits."""
    rng = numpy_stream(seed, "conv_property")
    rows = [_shift_errors(rng, NORMS_UNDER_TEST[index % 2]) for index in range(NUM_INPUTS[budget])]
    noise = [_smooth_noise(rng, NUM_BATCHES[budget], sd) for sd in SMOOTHINGS]
    return {
        "per_map": np.array([per_map for per_map, _ in rows]),
        "per_activation": np.array([per_activation for _, per_activation in rows]),
        "effective_noise": np.array([_effective_values(x_NBHW) for x_NBHW in noise]),
        "effective_digits": np.array(_effective_values(_digits(rng, NUM_BATCHES[budget]))),
    }


def _shift_errors(rng: np.random.Generator, name: str) -> tuple[list[float], list[float]]:
    """In each situation the largest ``|BN(moved x) - moved BN(x)|``: per map, and per activation."""
    import torch

    num_images, channels, height, width = (int(rng.integers(low, high)) for low, high in ((3, 12), (1, 6), (3, 9), (3, 9)))
    x_NCHW = torch.from_numpy(rng.normal(size=(num_images, channels, height, width)))
    shift = int(rng.integers(1, height)), int(rng.integers(1, width))

    def whole(x_NCHW: Any) -> Any:
        return x_NCHW.roll(shift, (2, 3))

    def one(x_NCHW: Any) -> Any:
        return torch.cat([whole(x_NCHW[:1]), x_NCHW[1:]])

    def errors(num_features: int, dims: int) -> list[float]:
        plain, affine = (float64_norm(name, num_features, dims, affine=kind) for kind in ("none", "full"))
        _randomize(affine, rng)
        found = [_error(norm, x_NCHW, move) for norm, move in ((plain, whole), (affine, whole), (plain, one))]
        found.insert(SITUATIONS.index("whole batch, eval mode"), _error(plain.eval(), x_NCHW, whole))
        return found

    return errors(channels, 2), errors(channels * height * width, 0)


def _randomize(norm: Any, rng: np.random.Generator) -> None:
    import torch

    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.copy_(torch.from_numpy(rng.normal(size=len(parameter))))


def _error(norm: Any, x_NCHW: Any, move: Any) -> float:
    def through(x_NCHW: Any) -> Any:
        per_map = len(norm.running_mean) == x_NCHW.shape[1]
        return norm(x_NCHW if per_map else x_NCHW.flatten(1)).detach().reshape(x_NCHW.shape)

    return float((through(move(x_NCHW)) - move(through(x_NCHW))).abs().max())


def _effective_values(x_NBHW: np.ndarray) -> float:
    """Independent values an image is worth: Var(x) / Var(mu_B) / N, where all B features are batches of one population."""
    import torch

    norm = float64_norm("reference", x_NBHW.shape[1], 2)
    norm(torch.from_numpy(x_NBHW))
    return float(x_NBHW.var() / norm.running_mean.var(correction=0) / len(x_NBHW))


def _smooth_noise(rng: np.random.Generator, num_batches: int, sd: float) -> np.ndarray:
    """White noise under a Gaussian of ``sd`` pixels, wrapped around: ``[N, B, H, W]``."""
    noise = rng.normal(size=(BATCH_SIZE, num_batches, IMAGE_SIZE, IMAGE_SIZE))
    frequency = np.fft.fftfreq(IMAGE_SIZE) * 2 * np.pi
    damping = np.exp(-(frequency[:, None] ** 2 + frequency[None, : IMAGE_SIZE // 2 + 1] ** 2) * sd**2 / 2)
    return np.fft.irfft2(np.fft.rfft2(noise) * damping, s=(IMAGE_SIZE, IMAGE_SIZE))


def _digits(rng: np.random.Generator, num_batches: int) -> np.ndarray:
    """Random batches of the embedded digits, grey values in 0..1: ``[N, B, H, W]``."""
    from bnexp.data import SOURCES, default_data_dir

    images_NHW = SOURCES["mnist_5k"].load(default_data_dir()).train.images[:, 0]
    return images_NHW[rng.integers(len(images_NHW), size=(BATCH_SIZE, num_batches))] / 255


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """The largest error of every input over the situations, and how many independent values an image is worth."""
    every = all_measured(runs)
    per_map_KS, per_activation_KS = every["per_map"], every["per_activation"]
    noise, digits = every["effective_noise"].reshape(-1, len(SMOOTHINGS)), every["effective_digits"]
    effective = np.append(noise.mean(axis=0), digits.mean())
    pixels = IMAGE_SIZE**2
    return Evidence(
        samples={"per map": Sample.of(per_map_KS.max(1))},
        gates={"statistics per activation break it": bool(per_activation_KS[:, 1:].min() > 1e-3)},
        numbers={
            "inputs": f"{len(per_map_KS)}, each moved in {len(SITUATIONS)} situations",
            **{
                f"largest error, {situation}": f"{per_map:.1e} per map, {per_activation:.1e} per activation"
                for situation, per_map, per_activation in zip(
                    SITUATIONS, per_map_KS.max(0), per_activation_KS.max(0), strict=True
                )
            },
            f"independent values in an image of {pixels}": f"{effective[-1]:.0f} (digits), "
            + ", ".join(f"{value:.0f} ({_words(sd)})" for sd, value in zip(SMOOTHINGS, effective, strict=False)),
        },
        data={"effective": effective, "pixels": pixels},
    )


def _words(sd: float) -> str:
    return f"smoothed, {sd:g} px" if sd else "white noise"


def draw(evidence: Evidence, figure: Figure) -> None:
    """Independent values behind a batch mean, as a share of the values that m' counts."""
    figure.set_size_inches(4.8, 3)
    axes = figure.subplots()
    effective, pixels = np.asarray(evidence.data["effective"]), evidence.data["pixels"]
    labels = [*map(_words, SMOOTHINGS), "embedded digits"]
    colors = [COLORS["batch"]] * len(SMOOTHINGS) + [COLORS["none"]]
    rows = np.arange(len(labels))[::-1]
    axes.hlines(rows, 1, effective, color=colors, linewidth=1.5)
    axes.scatter(effective, rows, color=colors, s=28, zorder=3)
    for row, value, color in zip(rows, effective, colors, strict=True):
        axes.annotate(f"{value:.3g}", (value, row), xytext=(7, 0), textcoords="offset points", va="center", color=color)
    axes.axvline(pixels, color="#555555", linestyle=":", linewidth=1)
    axes.annotate(f"{pixels} pixels", (pixels, 0.5), xytext=(-4, 0), textcoords="offset points", ha="right", color="#555555")
    axes.set(xscale="log", xlim=(1, 4 * pixels), title="Fewer independent values than pixels")
    axes.set_xlabel("independent values in an image")
    axes.set_yticks(rows, labels)
    axes.grid(visible=False, axis="y")


CLAIM = register(Claim(
    id="conv_property", section="B10",
    statement="Normalising a feature map as a whole keeps the convolutional property: a moved input moves the output.",
    source="Ioffe & Szegedy 2015, section 3.2 (by construction; no experiment)",
    formula="for each random input the largest |BN(shift x) - shift BN(x)| over four situations; statistics per map",
    measurement=Measurement(measure=measure, num_seeds=ONCE),
    endpoints={
        "per map": Endpoint(estimand="shift error with statistics, gamma and beta per map, norm=reference and norm=batch",
                            rule=Exact(tolerance=1e-9)),
    },
    gates=("statistics per activation break it",),
    caveats=(
        "Where a bare norm in train mode sees the whole batch moved alike, statistics per activation move along and pass as "
        "well; what breaks them is gamma and beta, eval mode, or one image moved alone.",
        "Exact for circular shifts; padding at the border and stride break it for the convolution itself.",
        "m' = m p q is no number of independent values: neighbouring pixels are alike (the figure).",
        "Which kind trains better is not measured here.",
    ),
    overturn="an input whose shift changes the output of a norm with statistics per map",
    analyse=analyse, draw=draw,
    say=says("with one mean and sd for a whole feature map a moved input moves the output", "random inputs"),
))  # fmt: skip
