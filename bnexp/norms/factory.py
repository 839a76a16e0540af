"""From a norm's name and options to the factory that models call at every hidden layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bnexp.config.checks import check_options
from bnexp.config.schema import NormConfig
from bnexp.errors import UserError
from bnexp.norms.base import stop_tracking
from bnexp.registry import Registry

NORMS: Registry[NormSpec] = Registry("norm")


@dataclass(frozen=True, kw_only=True)
class NormSpec:
    """A registered normaliser.

    Attributes:
        build: ``build(num_features, dims, *, options...) -> nn.Module``. ``dims`` is the number of axes the features share:
            0 for ``[N, C]`` inputs, 2 for ``[N, C, H, W]``. The keyword-only parameters are the options of its YAML.
        centers: it subtracts a mean, so a bias before it has no effect and is dropped.
        needs_batch: its training statistics come from other examples of the batch, so a batch of one is refused.
        uses_noise: ``build`` also takes ``generator``, the run's ``noise`` stream.
        wrap_layer: acts on the layer's weights instead of its outputs; called on each hidden layer before the norm module.
        check_batch: ``check_batch(batch_size, options)`` raises a UserError when the training batch does not fit.
        check_placement: ``check_placement(placement, options)`` raises a UserError where the norm cannot stand there.
        needs_bias: ``needs_bias(options)`` says whether a norm that centres needs the bias before it all the same.
        whole_batch: its statistics are those of the whole batch where several processes share it, not of each one's part.
    """

    build: Callable[..., nn.Module]
    centers: bool = False
    needs_batch: bool = False
    uses_noise: bool = False
    wrap_layer: Callable[[nn.Module], nn.Module] | None = None
    check_batch: Callable[[int, Mapping[str, Any]], None] | None = None
    check_placement: Callable[[str, Mapping[str, Any]], None] | None = None
    needs_bias: Callable[[Mapping[str, Any]], bool] | None = None
    whole_batch: bool = False


def register(name: str, **facts: Any) -> Callable[[Callable[..., nn.Module]], Callable[..., nn.Module]]:
    """Register a build function as ``norm=name``; ``facts`` are the fields of :class:`NormSpec`."""

    def add(build: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        NORMS.add(name, NormSpec(build=build, **facts))
        return build

    return add


@dataclass(frozen=True)
class NormFactory:
    """What a model is given instead of a norm's name.

    Attributes:
        spec: the registered normaliser.
        options: its checked options.
        placement: ``"before"`` or ``"after"`` the nonlinearity.
        freezes: it is to be frozen later (``norm.freeze_after``), so it has to have running statistics.
        track: whether it keeps running statistics (``norm.track``).
    """

    spec: NormSpec
    options: Mapping[str, Any]
    placement: str
    freezes: bool = False
    track: bool = True

    def __call__(self, num_features: int, dims: int) -> nn.Module:
        """A normaliser of ``num_features`` features that share ``dims`` further axes (0 or 2).

        Raises:
            UserError: it is to be frozen, or to do without its running statistics, and cannot.
        """
        norm = self.spec.build(num_features, dims, **self.options)
        if self.freezes and not isinstance(getattr(norm, "running_mean", None), Tensor):
            raise UserError(
                "norm.freeze_after is for norms that keep running statistics, which alone can be frozen",
                got=type(norm).__name__, todo="norm.freeze_after=null, or norm=batch",
            )  # fmt: skip
        if not self.track:
            stop_tracking(norm)
        return norm

    def layer(self, layer: nn.Module) -> nn.Module:
        """``layer``, reparametrised if this normaliser acts on weights."""
        return self.spec.wrap_layer(layer) if self.spec.wrap_layer else layer

    @property
    def keeps_bias(self) -> bool:
        """Whether a bias right before this norm can have an effect."""
        if self.spec.needs_bias and self.spec.needs_bias(self.options):
            return True
        return not (self.spec.centers and self.placement == "before")


def norm_factory(config: NormConfig, *, batch_size: int, generator: torch.Generator) -> NormFactory:
    """The factory a config asks for.

    Args:
        config: of the norm.
        batch_size: training examples that pass through the network together.
        generator: the run's ``noise`` stream.

    Raises:
        UserError: unknown norm, wrong option, or a training batch that this norm cannot use.
    """
    spec = NORMS[config.name]
    provided = ("generator",) if spec.uses_noise else ()
    options = check_options("norm", config.name, spec.build, config.options, provided)
    if spec.needs_batch and batch_size == 1:
        raise UserError(
            f"norm={config.name} needs statistics over several examples, and a batch of 1 has no spread",
            got="train.batch_size=1",
            todo="train.batch_size=60, or norm=layer, which looks at one example at a time",
        )
    if spec.check_batch:
        spec.check_batch(batch_size, options)
    if spec.check_placement:
        spec.check_placement(config.placement, options)
    if spec.uses_noise:
        options["generator"] = generator
    if config.freeze_after is not None and not config.track:
        raise UserError(
            "without running statistics there is nothing to freeze",
            got=f"norm.track=false norm.freeze_after={config.freeze_after}",
            todo="norm.track=true, or norm.freeze_after=null",
        )
    return NormFactory(spec, options, config.placement, config.freeze_after is not None, config.track)
