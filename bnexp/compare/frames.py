"""The comparison as data frames and as plain rows, for notebooks, CSV and JSON. pandas is imported when a frame is asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnexp.compare.arms import Run, complete_runs, shown, varied
from bnexp.compare.measures import Measure, all_measures, batch_size, check_targets, reached, targets_of, value
from bnexp.compare.table import Block, Comparison
from bnexp.errors import UserError
from bnexp.records.reader import find_runs

if TYPE_CHECKING:
    import pandas as pd


def frame(folder: str | Path, targets: Sequence[float] = ()) -> pd.DataFrame:
    """One row a complete run: its name and status, every setting in which the runs differ, and every measure.

    Args:
        folder: a runs folder, or an export such as ``results/quick``.
        targets: validation accuracies in (0, 1) to reach; by default those that the runs were recorded with.

    Returns:
        Columns ``run``, ``seed``, ``status``, ``steps``, ``examples``, the settings by key (``norm``, ``optimizer.lr``), ``test``,
        ``recomputed`` and ``validation`` (%), ``gap`` (points), ``steps@0.9``, ``examples@0.9``, ``seconds@0.9`` and
        ``reached@0.9`` for each target, ``examples_per_s`` and ``peak_memory_mb``. Where ``reached`` is False the numbers beside
        it are those of the whole run: the target lies beyond (right-censored), and a mean over them is a lower bound.

    Raises:
        UserError: no complete run there.
    """
    import pandas as pd

    runs, _ = complete_runs(find_runs(Path(folder)))
    if not runs:
        raise UserError(
            "there is no complete run in this folder", got=folder, todo="bnexp train norm=none,batch seed=0,1,2"
        )
    return pd.DataFrame(rows_of_runs(runs, targets))


def rows_of_runs(runs: Sequence[Run], targets: Sequence[float] = ()) -> list[dict[str, Any]]:
    """What :func:`frame` holds, as plain rows."""
    check_targets(runs, targets)
    keys, wanted = varied(runs), list(targets) or targets_of(runs)
    measures = all_measures(wanted)
    rows = []
    for run in runs:
        record = run.record
        row: dict[str, Any] = {
            "run": record.folder.name,
            "seed": run.seed,
            "status": record.status,
            "steps": record.end["step"],
            "examples": record.end["step"] * batch_size(run),
            **{key: run.settings.get(key) for key in keys},
        }
        for name, measure in measures.items():
            number = value(run, measure)
            row[name] = None if number is None else rounded(number)
            if measure.unit == "seconds" and measure.target is not None:
                took = reached(run, measure.target)
                row[f"reached@{measure.target:g}"] = took.observed if took else None
        rows.append(row)
    return rows


def rows_of_arms(comparison: Comparison) -> list[dict[str, Any]]:
    """One row an arm: its settings, and of each measure the mean, its 95 % limits and how many runs arrived."""
    grouping = comparison.grouping
    rows = []
    for block in comparison.blocks:
        for place, arm in enumerate(block.arms):
            row: dict[str, Any] = {key: shown(one) for key, one in {**block.settings, **arm.settings}.items()}
            row |= {"n": len(arm.runs), "seeds": " ".join(map(str, arm.runs))}
            row["diverged"] = sum(run.record.status == "diverged" for run in arm.runs.values())
            for name, measure in block.measures.items():
                row |= _measured(block, place, name, measure)
            rows.append(row | _against(block, place, grouping.keys))
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return [{column: row.get(column) for column in columns} for row in rows]


def _measured(block: Block, place: int, name: str, measure: Measure) -> dict[str, Any]:
    summary = block.summary(block.arms[place], measure)
    if summary is None:
        return {name: None}
    one = summary.interval
    low, high = (one.low, one.high) if len(block.arms[place].runs) > 1 else (math.nan, math.nan)  # of steps the low would be 0
    row = {name: rounded(one.estimate), f"{name}_low": rounded(low), f"{name}_high": rounded(high)}
    return row if summary.arrived is None else {**row, f"{name}_arrived": summary.arrived}


def rounded(number: float) -> float | None:
    """Ten digits, which takes away what logarithms leave behind; None where a single run has no limit.

    Example:
        >>> rounded(399.9999999999999), rounded(math.inf)
        (400.0, None)
    """
    return float(f"{number:.10g}") if math.isfinite(number) else None


def _against(block: Block, place: int, keys: Sequence[str]) -> dict[str, Any]:
    """An arm against its base; empty values for the base itself."""
    names = (
        "base", "judged", "difference", "low", "high", "p_holm", "paired", "unpaired_because", "smallest", "verdict", "more_seeds",
    )  # fmt: skip
    effect = block.effects.get(place)
    if effect is None:
        return dict.fromkeys(names)
    one = effect.interval
    values = (
        block.arms[block.bases[place]].label(keys), block.judged.name, rounded(one.estimate), rounded(one.low),
        rounded(one.high), effect.adjusted, effect.paired, effect.unpaired_because, block.smallest, effect.verdict,
        effect.more_seeds,
    )  # fmt: skip
    return dict(zip(names, values, strict=True))
