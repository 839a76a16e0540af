"""Normalisers, all built by one call: ``(num_features, dims) -> nn.Module``. One import line each."""

from bnexp.norms import batch as batch
from bnexp.norms import detached as detached
from bnexp.norms import dyt as dyt
from bnexp.norms import ghost as ghost
from bnexp.norms import group as group
from bnexp.norms import instance as instance
from bnexp.norms import layer as layer
from bnexp.norms import lp as lp
from bnexp.norms import mean_only as mean_only
from bnexp.norms import noisy as noisy
from bnexp.norms import none as none
from bnexp.norms import one_shot as one_shot
from bnexp.norms import reference as reference
from bnexp.norms import renorm as renorm
from bnexp.norms import rms as rms
from bnexp.norms import scale_only as scale_only
from bnexp.norms import sync as sync
from bnexp.norms import weight as weight
from bnexp.norms.factory import NORMS, NormFactory, NormSpec, register

__all__ = ["NORMS", "NormFactory", "NormSpec", "register"]
