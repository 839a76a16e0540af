"""Norm factories made by hand and model configs read from the YAMLs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from torch import nn
from torch.nn.utils import parametrizations

from bnexp.config.schema import ModelConfig
from bnexp.models import build_model
from bnexp.norms import NORMS, NormFactory, NormSpec

CONFIGS = Path(__file__).parents[2] / "configs"


def _batch(num_features: int, dims: int) -> nn.Module:
    return nn.BatchNorm2d(num_features) if dims else nn.BatchNorm1d(num_features)


def _identity(num_features: int, dims: int) -> nn.Module:  # noqa: ARG001
    return nn.Identity()


SPECS = {
    "centering": NormSpec(build=_batch, centers=True),
    "not_centering": NormSpec(build=_batch),
    "weight": NormSpec(build=_identity, wrap_layer=parametrizations.weight_norm),
}


@pytest.fixture
def factory() -> Callable[..., NormFactory]:
    """Makes a factory: ``none``, or one of three made by hand, ``centering``, ``not_centering`` and ``weight``."""
    return lambda name="centering", placement="before": NormFactory(
        NORMS["none"] if name == "none" else SPECS[name], {}, placement
    )


@pytest.fixture
def config_of() -> Callable[..., ModelConfig]:
    """Reads ``configs/model/NAME.yaml``, with options put in place of its own."""

    def read(name: str, **options: Any) -> ModelConfig:
        values = OmegaConf.to_container(OmegaConf.load(CONFIGS / "model" / f"{name}.yaml"))
        facts = {key: values.pop(key) for key in ("name", "init", "init_scale")}
        return ModelConfig(**facts, options={**values, **options})

    return read


@pytest.fixture
def build(config_of: Callable[..., ModelConfig], factory: Callable[..., NormFactory]) -> Callable[..., nn.Module]:
    """Makes a model by name, its norm one of ``factory``'s."""

    def make(
        name: str, shape: tuple[int, ...] = (3, 32, 32), norm: str = "centering", placement: str = "before",
        num_classes: int = 10, seed: int = 0, **options: Any,
    ) -> nn.Module:  # fmt: skip
        return build_model(config_of(name, **options), shape, num_classes, factory(norm, placement), seed)

    return make
