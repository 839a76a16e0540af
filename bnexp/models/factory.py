"""From a model's name and options to an initialised network."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from bnexp.config.checks import check_options
from bnexp.config.schema import ModelConfig
from bnexp.models.init import initialize
from bnexp.norms.factory import NormFactory
from bnexp.registry import Registry

#: ``build(input_shape, num_classes, norm, *, options...) -> nn.Module``, with ``input_shape`` = (C, H, W) of one example.
Build = Callable[..., nn.Module]

MODELS: Registry[Build] = Registry("model")
register = MODELS.decorate


def build_model(
    config: ModelConfig, input_shape: tuple[int, int, int], num_classes: int, norm: NormFactory, seed: int
) -> nn.Module:
    """The network a config asks for, its weights drawn from the streams ``init/<layer>`` of ``seed``.

    Shape: the network maps ``[N, C, H, W]`` to logits ``[N, num_classes]``.

    Raises:
        UserError: unknown model, wrong option, an image size or a norm the model cannot use.
    """
    build = MODELS[config.name]
    options = check_options("model", config.name, build, config.options)
    model = build(input_shape, num_classes, norm, **options)
    initialize(model, config.init, config.init_scale, seed)
    return model
