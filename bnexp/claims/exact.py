"""What claims of algebra have in common: many random cases, the error of each, and a sentence about the largest.

Nothing is estimated, so one seed is enough: it draws all the cases.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from bnexp.claims.base import Evidence, Say
from bnexp.claims.words import open_whether
from bnexp.stats.intervals import number_words
from bnexp.stats.sample import Sample
from bnexp.stats.verdict import Verdict, counted

#: The paper's lines written out, and torch's own.
NORMS_UNDER_TEST = ("reference", "batch")

#: Seeds of a measurement for each budget.
ONCE = {"smoke": 1, "quick": 1, "full": 1}


def float64_norm(
    name: str, num_features: int, dims: int, *, affine: str = "none", eps: float = 1e-5, momentum: float = 1.0
) -> Any:
    """``norm=name`` in float64, where rounding is far below anything that is looked for; its statistics are of the last batch."""
    from bnexp.norms import NORMS

    return NORMS[name].build(num_features, dims, affine=affine, eps=eps, momentum=momentum).double()


def by_key(rows: Iterable[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """What was found in each case, as one array for each quantity with the case as its first axis.

    Example:
        >>> by_key([{"error": 1.0}, {"error": 2.0}])
        {'error': array([1., 2.])}
    """
    kept = list(rows)
    return {key: np.array([row[key] for row in kept]) for key in kept[0]}


def largest(sample: Sample) -> float:
    """The largest error of any case."""
    return float(np.abs(sample.arm[0].values).max())


def says(what: str, cases: str) -> Say:
    """What a claim says: whether an identity holds, the number of cases, the largest error, and which further endpoints fail.

    Args:
        what: the identity as a clause without its first capital, e.g. ``"a moved input moves the output"``.
        cases: what was drawn, e.g. ``"random inputs"``.
    """

    def say(evidence: Evidence, verdicts: Mapping[str, Verdict]) -> str:
        (name, primary), *others = verdicts.items()
        sample = evidence.samples[name]
        if primary.outcome == "INCONCLUSIVE":
            return open_whether(what, primary)
        found = f"the largest error in {sample.num_seeds:,} {cases} is {number_words(largest(sample))}"
        failed = [f'"{other}"' for other, verdict in others if verdict.outcome == "CONTRADICTED"]
        but = f"; contradicted: {', '.join(failed)}" if failed else ""
        if others and all(verdict.outcome == "SUPPORTED" for _, verdict in others):
            but = f"; {counted(len(others), 'further endpoint')} hold{'s' if len(others) == 1 else ''}"
        if primary.outcome == "CONTRADICTED":
            return f"It is not so that {what}: {found}, which is more than rounding{but}."
        return f"{what[0].upper()}{what[1:]}: {found}, which is rounding{but}."

    return say
