"""A8. The blog: batch normalisation is "extensively used nowadays" (a figure of 2018).

"Everywhere" is not a quantity, so a frame is needed: the image classifiers that torchvision can build, counted by family
(a family is an architecture with a paper of its own; its variants differ in depth, width or patch size). Each is built on the meta
device, without memory for its weights, and its modules are counted.

Legend: K variants, F families.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Measurement, Runs, Sample, Verdicts, register
from bnexp.claims.exact import ONCE
from bnexp.claims.runs import first_measured
from bnexp.figures.style import COLORS
from bnexp.stats.rules import Exact

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Family (the longest prefix of a variant's name wins) to the year its paper first appeared, and that paper.
FAMILIES = {
    "alexnet": (2014, "Krizhevsky 2014, One weird trick (the version that torchvision has)"),
    "convnext": (2022, "Liu et al. 2022, A ConvNet for the 2020s"),
    "densenet": (2016, "Huang et al. 2016"),
    "efficientnet": (2019, "Tan & Le 2019"),
    "efficientnet_v2": (2021, "Tan & Le 2021"),
    "googlenet": (2014, "Szegedy et al. 2014 (whose own network had no BN; torchvision's has)"),
    "inception_v3": (2015, "Szegedy et al. 2015, Rethinking the Inception architecture"),
    "maxvit": (2022, "Tu et al. 2022"),
    "mnasnet": (2018, "Tan et al. 2018"),
    "mobilenet_v2": (2018, "Sandler et al. 2018"),
    "mobilenet_v3": (2019, "Howard et al. 2019"),
    "regnet": (2020, "Radosavovic et al. 2020"),
    "resnet": (2015, "He et al. 2015, Deep residual learning"),
    "resnext": (2016, "Xie et al. 2016"),
    "shufflenet_v2": (2018, "Ma et al. 2018"),
    "squeezenet": (2016, "Iandola et al. 2016"),
    "swin": (2021, "Liu et al. 2021, Swin transformer"),
    "swin_v2": (2021, "Liu et al. 2021, Swin transformer V2"),
    "vgg": (2014, "Simonyan & Zisserman 2014 (before BN; torchvision adds variants with it)"),
    "vit": (2020, "Dosovitskiy et al. 2020"),
    "wide_resnet": (2016, "Zagoruyko & Komodakis 2016"),
}
BLOG_YEAR = 2018

KINDS = ("batch", "layer", "group", "instance")

#: What a family uses, and the colour of its tile; the tile says it in letters as well.
USES = {
    "BN": COLORS["batch"],
    "BN in some": "#56B4E9",
    "BN + LN": "#009E73",
    "LN": "#E69F00",
    "GN": "#CC79A7",
    "none": "#999999",
}


@dataclass(frozen=True)
class Family:
    """What torchvision's variants of one architecture contain."""

    name: str
    year: int
    num_variants: int
    num_with_batch: int
    others: tuple[str, ...]

    @property
    def has_batch(self) -> bool:
        """Whether every variant contains a batch normalisation; the stricter way to count."""
        return self.num_with_batch == self.num_variants

    @property
    def use(self) -> str:
        """Its normalisers in short, e.g. ``"BN + LN"``."""
        if self.num_with_batch and not self.has_batch:
            return "BN in some"
        others = {"layer": "LN", "group": "GN"}
        names = ["BN"] * self.has_batch + [others[kind] for kind in self.others if kind in others]
        return " + ".join(names) or "none"


def measure(seed: int, budget: str) -> dict[str, np.ndarray]:
    """Names of torchvision's classifiers ``[K]`` and how many modules of each of ``KINDS`` they contain ``[K, 4]``."""
    from torchvision import models

    names = models.list_models(module=models)
    if budget == "smoke":  # one variant of every family, and both kinds of vgg
        names = [*{family_of(name): name for name in reversed(names)}.values(), "vgg19_bn"]
    return {"names": np.array(names), "counts": np.array([_count_norms(name) for name in names])}


def _count_norms(name: str) -> list[int]:
    import torch
    from torch import nn
    from torch.overrides import TorchFunctionMode
    from torchvision import models

    class OnMeta(TorchFunctionMode):
        """As ``torch.device("meta")``, except for the small sums by which RegNet finds its widths: these need real numbers."""

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            place = {"device": "meta"} if func in (torch.empty, torch.zeros, torch.ones) else {}
            return func(*args, **{**(kwargs or {}), **place})

    # These two warn when they are not told; on the meta device there is nothing to initialise.
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    with OnMeta():
        model = models.get_model(name, weights=None, **options)
    classes: dict[str, Any] = {
        "batch": (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),
        "layer": nn.LayerNorm,
        "group": nn.GroupNorm,
        "instance": (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
    }
    return [sum(isinstance(module, classes[kind]) for module in model.modules()) for kind in KINDS]


def family_of(name: str) -> str | None:
    """The family of a variant, or None where the table does not know it."""
    return max((family for family in FAMILIES if name.startswith(family)), key=len, default=None)


def families_in(names: np.ndarray, counts_KN: np.ndarray) -> list[Family]:
    """One entry a family that occurs, by year."""
    found = []
    for family, (year, _) in FAMILIES.items():
        rows_KN = counts_KN[[family_of(str(name)) == family for name in names]]
        if len(rows_KN):
            others = tuple(kind for kind, present in zip(KINDS[1:], rows_KN[:, 1:].sum(0), strict=True) if present)
            found.append(Family(family, year, len(rows_KN), int((rows_KN[:, 0] > 0).sum()), others))
    return sorted(found, key=lambda family: (family.year, family.name))


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """How many families are missing to a majority, by the stricter count."""
    measured = first_measured(runs)
    families = families_in(measured["names"], measured["counts"])
    early = [family for family in families if family.year <= BLOG_YEAR]
    late = [family for family in families if family.year > BLOG_YEAR]
    unknown = [str(name) for name in measured["names"] if family_of(str(name)) is None]
    num_with = sum(family.has_batch for family in families)
    with_batch_K = measured["counts"][:, 0] > 0
    return Evidence(
        samples={"majority": Sample.of([max(0, len(families) // 2 + 1 - num_with)])},
        numbers={
            "families with BN in every variant": _share(families),
            "families with BN in some variant": f"{sum(f.num_with_batch > 0 for f in families)} of {len(families)}",
            f"families up to {BLOG_YEAR}": _share(early),
            f"families after {BLOG_YEAR}": _share(late),
            "variants with BN": f"{int(with_batch_K.sum())} of {len(with_batch_K)} ({with_batch_K.mean():.0%})",
            "without it they use": ", ".join(f"{family.name}: {family.use}" for family in families if not family.has_batch),
        },
        data={
            "families": [{"name": family.name, "year": family.year, "use": family.use} for family in families],
            "shares": [_share(some) for some in (families, early, late)],
        },
        notes=(f"Not in our table of families, so left out: {', '.join(unknown)}.",) if unknown else (),
    )


def _share(families: list[Family]) -> str:
    count = sum(family.has_batch for family in families)
    return f"{count} of {len(families)} ({count / max(len(families), 1):.0%})"


def say(evidence: Evidence, verdicts: Verdicts) -> str:
    """The share of the families, and of those since the blog's figure."""
    every, early, late = evidence.data["shares"]
    return (
        f"In torchvision {every} families of image classifiers have BN in every variant: {early} of those published up to "
        f"{BLOG_YEAR}, {late} of those published since."
    )


def draw(evidence: Evidence, figure: Figure) -> None:
    """One tile per family, by the year of its paper."""
    figure.set_size_inches(4.8, 4.6)
    axes: Axes = figure.subplots()
    families = evidence.data["families"]
    years = sorted({family["year"] for family in families})
    for year in years:
        for column, family in enumerate(f for f in families if f["year"] == year):
            axes.barh(
                year, 0.94, left=column, height=0.84, color=USES.get(family["use"], "#999999"), alpha=0.3, linewidth=0
            )
            axes.annotate(family["name"], (column + 0.47, year - 0.16), ha="center", va="center", fontsize=7.5)
            axes.annotate(family["use"], (column + 0.47, year + 0.2), ha="center", va="center", fontsize=7.5, fontweight="bold")
    axes.axhline(BLOG_YEAR + 0.5, color="#555555", linestyle=":", linewidth=1)
    axes.annotate("the blog's figure", (4.05, BLOG_YEAR + 0.4), ha="right", fontsize=7.5, color="#555555")
    axes.set(yticks=years, xticks=[], title="Normalisers of torchvision's classifier families", ylabel="year of the paper")
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)


CLAIM = register(Claim(
    id="used_everywhere", section="A8",
    statement="Batch normalisation is in most families of image classifiers (those that torchvision builds).",
    source="the blog, last paragraph, with a figure of 2018",
    disputed_by="the architectures themselves since 2020: ViT, Swin and ConvNeXt use layer normalisation; NFNets none",
    formula="torchvision's classifier families that contain a BatchNorm module in every variant, as a share of all",
    measurement=Measurement(measure=measure, num_seeds=ONCE),
    endpoints={
        "majority": Endpoint(estimand="families that are missing to a majority with BN in every variant",
                             rule=Exact(tolerance=0, min_cases=1)),
    },
    caveats=(
        "The frame is one library's image classifiers; language models, where layer normalisation is the rule, are not in it.",
        "A library keeps its old architectures: the share by year says more than the total.",
        "Containing BN is not the same as needing it.",
    ),
    overturn="another frame, such as the architectures published in one recent year",
    deviations=("The blog's figure counted usage up to 2018; here architectures are counted.",),
    analyse=analyse, draw=draw, say=say,
))  # fmt: skip
