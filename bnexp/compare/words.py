"""A comparison in words: tables that fit a terminal, what each arm gains over its base, and which arm to take."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

from bnexp.compare.advice import advice
from bnexp.compare.arms import Arm, Run, shown
from bnexp.compare.effects import Effect
from bnexp.compare.measures import COSTS, GAP, Measure, value
from bnexp.compare.table import Block, Comparison
from bnexp.stats.intervals import Interval
from bnexp.text import WIDTH, columns

#: Names of settings wider than this together are given numbers instead; arms after this many are not shown.
WIDEST_LABEL, MOST_ARMS = 34, 40

#: What is said once below the tables.
CENSORED = "runs that did not arrive count as the whole training (a lower bound)"


def in_words(comparison: Comparison, with_runs: bool = False) -> str:
    """The whole comparison for a terminal of 80 columns.

    Args:
        comparison: what :func:`bnexp.compare.compare` returned.
        with_runs: each arm's runs under it.
    """
    grouping = comparison.grouping
    num_runs = sum(len(block.runs) for block in comparison.blocks)
    num_arms = sum(len(block.arms) for block in comparison.blocks)
    title = f"{num_runs:,} run{'s' * (num_runs != 1)}, {num_arms:,} arm{'s' * (num_arms != 1)}"
    by = f" by {', '.join(grouping.keys)}" if grouping.keys else ""
    lines = _wrapped(f"{title}{by}; mean [95 % t-interval] over seeds, best by validation first")
    if grouping.tied:
        lines += _wrapped(f"changing along with these: {_tied(comparison)}")
    for block in comparison.blocks:
        if block.settings:
            lines += ["", *_wrapped(" ".join(f"{key}={shown(one)}" for key, one in block.settings.items()))]
        lines += ["", *_block(block, with_runs)]
    notes = [*grouping.notes]
    if notes:
        lines += ["", *(line for note in notes for line in _wrapped(note))]
    return "\n".join(lines)


def _tied(comparison: Comparison) -> str:
    """The settings that change with those shown, each with its values arm by arm where there are few."""
    arms = [arm for block in comparison.blocks for arm in block.arms]
    said = []
    for key in comparison.grouping.tied:
        values = [shown(next(iter(arm.runs.values())).settings.get(key, "default")) for arm in arms]
        labels = [arm.label(comparison.grouping.keys) for arm in arms]
        listed = ", ".join(f"{word} at {label}" for word, label in zip(values, labels, strict=True))
        said.append(f"{key} ({listed})" if len(arms) <= 4 else key)
    return ", ".join(said)


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False) or [""]


def _block(block: Block, with_runs: bool) -> list[str]:
    """The tables of one block, and its sentences."""
    arms = block.arms[:MOST_ARMS]
    legend, labels = _labels((*block.keys, *block.tuned), arms)
    lines = [*legend, ""] if legend else []
    places = _rows(arms, with_runs)
    cells = [_counted(arms, places), *_measured(block, arms, places)]
    cells, constant = _constant(cells, len(arms))
    lines += _packed(_label_columns(labels, places), cells)
    if constant:
        lines += _wrapped(f"all: {', '.join(constant)}")
    lines += _below(block, arms)
    if len(block.arms) > MOST_ARMS:
        more = f"{len(block.arms) - MOST_ARMS:,} more arms are not shown"
        lines += _wrapped(f"{more}: --csv and --json have all; KEY=VALUE and by= take fewer")
    if block.effects:
        lines += ["", *_against(block, labels, len(arms))]
    return lines


def _labels(keys: Sequence[str], arms: Sequence[Arm]) -> tuple[list[str], list[list[str]]]:
    """A column for each setting, headed by its last part where that is clear; or numbers with a legend where these are too wide."""
    if not keys:
        return [], [["arm", *["all runs"] * len(arms)]]
    lasts = [key.split(".")[-1] for key in keys]
    heads = [last if lasts.count(last) == 1 else key for key, last in zip(keys, lasts, strict=True)]
    table = [[head, *(shown(arm.settings[key]) for arm in arms)] for head, key in zip(heads, keys, strict=True)]
    if sum(max(map(len, column)) + 2 for column in table) <= WIDEST_LABEL:
        return [], table
    numbers = [str(place) for place in range(1, len(arms) + 1)]
    legend = []
    for number, arm in zip(numbers, arms, strict=True):
        legend += _wrapped(f"{number:>3}  {arm.label(keys)}", " " * 5)
    return legend, [["arm", *numbers]]


def _rows(arms: Sequence[Arm], with_runs: bool) -> list[tuple[int, Run | None]]:
    """Places of arms, and under each its runs."""
    return [(place, run) for place, arm in enumerate(arms) for run in (None, *(arm.runs.values() if with_runs else ()))]


def _label_columns(labels: Sequence[Sequence[str]], places: Sequence[tuple[int, Run | None]]) -> list[list[str]]:
    found = []
    for number, (head, *cells) in enumerate(labels):
        seeds = ["" if run is None or number else f"  seed {run.seed}" for _, run in places]
        found.append([head, *(seed if run else cells[place] for seed, (place, run) in zip(seeds, places, strict=True))])
    return found


def _counted(arms: Sequence[Arm], places: Sequence[tuple[int, Run | None]]) -> list[str]:
    """Runs of each arm, and how many diverged."""
    cells = ["n"]
    for place, run in places:
        if run is None:
            lost = sum(one.record.status == "diverged" for one in arms[place].runs.values())
            cells.append(f"{len(arms[place].runs)}" + (f", {lost} diverged" if lost else ""))
        else:
            cells.append("" if run.record.status == "finished" else f"diverged at {run.record.end['step']:,}")
    return cells


def shown_measures(block: Block) -> list[tuple[Measure, str]]:
    """The measures that a table has, with their headings: ends, then targets that some run reached, then prices."""
    at = f"val % at {block.common.amount:,} {'examples' if block.at_equal_examples else block.common.unit}"
    names = [(block.measures["test"], "test accuracy %")]
    if block.at_equal_examples or block.judged.name == "validation":
        names.append((block.measures["validation"], at))
    names.append((block.measures[GAP.name], GAP.words))
    unit = "steps" if len({run.settings["train.batch_size"] for run in block.runs}) == 1 else "examples"
    for target in block.reached:
        names += [(block.measures[f"{one}@{target:g}"], f"{one} to {target:g}") for one in (unit, "seconds")]
    return [*names, *((block.measures[one.name], one.words) for one in COSTS)]


def _measured(block: Block, arms: Sequence[Arm], places: Sequence[tuple[int, Run | None]]) -> list[list[str]]:
    found = []
    for measure, heading in shown_measures(block):
        cells = [heading]
        for place, run in places:
            arm = arms[place]
            cells.append(summary_words(block, arm, measure) if run is None else _single(block, arm, run, measure))
        if any(cell != "-" for cell in cells[1:]):
            found.append(cells)
    return found


def summary_words(block: Block, arm: Arm, measure: Measure) -> str:
    """A measure over an arm's runs, e.g. ``89.56 [89.04, 90.08]``, ``>= 338 (3 of 4)``, ``> 400``; ``-`` where not all have it."""
    summary = block.summary(arm, measure)
    if summary is None:
        return "-"
    one = summary.interval
    if summary.arrived == 0 and measure.unit == "seconds":
        return "-"
    if summary.arrived == 0:
        return f"> {round(one.estimate):,}"
    if summary.censored:
        return f">= {plain(one.estimate, measure)} ({summary.arrived} of {summary.num_runs})"
    if measure in COSTS or summary.num_runs == 1 or one.high == one.low:
        return plain(one.estimate, measure)
    return interval_words(one, measure)


def _single(block: Block, arm: Arm, run: Run, measure: Measure) -> str:
    found = value(run, measure, block.common_of(arm))
    if found is None:
        return "-"
    if measure.target is not None:
        only = Block(
            block.settings,
            (Arm(arm.settings, {run.seed: run}),),
            block.targets,
            block.question,
            block.keys,
            block.tuned,
        )
        summary = only.summary(only.arms[0], measure)
        if summary and not summary.arrived:
            return "-" if measure.unit == "seconds" else f"> {round(found):,}"
    return plain(found, measure)


def plain(number: float, measure: Measure) -> str:
    """A single number of a measure."""
    if not measure.ratio or measure.unit == "seconds":
        return f"{number:.2f}"
    return f"{number:,.0f}" if number >= 100 or measure.unit != "examples/s" else f"{number:.1f}"


def interval_words(one: Interval, measure: Measure, sign: str = "") -> str:
    """With as many digits as its width deserves, at most two, and enough for a limit beside 0 not to read as 0.

    Example:
        >>> interval_words(Interval(7.8, 0.023, 15.577, level=0.95, num_seeds=4), GAP)
        '7.80 [0.02, 15.58]'
    """
    width = one.high - one.low
    decimals = max(1, min(2, 1 - math.floor(math.log10(width)))) if 0 < width < math.inf else 2
    if measure.unit in ("steps", "examples"):
        decimals = 0
    elif any(limit and not round(limit, decimals) for limit in (one.low, one.high)):
        decimals = 2
    estimate, low, high = (round(number, decimals) + 0.0 for number in (one.estimate, one.low, one.high))
    return f"{estimate:{sign},.{decimals}f} [{low:,.{decimals}f}, {high:,.{decimals}f}]"


def _constant(cells: list[list[str]], num_arms: int) -> tuple[list[list[str]], list[str]]:
    """Columns that say the same of all arms are taken out and said once."""
    if num_arms < 2:
        return cells, []
    same = [column for column in cells if len(set(column[1:])) == 1]
    return [column for column in cells if column not in same], [f"{column[0]} {column[1]}" for column in same]


def _packed(labels: list[list[str]], cells: list[list[str]]) -> list[str]:
    """As many tables as it takes for each to fit, with the labels before each."""

    def width(several: list[list[str]]) -> int:
        return sum(max(map(len, column)) + 2 for column in several) - 2

    tables: list[list[list[str]]] = []
    for column in cells:
        if not tables or width([*labels, *tables[-1], column]) > WIDTH:
            tables.append([])
        tables[-1].append(column)
    lines: list[str] = []
    for table in tables or [[]]:
        lines += [*([""] if lines else []), *columns(list(zip(*labels, *table, strict=True))).splitlines()]
    return lines


def _below(block: Block, arms: Sequence[Arm]) -> list[str]:
    """What has to be said of the tables once."""
    lines: list[str] = []
    common = block.common
    steps_to = {target: block.measures[f"steps@{target:g}"] for target in block.targets if target not in block.reached}
    beyond = [
        target for target, measure in steps_to.items() if any(block.summary(arm, measure) is None for arm in arms)
    ]
    if missed := [f"{target:g}" for target in steps_to if target not in beyond]:
        planned = {(run.settings["train.steps"], run.settings["train.batch_size"]) for run in block.runs}
        within = f"{common.amount:,} {common.unit}" if block.mixed or len(planned) == 1 else "its training"
        lines += _wrapped(f"no run reached {', '.join(missed)} in {within}")
    if any(">=" in summary_words(block, arm, measure) for arm in arms for measure, _ in shown_measures(block)):
        lines += _wrapped(f">= {CENSORED}")
    if block.at_equal_examples:
        scheduled = any(run.settings["schedule"] != "constant" for run in block.runs)
        lines += _wrapped(
            f"The arms saw unequal numbers of examples, so they are compared after {common.amount:,}, the shortest training; "
            "the test accuracy is of each at its own end."
            + (" Their learning rates follow schedules made for other lengths." if scheduled else "")
        )
    if any(run.record.end.get("stopped_at") is not None for run in block.runs):
        words = "Runs stopped at a goal of their own: accuracies at the end are not of equal training"
        more = (
            f", and nobody knows when they would have reached {', '.join(f'{one:g}' for one in beyond)}"
            if beyond
            else ""
        )
        lines += _wrapped(f"{words}{more}.")
    if max(len(arm.runs) for arm in arms) == 1:
        lines += _wrapped("one run an arm has no interval: seed=0,1,2 makes three")
    return lines


def difference_words(effect: Effect, measure: Measure) -> str:
    """What an arm gains, with its interval; of ratios the factor by which it is better."""
    one = effect.interval
    if effect.estimate.num_seeds < 2:
        return f"{one.estimate:.2f} ×" if effect.ratio else f"{one.estimate:+.2f}"
    if effect.ratio:
        return one.in_words(suffix=" ×") if one.high > one.low else f"{one.estimate:.2f} ×"
    return interval_words(one, measure, "+")


def smallest_words(block: Block) -> str:
    """The smallest effect that matters, with its unit."""
    return f"{block.smallest:g} {'%' if block.judged.ratio else 'points'}"


def _against(block: Block, labels: list[list[str]], num_arms: int) -> list[str]:
    """Each arm against its base, the verdicts, and which arm to take."""
    places = [place for place in block.effects if place < num_arms]
    effects = [block.effects[place] for place in places]
    judged = f"{block.judged.words.removesuffix(' %')}, {'times better' if block.judged.ratio else 'points'}"
    gains = [_gain(block, place, block.judged) for place in places]
    table = [[judged, *gains], ["verdict", *(one.in_words for one in effects)]]
    for target in block.reached[-1:]:
        measure = block.measures[f"{'steps' if block.common.unit == 'steps' else 'examples'}@{target:g}"]
        if measure != block.judged:
            table.append([f"times sooner to {target:g}", *(_gain(block, place, measure) for place in places)])
    ours = [[head, *(cells[place] for place in places)] for head, *cells in labels]
    paired = {one.paired for one in effects}
    bases = list(dict.fromkeys(block.bases[place] for place in places))
    words = block.arms[bases[0]].label(block.keys)
    if len(bases) > 1:
        alike = [key for key in block.keys if len({shown(block.arms[base].settings[key]) for base in bases}) == 1]
        words = f"{block.arms[bases[0]].label(alike)}, all else alike"
    how = "paired by seed" if True in paired else "not paired (Welch)"
    how += " where they are pairs" if len(paired) > 1 else ""
    holm = f"; verdicts by Holm over {len(places)} arms" if len(places) > 1 else ""
    lines = _wrapped(f"against {words}: {how}; {smallest_words(block)} matter{holm}")
    lines += _packed(ours, table)
    if any("*" in cell for column in table for cell in column):
        lines += _wrapped(f"* {CENSORED.replace(' (a lower bound)', '')}, in both arms")
    for why in dict.fromkeys(
        one.unpaired_because for one in effects if not one.paired and one.unpaired_because != "paired=false"
    ):
        some = "" if paired == {False} else "some are "
        lines += _wrapped(f"{some}not paired: {why}")
    if any(one.more_seeds for one in effects):
        lines += _wrapped("more seeds an arm: for 80 % power, if the difference and the sd seen are the true ones")
    return [*lines, *(line for sentence in advice(block) for line in _wrapped(sentence))]


def _gain(block: Block, place: int, measure: Measure) -> str:
    """What an arm gains over its base, with a mark where a run did not arrive; ``-`` where none of both arms did."""
    arm, base = block.arms[place], block.arms[block.bases[place]]
    effect = block.effect(arm, base, measure)
    if effect is None:
        return "-"
    summaries = [block.summary(one, measure) for one in (arm, base)]
    if measure.target is not None and not any(one and one.arrived for one in summaries):
        return "-"
    return difference_words(effect, measure) + (" *" if any(one and one.censored for one in summaries) else "")
