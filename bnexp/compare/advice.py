"""Which arm to take and what it costs, in one sentence a base, and only as strong as its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bnexp.compare.arms import shown
from bnexp.compare.effects import BETTER, EQUIVALENT, MIN_SEEDS, OPEN, WORSE, Effect
from bnexp.compare.table import Block


def advice(block: Block) -> list[str]:
    """A sentence for each base that arms were compared with; what holds of several is said once."""
    sentences = []
    for base in dict.fromkeys(block.bases.values()):
        places = [place for place, one in block.bases.items() if one == base and place in block.effects]
        if places:
            sentences.append(_sentence(block, base, places))
    return list(dict.fromkeys(sentences))


def _sentence(block: Block, base: int, places: Sequence[int]) -> str:
    effects = {place: block.effects[place] for place in places}
    if all(one.estimate.num_seeds < MIN_SEEDS for one in effects.values()):
        return f"No recommendation: at least {MIN_SEEDS} seeds an arm are needed."
    if (
        len({number for place in (base, *places) for number in block.values(block.arms[place], block.judged).values()})
        == 1
    ):
        judged = block.judged.words.removesuffix(" %")
        return f"No recommendation: all runs have the same {judged}, so that nothing tells the arms apart."
    keys = [key for key in block.keys if any(_differ(block, key, base, place) for place in places)]
    rest = [key for key in block.keys if key not in keys]
    where = f"{block.arms[base].label(rest)}: " if rest and len(set(block.bases.values())) > 1 else ""
    taken, because = _taken(block, base, effects, keys)
    clauses = [_clause(block, place, base, effects[place], keys) for place in places if place != taken]
    words = f"{where}{because}" + (f" {'; '.join(clauses)}." if clauses else "")
    return words[0].upper() + words[1:] if not where else words


def _differ(block: Block, key: str, one: int, other: int) -> bool:
    return shown(block.arms[one].settings[key]) != shown(block.arms[other].settings[key])


def _taken(block: Block, base: int, effects: dict[int, Effect], keys: Sequence[str]) -> tuple[int, str]:
    """The arm to take, and the sentence that says why; the base where nothing beats it."""
    name = {place: block.arms[place].label(keys) for place in (base, *effects)}
    better = [place for place, one in effects.items() if one.verdict == BETTER]
    if better:
        best = max(better, key=lambda place: effects[place].estimate.mean)
        also = [name[place] for place in better if place != best]
        more = ""
        if also:
            beat = "beats" if len(also) == 1 else "beat"
            more = f" ({', '.join(also)} {beat} it too; base={name[best].replace(' ', ',')} compares them)"
        gain = _gain(effects[best])
        return best, f"take {name[best]}: it gains {gain} over {name[base]}{more}{_price(block, best, base)}."
    cheaper = {}
    for place, one in effects.items():
        if one.verdict == EQUIVALENT and (price := _faster(block, place, base)):
            cheaper[place] = price
    if cheaper:
        best = max(cheaper, key=lambda place: cheaper[place].estimate.mean)
        price_words = _price(block, best, base)
        return best, f"take {name[best]}: as good as {name[base]} to within {_smallest(block)}{price_words}."
    words = {one.verdict for one in effects.values()}
    if words == {WORSE}:
        return base, f"take {name[base]}: every other arm is worse."
    if OPEN in words:
        return base, f"nothing beats {name[base]} so far, and what is open may."
    return base, f"keep {name[base]}: nothing beats it by {_smallest(block)}."


def _smallest(block: Block) -> str:
    return f"{block.smallest:g} {'%' if block.judged.ratio else 'points'}"


def _gain(effect: Effect, loses: bool = False) -> str:
    """The size of an effect, without its sign where words say which way it goes."""
    one = effect.interval
    if effect.ratio:
        return one.in_words(prefix="a factor of ")
    sign = -1 if loses else 1
    low, high = sorted((sign * one.low, sign * one.high))
    digits = 2 if any(limit and not round(limit, 1) for limit in (low, high)) else 1
    return f"{sign * one.estimate:.{digits}f} points [{low:.{digits}f}, {high:.{digits}f}]"


def _clause(block: Block, place: int, base: int, effect: Effect, keys: Sequence[str]) -> str:
    name, other = block.arms[place].label(keys), block.arms[base].label(keys)
    if effect.verdict == WORSE:
        return f"{name} loses {_gain(effect, loses=True)} to {other}"
    if effect.verdict == EQUIVALENT:
        return f"{name} is as good as {other} to within {_smallest(block)}{_price(block, place, base)}"
    if effect.verdict == BETTER:
        return f"{name} gains {_gain(effect)}"
    return f"{name} is {effect.in_words}{_price(block, place, base)}"


def _faster(block: Block, place: int, base: int) -> Effect | None:
    """How many more examples a second an arm trains than its base, where it is more by a tenth or more."""
    found = block.effect(block.arms[place], block.arms[base], block.measures["examples_per_s"])
    return found if found and replace(found, adjusted=found.nearest[1]).verdict == BETTER else None


def _price(block: Block, place: int, base: int) -> str:
    """What an arm costs or saves in time an example, where its interval leaves no doubt of the direction."""
    found = block.effect(block.arms[place], block.arms[base], block.measures["examples_per_s"])
    if found is None or found.estimate.num_seeds < MIN_SEEDS or found.interval.covers(1.0):
        return ""
    factor = found.interval.estimate
    if factor > 1:
        return f", and trains {factor:.2f} × as many examples a second"
    return f", and takes {1 / factor:.2f} × as long an example"
