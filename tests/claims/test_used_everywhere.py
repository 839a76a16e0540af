"""The table of families against torchvision, and the verdict in libraries with and without batch normalisation."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from bnexp.claims.judge import judge
from bnexp.claims.used_everywhere import CLAIM, FAMILIES, families_in, family_of


def library(num_with_batch: int, *, extra: tuple[str, ...] = ()) -> SimpleNamespace:
    """One variant of every family, of which the first ``num_with_batch`` contain BN and the others LN."""
    names = [*FAMILIES, *extra]
    counts = np.array([[9, 0, 0, 0] if index < num_with_batch else [0, 9, 0, 0] for index in range(len(names))])
    arrays = {"names": np.array(names), "counts": counts}
    return SimpleNamespace(seeds=lambda: (0,), measured=lambda seed: arrays)  # noqa: ARG005


def outcome(runs):
    rng = np.random.default_rng(0)
    return judge(CLAIM, CLAIM.analyse(runs, rng))["majority"].outcome


@pytest.mark.parametrize(
    ("num_with_batch", "expected"), [(21, "SUPPORTED"), (11, "SUPPORTED"), (10, "CONTRADICTED"), (0, "CONTRADICTED")]
)
def test_over_half_of_the_families_support(num_with_batch, expected):
    assert len(FAMILIES) == 21
    assert outcome(library(num_with_batch)) == expected


def test_every_classifier_of_the_installed_torchvision_has_a_family():
    from torchvision import models

    assert [name for name in models.list_models(module=models) if family_of(name) is None] == []


def test_the_longest_family_name_wins():
    assert family_of("efficientnet_v2_s") == "efficientnet_v2"
    assert family_of("swin_v2_t") == "swin_v2"
    assert family_of("swin_t") == "swin"


def test_an_unknown_architecture_is_told_and_left_out():
    evidence = CLAIM.analyse(library(21, extra=("novelnet",)), np.random.default_rng(0))
    assert evidence.numbers["families with BN in every variant"] == "21 of 21 (100%)"
    assert "novelnet" in evidence.notes[0]


def test_a_family_counts_only_if_all_its_variants_do():
    names, counts_KN = (
        np.array(["vgg11", "vgg11_bn", "maxvit_t", "alexnet"]),
        np.array([[0, 0, 0, 0], [8, 0, 0, 0], [3, 5, 0, 0], [0] * 4]),
    )
    found = {family.name: (family.has_batch, family.use) for family in families_in(names, counts_KN)}
    assert found == {"vgg": (False, "BN in some"), "maxvit": (True, "BN + LN"), "alexnet": (False, "none")}
