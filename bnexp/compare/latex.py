r"""A comparison as a LaTeX table: booktabs, one ``tabular`` a block, with what n and brackets are in the caption."""

from __future__ import annotations

import re

from bnexp.compare.arms import shown
from bnexp.compare.measures import GAP
from bnexp.compare.table import Block, Comparison
from bnexp.compare.words import difference_words, shown_measures, smallest_words, summary_words

#: Units of measures that a page has no room for.
LEFT_OUT = ("seconds", "MB")

#: What TeX reads as something else.
_ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "×": r"$\times$", "<": r"$<$", ">": r"$>$",
}  # fmt: skip


def escaped(text: str) -> str:
    r"""Words as TeX prints them.

    Example:
        >>> escaped("norm.ghost_size 5 % >= 3"), escaped("-0.5 [-1, 2]")
        ('norm.ghost\\_size 5 \\% $\\geq$ 3', '$-$0.5 [$-$1, 2]')
    """
    words = "".join(_ESCAPES.get(sign, sign) for sign in text.replace(">=", "\0")).replace("\0", r"$\geq$")
    return re.sub(r"(?<!\w)-(?=\d)", "$-$", words)


def latex(comparison: Comparison) -> str:
    """The whole comparison; needs ``\\usepackage{booktabs}``."""
    return "\n\n".join(_table(block, comparison) for block in comparison.blocks)


def _table(block: Block, comparison: Comparison) -> str:
    keys = (*comparison.grouping.keys, *comparison.grouping.tuned)
    columns: list[list[str]] = [[key, *(shown(arm.settings[key]) for arm in block.arms)] for key in keys] or [
        ["arm", "all runs"]
    ]
    num_labels = len(columns)
    counts = [len(arm.runs) for arm in block.arms]
    if len(set(counts)) > 1:
        columns.append(["n", *map(str, counts)])
    for measure, heading in shown_measures(block):
        if measure.unit in LEFT_OUT or measure.name == GAP.name:
            continue
        cells = [summary_words(block, arm, measure) for arm in block.arms]
        if any(cell != "-" for cell in cells):
            columns.append([heading, *("--" if cell == "-" else cell for cell in cells)])
    if block.effects:
        effects = [block.effects.get(place) for place in range(len(block.arms))]
        columns.append(
            [
                f"difference ({'factor' if block.judged.ratio else 'points'})",
                *(difference_words(one, block.judged) if one else "--" for one in effects),
            ]
        )
        columns.append(
            [
                "verdict",
                *(
                    one.in_words if one else "base" if place in block.bases.values() else "--"
                    for place, one in enumerate(effects)
                ),
            ]
        )
    rows = [
        " & ".join(cell if cell == "--" else escaped(cell) for cell in row) + r" \\"
        for row in zip(*columns, strict=True)
    ]
    num_judged = bool(block.effects)  # verdicts are words
    layout = "l" * num_labels + "r" * (len(columns) - num_labels - num_judged) + "l" * num_judged
    lines = [
        r"\begin{table}", r"  \centering", f"  \\caption{{{_caption(block, counts)}}}",
        f"  \\begin{{tabular}}{{{layout}}}",
        r"    \toprule", f"    {rows[0]}", r"    \midrule", *(f"    {row}" for row in rows[1:]), r"    \bottomrule",
        r"  \end{tabular}", r"\end{table}",
    ]  # fmt: skip
    return "\n".join(lines)


def _caption(block: Block, counts: list[int]) -> str:
    """What is compared, over how many seeds, what brackets are, and by what rule arms are judged."""
    settings = block.runs[0].settings
    what = f"{settings['dataset']}, {settings['model']}"
    what += "".join(f", {key} {shown(value)}" for key, value in block.settings.items() if key != "dataset")
    number = f"$n={counts[0]}$ seeds an arm" if len(set(counts)) == 1 else "$n$ seeds an arm"
    text = f"{escaped(what)}: mean [95\\,\\% $t$-interval] over {number}; of times to a target and prices the geometric mean."
    cells = [summary_words(block, arm, measure) for arm in block.arms for measure, _ in shown_measures(block)]
    if any(cell.startswith(">=") for cell in cells):
        text += r" $\geq$: runs that did not arrive count as the whole training."
    if block.at_equal_examples:
        text += f" Arms are judged by validation accuracy after {block.common.amount:,} examples."
    if block.effects:
        bases = list(dict.fromkeys(block.bases.values()))
        paired = {one.paired for one in block.effects.values()}
        how = "paired by seed" if True in paired else "independent (Welch)"
        how += " where they are pairs, else Welch" if len(paired) > 1 else ""
        against = (
            f"against {escaped(block.arms[bases[0]].label(block.keys))}"
            if len(bases) == 1
            else "against the arm that is alike in all else"
        )
        judged, smallest = block.judged.words.removesuffix(" %"), smallest_words(block)
        text += (
            f" Differences in {escaped(judged)} {against}, {how}, with 95\\,\\% intervals; {escaped(smallest)} matter"
        )
        text += f"; Holm's correction over {len(block.effects)} arms." if len(block.effects) > 1 else "."
    return text
