"""How much sooner one arm reaches a family of levels than another: what every claim about speed is judged by (docs/claims.md, O0).

Legend: L levels, S reported seeds, C tuned values.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType

import numpy as np

from bnexp.claims.contrast import Arm, Read, side_of
from bnexp.claims.quantities import Speed
from bnexp.claims.runs import Runs
from bnexp.records.reader import RunRecord
from bnexp.rng import numpy_stream
from bnexp.stats.intervals import Interval, intervals_by_t
from bnexp.stats.sample import Sample, Side

#: A level counts while the base reaches it in at least this share of its reported runs; of fewer levels than half nothing is said.
REACHED, ENOUGH = 7 / 8, 0.5

#: Why seconds say nothing: those of one machine are no price on another.
UNTIMED = "No machine has timed the steps of both sides, so that their seconds cannot be compared."

#: Parts of the family, as shares of its levels from the easiest to the hardest.
THIRDS = {"early": (0, 0.3), "middle": (0.3, 0.7), "late": (0.7, 1)}


@dataclass(frozen=True)
class Comparison:
    """Steps to a family of levels, ``base`` over ``arm``.

    Attributes:
        runs: the claim's.
        speed: the family.
        base, arm: what is compared; several are averaged.
        summed: as :attr:`Sample.summed`.
        reached_by: whose reaching a level makes it count, where it is not the base's, as for an interaction.
    """

    runs: Runs
    speed: Speed
    base: tuple[Arm, ...]
    arm: tuple[Arm, ...]
    summed: bool = False
    reached_by: tuple[Arm, ...] = ()

    @cached_property
    def levels(self) -> np.ndarray:
        """The family, easiest first. Shape ``[L]``."""
        return self.speed.values(self.runs.budget)

    @cached_property
    def reached(self) -> np.ndarray:
        """Share of the base's reported runs that reach each level; of several arms the smallest. Shape ``[L]``."""
        return np.min([self.share_reached(arm) for arm in self.reached_by or self.base], axis=0)

    def part(self, name: str = "") -> np.ndarray:
        """Which levels count, of one of ``THIRDS`` or of all. Shape ``[L]``, booleans."""
        start, end = THIRDS.get(name, (0, 1))
        place = np.arange(len(self.levels)) / len(self.levels)
        return (self.reached >= REACHED - 1e-9) & (place >= start - 1e-9) & (place < end - 1e-9)

    def too_few(self, name: str = "") -> str:
        """Why a part of the family says nothing; empty where it does."""
        start, end = THIRDS.get(name, (0, 1))
        declared, counts = round((end - start) * len(self.levels)), int(self.part(name).sum())
        if counts >= ENOUGH * declared:
            return ""
        return (
            f"What is compared with reaches only {counts} of these {declared} levels in {REACHED:.0%} of its runs "
            f"({self.runs.budget}); half of them are needed."
        )

    def sample(self, name: str = "", *, seconds: bool = False) -> Sample:
        """Geometric-mean steps, or training seconds, to the levels of a part that count."""
        part = self.part(name)

        def read(record: RunRecord) -> float:
            return float(np.exp(self._log_steps(record)[part].mean()))

        sample = self._sample(read)
        return self._priced(sample) if seconds else sample

    def ratio(self, rng: np.random.Generator) -> Interval | None:
        """How many times sooner over all levels that count, with a 95 % t-interval; None where too few do."""
        return None if self.too_few() else intervals_by_t(self.sample(), "ratio", rng)[0]

    def by_level(self) -> list[Interval | None]:
        """How many times sooner at each level, with 95 % t-intervals; None at a level that does not count. Length L."""
        rng = numpy_stream(0, "claims/speed")
        found: list[Interval | None] = []
        for index, counts in enumerate(self.part()):
            at = self._sample(lambda record, index=index: float(np.exp(self._log_steps(record)[index])))  # type: ignore[misc]
            found.append(intervals_by_t(at, "ratio", rng)[0] if counts else None)
        return found

    def crossing(self) -> float | None:
        """The first level, from the easiest, at which ``arm`` is no longer sooner; None where it always is."""
        ratios = self.by_level()
        return next(
            (float(level) for level, one in zip(self.levels, ratios, strict=True) if one and one.estimate <= 1), None
        )

    def _priced(self, sample: Sample) -> Sample:
        """Steps as seconds: times what a step of the arm's least disturbed reported run took."""

        def priced(sides: Sequence[Side], arms: Sequence[Arm]) -> tuple[Side, ...]:
            return tuple(side.times(self.step_seconds(arm)) for side, arm in zip(sides, arms, strict=True))

        return replace(sample, arm=priced(sample.arm, self.arm), base=priced(sample.base, self.base))

    def step_seconds(self, arm: Arm) -> float:
        """The least, over an arm's reported runs on one machine, of the median time of a step; other work only adds to it."""
        assert self.machine is not None, UNTIMED
        return min(self._step_ms(arm)[self.machine]) / 1000

    @cached_property
    def machine(self) -> tuple[str, str] | None:
        """Processor and device of most reported runs, of those where every arm was timed; None where there are none."""
        timed = [self._step_ms(arm) for arm in (*self.arm, *self.base)]
        common = sorted(set(timed[0]).intersection(*timed))
        return max(common, key=lambda place: sum(len(one[place]) for one in timed), default=None)

    def _step_ms(self, arm: Arm) -> dict[tuple[str, str], list[float]]:
        """Machine to what its reported runs of an arm took for a step."""
        found: dict[tuple[str, str], list[float]] = {}
        for record in (record for name in arm.names for record in self.runs.reported(name, arm.regime, arm.grid)):
            if step_ms := record.end.get("step_ms"):
                place = record.header.get("machine", {}).get("processor", ""), record.header.get("device", "")
                found.setdefault(place, []).append(step_ms)
        return found

    def share_reached(self, arm: Arm) -> np.ndarray:
        """Share of an arm's reported runs, at the values that count, that reach each level. Shape ``[L]``."""

        def there(record: RunRecord) -> np.ndarray:
            return np.array([float(one.observed) for one in self.speed.durations(record, self.runs.budget)])

        return self._over_values(there, arm).mean(axis=0)

    def steps(self, arm: Arm) -> np.ndarray:
        """Steps of an arm to each level, geometric mean over the values that count; NaN where more than one run in eight misses.

        Shape: ``[S, L]``.
        """
        steps_SL = np.exp(self._over_values(self._log_steps, arm))
        return np.where(self.share_reached(arm) >= REACHED - 1e-9, steps_SL, np.nan)

    def values(self, arm: Arm) -> list[tuple[str, float]]:
        """The arms and tuned values that count, by arm and value."""
        listed = [(name, value) for name in arm.names for value in self.runs.chosen(name, arm.regime, arm.grid)]
        return [one for one, share in zip(listed, self._shares(arm), strict=True) if share > 0]

    def _shares(self, arm: Arm) -> np.ndarray:
        return side_of(self.runs, arm, lambda _: 0.0).shares()

    def _over_values(self, read: Callable[[RunRecord], np.ndarray], arm: Arm) -> np.ndarray:
        """Mean over the tuned values that count, for each seed. Shape: ``[S, L]``."""
        rows_CSL = [
            [read(record) for record in by_seed.values()]
            for name in arm.names
            for by_seed in self.runs.candidates(name, arm.regime, arm.grid).values()
        ]
        return np.tensordot(self._shares(arm), np.array(rows_CSL), axes=1)

    def _sample(self, read: Read) -> Sample:
        def sides(arms: Sequence[Arm]) -> tuple[Side, ...]:
            return tuple(side_of(self.runs, arm, read) for arm in arms)

        return Sample(sides(self.arm), sides(self.base), self.summed)

    @cached_property
    def _known(self) -> dict[str, np.ndarray]:
        return {}

    def _log_steps(self, record: RunRecord) -> np.ndarray:
        name = record.folder.name
        if name not in self._known:
            self._known[name] = self.speed.log_steps(record, self.runs.budget)
        return self._known[name]


def judged(
    comparisons: Mapping[str, Comparison], parts: Mapping[str, str] = MappingProxyType({}), seconds: Collection[str] = ()
) -> tuple[dict[str, Sample], dict[str, str]]:
    """Endpoint to comparison as samples, and as reasons where too few levels are reached.

    Args:
        comparisons: of steps to all levels, but for
        parts: endpoints that are about one of ``THIRDS``, and which one, and
        seconds: endpoints that are about training seconds.
    """
    why = {name: one.too_few(parts.get(name, "")) for name, one in comparisons.items()}
    why |= {name: UNTIMED for name, one in comparisons.items() if name in seconds and not why[name] and one.machine is None}
    samples = {
        name: one.sample(parts.get(name, ""), seconds=name in seconds) for name, one in comparisons.items() if not why[name]
    }
    return samples, {name: reason for name, reason in why.items() if reason}
