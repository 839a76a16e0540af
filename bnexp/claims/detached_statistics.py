"""B5. The paper (section 2): with the normalisation computed outside the gradient step, "the model blows up"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Measurement, register
from bnexp.claims.contrast import ending
from bnexp.claims.runs import Runs
from bnexp.stats.rules import Difference
from bnexp.stats.sample import Sample
from bnexp.stats.verdict import Verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor
