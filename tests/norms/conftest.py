"""How the tests of this folder get a norm: from its YAML, through the factory, as a run does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from bnexp.config.paths import group_files
from bnexp.config.schema import NormConfig
from bnexp.norms.factory import norm_factory
from bnexp.rng import torch_stream

#: Small values of options whose defaults fit real layers and batches, not these tests' 6 features and 8 examples; a folded
#: one_shot is a matter of the layer before it (``test_one_shot.py``).
SMALL: dict[str, dict[str, Any]] = {"group": {"num_groups": 2}, "ghost": {"ghost_size": 4}, "one_shot": {"fold": False}}


@pytest.fixture
def build() -> Callable[..., nn.Module]:
    """``build(name, ...)``: a float64 norm module with its YAML's options, those in ``SMALL`` and the ones given."""

    def build_norm(
        name: str,
        num_features: int = 6,
        dims: int = 0,
        batch_size: int = 8,
        generator: torch.Generator | None = None,
        small: bool = True,
        **options: Any,
    ) -> nn.Module:
        values = yaml.safe_load(group_files("norm")[name].read_text(encoding="utf-8"))
        del values["name"]
        shared = {key: values.pop(key) for key in ("placement", "freeze_after", "track") if key in values}
        shared |= {key: options.pop(key) for key in ("freeze_after", "track") if key in options}
        fitting = SMALL.get(name, {}) if small else {}
        config = NormConfig(name=name, **shared, options={**values, **fitting, **options})
        generator = generator or torch_stream(0, "noise")
        return norm_factory(config, batch_size=batch_size, generator=generator)(num_features, dims).double()

    return build_norm


@pytest.fixture
def sample() -> Callable[..., Tensor]:
    """``sample(shape, seed=0)``: float64 values with another mean and sd in each feature, far from 0 and 1."""

    def draw(shape: tuple[int, ...], seed: int = 0) -> Tensor:
        generator = torch_stream(seed, "tests")
        feature = (1, shape[1], *[1] * (len(shape) - 2))
        mean = 3 * torch.randn(feature, generator=generator, dtype=torch.float64)
        sd = 0.5 + 2 * torch.rand(feature, generator=generator, dtype=torch.float64)
        return mean + sd * torch.randn(shape, generator=generator, dtype=torch.float64)

    return draw
