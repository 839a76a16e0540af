"""When a run has learnt what it was asked to learn, and may end before its last step."""

from __future__ import annotations

from bnexp.config.schema import TrainConfig

#: Points in a row beyond a goal that reach it, as in :func:`bnexp.records.curves.time_to_target`.
IN_A_ROW = 2


class Goals:
    """Counts the points in a row beyond ``train.stop_at_accuracy`` and ``train.stop_at_loss``, where these are given.

    A goal is reached at the second of two consecutive evaluations above the accuracy, or points of ``train/loss`` below the loss,
    and stays reached.
    """

    def __init__(self, train: TrainConfig) -> None:
        goals = {"val/accuracy": train.stop_at_accuracy, "train/loss": train.stop_at_loss}
        self._goals = {name: goal for name, goal in goals.items() if goal is not None}
        self._in_a_row = dict.fromkeys(self._goals, 0)

    def see(self, name: str, value: float | None) -> None:
        """The next point of a curve; None where it was not finite."""
        if name in self._goals and self._in_a_row[name] < IN_A_ROW:
            goal = self._goals[name]
            beyond = value is not None and (value < goal if name == "train/loss" else value > goal)
            self._in_a_row[name] = self._in_a_row[name] + 1 if beyond else 0

    @property
    def reached(self) -> bool:
        """Whether there are goals and all of them have been reached, not necessarily at once."""
        return bool(self._goals) and all(count == IN_A_ROW for count in self._in_a_row.values())
