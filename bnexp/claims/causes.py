"""What the claims about gradients and the landscape share (C2 and C3): the same runs at three places, and means over looks.

Legend: S reported seeds, T looks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from bnexp.claims.base import Grid
from bnexp.claims.contrast import Arm
from bnexp.claims.paper import CONTROL, SUBJECT
from bnexp.claims.places import PLACES
from bnexp.claims.runs import Runs
from bnexp.records.reader import RunRecord

OWN, SAME = "own rate", "same rate"

#: Where both arms are also compared at the rates of the one without BN; elsewhere that would cost more than it says.
AT_THE_SAME_RATE = ("sigmoid", "ReLU")

#: Place by place, as in ``PLACES``: both arms at their own best rates, watched by probes, rarely
#: where a step is dear; more seeds, and more to choose a rate with, where C2 is judged.
GRIDS: tuple[Grid, ...] = tuple(
    place.grid(
        {CONTROL: "{control}", SUBJECT: "{subject}"},
        same_as=CONTROL if name in AT_THE_SAME_RATE else None,
        probes="causes" if name in AT_THE_SAME_RATE else "causes_sparse",
        num_seeds={"quick": 16} if name == "sigmoid" else {},
        num_tuning_seeds={"quick": 8} if name == "sigmoid" else {},
    )
    for name, place in PLACES.items()
)

#: Every comparison of both arms: place to the regimes of the rate in which it is made.
COMPARED: Mapping[str, tuple[str, ...]] = {name: (OWN, SAME) if name in AT_THE_SAME_RATE else (OWN,) for name in PLACES}

#: One number of a look, for every look: ``[T]``.
Track = Callable[[Mapping[str, np.ndarray]], np.ndarray]


def arm(name: str, place: str, regime: str = OWN) -> Arm:
    """``CONTROL`` or ``SUBJECT`` at a place and in a regime."""
    return Arm(name, "same" if regime == SAME else "own", list(PLACES).index(place))


def absent(runs: Runs, place: str) -> str:
    """Why a place has no runs, where its data were not on the machine; empty where it has."""
    return runs.absent(list(PLACES).index(place))


def over_looks(record: RunRecord, probe: str, track: Track) -> float:
    """Mean of a track over the looks of a run at which it is a number; where a gradient is zero or not finite it is none."""
    values_T = track(record.arrays(probe))
    finite = values_T[np.isfinite(values_T)]
    if not len(finite):
        raise ValueError(f"{record.folder.name} {record.status} and has no look at which its gradients are numbers")
    return float(finite.mean())


def tracks(runs: Runs, one: Arm, probe: str, track: Track) -> tuple[np.ndarray, np.ndarray]:
    """Steps of the looks ``[T]`` and a track of the typical run of an arm at each seed, ``[S, T]``; what figures draw."""
    arrays = [record.arrays(probe) for record in runs.typical(one.name, one.regime, one.grid)]
    longest = max(arrays, key=lambda found: len(found["steps"]))["steps"]
    rows = [np.pad(track(found), (0, len(longest) - len(found["steps"])), constant_values=np.nan) for found in arrays]
    return longest, np.array(rows)
