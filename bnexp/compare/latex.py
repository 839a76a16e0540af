r"""A comparison as a LaTeX table: booktabs, one ``tabular`` a block, with what n and brackets are in the caption."""

from __future__ import annotations

import re
import unicodedata

from bnexp.compare.arms import shown
from bnexp.compare.measures import GAP
from bnexp.compare.table import Block, Comparison
from bnexp.compare.words import difference_words, shown_measures, smallest_words, summary_words

#: Units of measures that a page has no room for.
LEFT_OUT = ("seconds", "MB")

#: What TeX reads as something else.
_ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"$<$", ">": r"$>$", "|": r"$|$", "×": r"$\times$",
    "≥": r"$\geq$", "≤": r"$\leq$", "±": r"$\pm$", "≈": r"$\approx$", "∞": r"$\infty$", "−": r"$-$", "·": r"$\cdot$",
    "→": r"$\to$", "√": r"$\surd$", "µ": r"$\mu$", "–": "--", "—": "---", "…": r"\ldots{}", "°": r"$^\circ$", '"': "''",
    "“": "``", "”": "''", "„": ",,", "‘": "`", "’": "'", "½": r"$\frac12$", "Ł": r"\L{}", "ł": r"\l{}", "Ø": r"\O{}", "ø": r"\o{}",
    "Æ": r"\AE{}", "æ": r"\ae{}", "Œ": r"\OE{}", "œ": r"\oe{}", "ß": r"\ss{}",
    "Ð": "D", "ð": "d", "Þ": "Th", "þ": "th", "²": "$^2$", "³": "$^3$", "\N{NO-BREAK SPACE}": "~",
}  # fmt: skip

#: Stands above the tables.
PREAMBLE = r"% \usepackage{booktabs}"

#: Small Greek letters that TeX has words for.
_GREEK = (
    "ALPHA", "BETA", "GAMMA", "DELTA", "EPSILON", "ZETA", "ETA", "THETA", "IOTA", "KAPPA", "LAMDA", "MU", "NU", "XI", "PI", "RHO",
    "SIGMA", "TAU", "UPSILON", "PHI", "CHI", "PSI", "OMEGA",
)  # fmt: skip

#: Capitals that are not a Latin letter's shape, which alone TeX has words for.
_CAPITALS = ("GAMMA", "DELTA", "THETA", "LAMDA", "XI", "PI", "SIGMA", "UPSILON", "PHI", "PSI", "OMEGA")

#: Accents by which TeX puts letters together, by their Unicode sign.
_ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": ".", "\u0308": '"',
    "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c",
}  # fmt: skip


def escaped(text: str) -> str:
    r"""Words as TeX prints them.

    Example:
        >>> escaped("norm.ghost_size 5 % >= 3"), escaped("-0.5 [-1, 2]")
        ('norm.ghost\\_size 5 \\% $\\geq$ 3', '$-$0.5 [$-$1, 2]')
        >>> escaped("koň, δ ≥ 1, 数")
        'ko\\v{n}, $\\delta$ $\\geq$ 1, (CJK unified ideograph-6570)'
    """
    words = "".join(map(_sign, unicodedata.normalize("NFC", text).replace(">=", "≥").replace("<=", "≤")))
    words = words.replace("--", "-{}-") if "--" in text else words  # else it would print as a dash
    return re.sub(r"(?<![\w$])-(?=\d)", "$-$", words)


def _sign(sign: str) -> str:
    """One sign for pdfTeX and its first fonts, in ASCII: an accent on a letter, a Greek letter, else its name."""
    if sign in _ESCAPES:
        return _ESCAPES[sign]
    letter, *accents = list(unicodedata.normalize("NFD", sign))
    if sign.isascii():
        return sign if sign.isprintable() else " "
    if letter.isascii() and len(accents) == 1 and accents[0] in _ACCENTS:
        return f"\\{_ACCENTS[accents[0]]}{{{letter}}}"
    name = unicodedata.name(sign, f"U+{ord(sign):04X}")
    greek = re.fullmatch(r"GREEK (SMALL|CAPITAL) LETTER ([A-Z]+)", name)
    if greek and greek[2] in (_GREEK if greek[1] == "SMALL" else _CAPITALS):
        word = greek[2].lower().replace("lamda", "lambda")
        return f"$\\{word if greek[1] == 'SMALL' else word.capitalize()}$"
    return f"({name.lower().replace('cjk', 'CJK')})"


def latex(comparison: Comparison) -> str:
    """The whole comparison, after a comment with the package that it needs."""
    return "\n\n".join([PREAMBLE, *(_table(block, comparison) for block in comparison.blocks)])


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
        r"    \toprule", f"    {rows[0]}", r"    \midrule", *(f"    {_begun(row)}" for row in rows[1:]), r"    \bottomrule",
        r"  \end{tabular}", r"\end{table}",
    ]  # fmt: skip
    return "\n".join(lines)


def _begun(row: str) -> str:
    """A row that does not begin with what TeX takes for an argument of the row's end before it."""
    return f"{{}}{row}" if row[:1] in "[*" else row


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
