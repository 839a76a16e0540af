"""How much a reproduction may cost: number of seeds, and which of a grid's overrides apply."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Reported seeds are 0..n-1, tuning seeds start at 1000: the two never meet.

    Attributes:
        name: ``smoke`` (seconds; can only say "not powered"), ``quick`` (minutes, embedded digits) or ``full`` (real data sets).
        num_seeds: reported seeds of a training grid that does not say otherwise.
        num_tuning_seeds: seeds each tuned value is tried at.
        every_nth_value: a smoke tuning tries only every n-th value of the list.
    """

    name: str
    num_seeds: int
    num_tuning_seeds: int
    every_nth_value: int = 1

    def tuning_seeds(self) -> tuple[int, ...]:
        """Seeds that choose; nothing from them is reported but the tuning curve."""
        return tuple(range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + self.num_tuning_seeds))


FIRST_TUNING_SEED = 1000

BUDGETS = {
    budget.name: budget
    for budget in (
        Budget(name="smoke", num_seeds=2, num_tuning_seeds=1, every_nth_value=3),
        Budget(name="quick", num_seeds=8, num_tuning_seeds=2),
        Budget(name="full", num_seeds=8, num_tuning_seeds=3),
    )
}
