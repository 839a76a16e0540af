"""The words after ``bnexp train``: read as Hydra overrides, and told with the nearest thing that works where they are none."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, QuotedString, RangeSweep, Sweep
from hydra.errors import HydraException

from bnexp.config.checks import number_meant
from bnexp.config.meant import KEYS, NO_CHOICE, NOTHING, PRINTED, as_typed, keys_meant, no_choice, unknown_choice
from bnexp.config.paths import group_files, groups
from bnexp.config.spaced import spaced
from bnexp.errors import UserError

#: Keys whose value is a path: taken as it is typed, whatever signs it holds.
PATHS = ("runs_dir", "data_dir", "dataset.path")

#: Runs that one sweep has at most: planning them takes up to a minute, and a few hundred MB.
MOST_RUNS = 100_000

#: Settings of Hydra's that mean something here: which launcher carries out a sweep, and how.
_HYDRA = re.compile(r"hydra[/.](launcher|sweeper)(\.|$)(?!params)")


@dataclass(frozen=True)
class Word:
    """One override.

    Attributes:
        key: what it sets, without ``+`` or ``~``.
        kind: ``choice`` (of a group), ``value``, ``delete``, or ``hydra`` (of Hydra's own).
        texts: it as Hydra reads it, once for each value of a sweep.
        values: the value of each.
        sweeps: whether it stands for several values.
        glob: a pattern of names that stands for them until :func:`named`.
    """

    key: str
    kind: str
    texts: tuple[str, ...]
    values: tuple[Any, ...]
    sweeps: bool
    glob: Glob | None = None

    @property
    def typed(self) -> str:
        """The whole of it as one word, sweeps unexpanded."""
        if self.glob or len(self.texts) == 1:
            return self.texts[0]
        return f"{self.key}={','.join(text.partition('=')[2] for text in self.texts)}"


def read(words: Sequence[str]) -> tuple[list[Word], list[str]]:
    """The overrides that these words are, the last of each key, and a note for each that was given twice.

    Raises:
        UserError: a word that is no override, with what comes nearest.
    """
    found: dict[str, Word] = {}
    notes: list[str] = []
    _refuse_split_words(words)
    for place, text in enumerate(words):
        word = _word(text, words[place + 1 :])
        if word is None:
            continue
        before = found.pop(word.key, None)
        if before and before.values != word.values:
            both = f"; {before.typed},{word.typed.partition('=')[2]} runs both" if word.kind == "choice" else ""
            notes.append(f"note: {word.key} is given twice; the last one counts, {word.typed}{both}")
        found[word.key] = word
    return list(found.values()), notes


def named(word: Word, extra: Path | None) -> Word:
    """A word whose names are known to exist, patterns among them written out.

    Raises:
        UserError: there is no such name in the group.
    """
    if word.kind != "choice":
        return word
    known = list(group_files(word.key, extra))
    names = word.glob.filter(known) if word.glob else list(word.values)
    if not names:
        raise UserError(
            "no name fits this pattern", got=word.texts[0], todo=f"{word.key}=glob(*)   or one of {', '.join(known)}"
        )
    single = [part for name in names for part in name.strip("[]").split(",")]
    if any(name not in known for name in single):
        raise unknown_choice(word.key, single, known, extra)
    return Word(word.key, "choice", tuple(f"{word.key}={name}" for name in names), tuple(names), word.sweeps)


def _word(text: str, following: Sequence[str]) -> Word | None:
    text = text.strip()
    if text.startswith(("-", "–", "—")) or ("=" not in text and not text.startswith("~")):
        raise _stray(text, following)
    match = re.fullmatch(r"(~|\+{0,2})(\s*)([^=]*?)(\s*)(?:=(.*))?", text, re.DOTALL)
    assert match
    sign, blank, key, gap, value = match.groups()
    plain = key.translate(PRINTED).strip("'\" ")
    if value and key not in PATHS and re.search(r"\s[+~]{0,2}[A-Za-z_][\w./]*=", value) and _parsed(key, value) is None:
        raise UserError("several overrides reached us as one word", got=repr(text), todo=text)
    if not re.fullmatch(r"[A-Za-z_][\w.]*|hydra/\w+", key) or blank or gap or (value or "").startswith((" ", "=")):
        key = (keys_meant(plain, ()) or [plain if re.fullmatch(r"[A-Za-z_][\w.]*", plain) else "norm"])[0]
        value = (value or "batch").translate(PRINTED).strip(" =\"'")
        raise UserError("this word is not an override, key=value", got=text, todo=as_typed(_mended(key, value)))
    if key.split(".")[0] == "hydra" or key.startswith("hydra/"):
        return _of_hydra(key, text)
    if sign == "~":
        return _deleted(key, text)
    assert value is not None
    group = key.removesuffix(".name")
    if group != key and group in groups():
        raise UserError("the name of a choice is typed without .name", got=text, todo=as_typed(f"{group}={value}"))
    return _choice(key, value, text) if key in groups() else _value(key, value)


def _value(key: str, value: str) -> Word:
    value = spaced(key, value)
    override = _parsed(key, value)
    if override is None and key in PATHS:
        override = _parsed(key, value := _quoted(value))
    if override is None:
        raise _unreadable(key, value)
    is_there = "," in value and os.path.exists(os.path.expanduser(value))
    if key in PATHS and (isinstance(override.value(), bool | int | float) or is_there):
        override = _parsed(key, value := _quoted(value))  # a folder named 2026, a file named a,b.npz
    assert override is not None
    if re.fullmatch(r"\d{1,3}(,\d{3})+", value) and ",0" in value:
        raise UserError(
            "a comma makes a sweep of two values", got=f"{key}={value}", todo=f"{key}={value.replace(',', '')}"
        )
    span = re.fullmatch(r"(\d+)(?:\.\.+|-|:)(\d+)", value)
    if span and key not in PATHS:
        todo = f"{key}=range({span[1]},{int(span[2]) + 1})"
        raise UserError(
            "a range of whole numbers is written range(first,last + 1)", got=f"{key}={value}", todo=as_typed(todo)
        )
    if not override.is_sweep_override():
        return Word(key, "value", (f"{key}={value}",), (_as_is(override.value()),), False)
    texts, values = _swept(override, f"{key}={value}")
    return Word(key, "value", tuple(f"{key}={text}" for text in texts), values, True)


def _choice(key: str, value: str, text: str) -> Word | None:
    override = _parsed(key, value)
    if override is None:
        raise _unreadable(key, value)
    got = override.value()
    if key in ("experiment", "debug") and str(got).lower() in ("none", "null", ""):
        return None
    if isinstance(got, Glob):
        return Word(key, "choice", (text.lstrip("+"),), (), True, got)
    if key == "probes" and isinstance(got, list) and got and all(isinstance(name, str) for name in got):
        return Word(key, "choice", (text,), (f"[{','.join(got)}]",), False)  # one run may have several probes
    if isinstance(got, list | dict):
        if isinstance(got, dict) and got and "name" not in got:
            todo = as_typed(*(f"{key}.{name}={one}" for name, one in got.items()))
            raise UserError(f"{key} takes a name; its options are typed one by one", got=text, todo=todo)
        names = [got["name"]] if isinstance(got, dict) and got else got
        listed = ",".join(map(str, names)) or NO_CHOICE.get(key) or next(iter(group_files(key)))
        both = "several values are a sweep, written without brackets" if len(got) > 1 else f"{key} takes a name"
        raise UserError(both, got=text, todo=as_typed(f"{key}={listed}"))
    if str(got).lower() in NOTHING and str(got) not in group_files(key):
        raise no_choice(key, text)
    sweeps = override.is_sweep_override()
    values: tuple[Any, ...] = _swept(override, text)[1] if sweeps else (got,)
    if any(isinstance(one, list | dict) for one in values):
        raise UserError(
            f"{key} takes names", got=text, todo=as_typed(f"{key}={value.translate(str.maketrans('', '', '[]{} '))}")
        )
    chosen = tuple("none" if one is None and key in NO_CHOICE else str(one) for one in values)
    return Word(key, "choice", tuple(f"{key}={name}" for name in chosen), chosen, sweeps)


def _deleted(key: str, text: str) -> Word | None:
    if key in ("experiment", "debug"):
        return None
    if key in groups():
        raise no_choice(key, text)
    if not re.fullmatch(r"probes\.\w+|plugins", key) or "=" in text:
        raise UserError(
            "only a probe can be left out, every other key needs a value", got=text, todo=f"leave {text} out"
        )
    return Word(key, "delete", (text,), (None,), False)


def _of_hydra(key: str, text: str) -> Word:
    if not _HYDRA.match(key):
        advice = {"hydra.searchpath": "--config-dir FOLDER", "hydra.mode": "seed=0,1,2   (a comma list is a sweep)"}
        todo = (
            "runs_dir=FOLDER, which is where records go"
            if key in ("hydra.run.dir", "hydra.sweep.dir")
            else f"leave {text} out"
        )
        raise UserError(
            "Hydra's own folders, logs and modes have no part here; only hydra/launcher and hydra.launcher do",
            got=text,
            todo=advice.get(key, todo),
        )
    return Word(key, "hydra", (text,), (None,), False)


def _stray(text: str, following: Sequence[str]) -> UserError:
    """The error for a word that has no ``=``, or a dash before it."""
    plain = text.translate(PRINTED)
    rest = following[0] if following and "=" not in following[0] and not following[0].startswith("-") else ""
    if plain.startswith("-"):
        key, _, value = plain.lstrip("-").partition("=")
        meant = keys_meant(key, ()) if len(key) > 1 and re.match(r"[A-Za-z]", key) else []
        name = key.replace("-", "_").lower()
        close = meant and (name in (meant[0], meant[0].split(".")[-1]) or name in KEYS)
        value = (value or rest).strip("\"'")
        if close and value:
            return UserError(
                "settings are typed without dashes, key=value", got=text, todo=as_typed(_mended(meant[0], value))
            )
        elsewhere = {"config-name": "experiment=NAME", "cn": "experiment=NAME"} | dict.fromkeys(
            ("config-path", "cp"), "--config-dir FOLDER"
        )
        todo = f"--{plain.lstrip('-')}" if plain != text else elsewhere.get(key.lstrip("-"), "bnexp train --help")
        return UserError("bnexp train does not know this flag", got=text, todo=todo)
    key, colon, value = re.sub(r"^(\w+)-(?=\w+$)", r"\1:", plain).partition(":")
    value = value.strip("\"' ") if colon else rest
    meant = keys_meant(key.strip(), ()) if re.fullmatch(r"[\w.]+ *", key) else []
    if meant and value and (colon or meant[0].lower() == key.lower() or key.lower() in KEYS):
        got = text if colon else f"{text} {rest}"
        return UserError("this word is not an override, key=value", got=got, todo=as_typed(_mended(meant[0], value)))
    owner = _owner(plain)
    todo = f"{owner}={plain}" if owner else f"{meant[0]}=VALUE" if meant else "key=value, for example norm=batch"
    return UserError("this word is not an override", got=text or "an empty word", todo=todo)


def _owner(name: str) -> str | None:
    """The first group that has a choice of this name."""
    return next((group for group in groups() if name in group_files(group)), None)


def _refuse_split_words(words: Sequence[str]) -> None:
    """``norm = batch``, ``norm=none, batch`` and ``seed=0 1`` reach us as several words: told as one."""
    for place, first in enumerate(words):
        pieces = [first]
        for text in words[place + 1 :]:
            if (
                re.match(r"[+~]{0,2}[A-Za-z_][\w./]*=", text)
                or (first + text).startswith(("-", "~"))
                or text[:1] in "-~"
            ):
                break
            if _joined(pieces, text) is None:
                break
            pieces.append(text)
        if len(pieces) > 1:
            mark = _joined(pieces[:-1], pieces[-1])
            whole = str(mark).join(pieces)
            key, _, value = whole.partition("=")
            todo = whole if mark == " " else _mended((keys_meant(key, ()) or [key])[0], value.translate(PRINTED))
            raise UserError("blanks split this override into several words", got=" ".join(pieces), todo=as_typed(todo))


def _joined(pieces: Sequence[str], text: str) -> str | None:
    """What has been between a word and the one before it in one override, a comma or nothing; None if it is another one."""
    so_far = " ".join(pieces)
    key, equals, value = so_far.partition("=")
    is_open = any(so_far.count(left) > so_far.count(right) for left, right in ("[]", "{}", "()"))
    if so_far.endswith(("=", ",")) or text.startswith(("=", ",")) or (is_open and equals):
        return ""
    if re.fullmatch(r"\d{1,3}( \d{3})*", value) and re.fullmatch(r"0\d\d", text):
        return ""
    numbers = re.fullmatch(r"[-+.\de ]+", value) and re.fullmatch(r"[-+.\de]+", text)
    if numbers or (key in groups() and value and text in group_files(key)):
        return ","
    return " " if key in PATHS and equals and not _owner(text) else None


def _unreadable(key: str, value: str) -> UserError:
    """The error for a value that Hydra's grammar cannot read."""
    got = f"{key}={value}"
    if re.search(r"(^|,)\s*(,|$)", value):
        what = "a comma has nothing beside it"
    elif any(value.count(left) != value.count(right) for left, right in ("[]", "{}", "()")):
        what = "a bracket is not closed"
    elif value.count('"') % 2 or value.count("'") % 2:
        what = "a quotation mark is not closed"
    elif value.startswith("("):
        what = "a list is written in square brackets"
    elif called := re.fullmatch(r"(\w+)\((.*)\)", value):
        value = called[2]
        what = f"{called[1]}() cannot be computed; there are range(0,5), linspace(0,1,5), logspace(-3,0,7), choice(a,b), glob(*)"
    elif value.translate(PRINTED) != value:
        what = "a dash or a quotation mark is a printed one"
    else:
        what = "this value has a sign that means something else unless the value is quoted"
    return UserError(what, got=got, todo=as_typed(_mended(key, value)))


def _mended(key: str, value: str) -> str:
    """``key=value`` changed as little as makes Hydra's grammar read it."""
    plain = value.translate(PRINTED).strip()
    commas = re.sub(r"\s*,[\s,]*", ",", plain).strip(",")
    bare = commas.strip("[](){}\"',")
    listed = f"[{bare}]" if plain[:1] in ("[", "(") else bare
    for tried in (value, plain, commas, plain.lstrip("= "), listed, bare):
        if tried and _parsed(key, tried) is not None and "()" not in tried:
            return f"{key}={tried}"
    number = number_meant(value)
    return f"{key}={_quoted(value) if number is None else f'{number:g}'}"


@lru_cache(maxsize=4096)
def _parsed(key: str, value: str) -> Override | None:
    """Hydra's reading of ``key=value``, or None where it has none."""
    try:
        override = OverridesParser.create().parse_override(f"{key}={value}")
        override.value()
    except (HydraException, ValueError, ArithmeticError, RecursionError, TypeError):
        return None
    return override


def _swept(override: Override, text: str) -> tuple[list[str], tuple[Any, ...]]:
    """The texts and values of a sweep, in the order they are typed in."""
    sweep = override.value()
    if isinstance(sweep, RangeSweep):
        _refuse_endless(sweep, override.key_or_group, text)
        # less the last digits of a sum: 0.3, not 0.30000000000000004
        entries: list[Any] = [one if isinstance(one, int) else float(f"{one:.12g}") for one in sweep.range()]
        texts = [str(number) for number in entries]
    elif isinstance(sweep, ChoiceSweep):
        if any(isinstance(one, Sweep | Glob) for one in sweep.list):
            raise UserError("a sweep inside a sweep has no meaning", got=text, todo=f"{override.key_or_group}=a,b,c")
        sweep.shuffle = False  # runs do not depend on each other, and both readings of a sweep must agree
        entries, texts = list(sweep.list), list(override.sweep_string_iterator())
    else:
        assert isinstance(sweep, Sweep | Glob)
        raise UserError(
            "this sweep has no list of values", got=text, todo=f"{override.key_or_group}=range(0,5)   or a list, a,b,c"
        )
    if not entries:
        raise UserError("this sweep has no values", got=text, todo=f"{override.key_or_group}=range(0,5)")
    return texts, tuple(_as_is(entry) for entry in entries)


def _refuse_endless(sweep: RangeSweep, key: str, text: str) -> None:
    """A range is counted before it is written out: ``range(0,1e12)`` is no longer to type than ``range(0,10)``.

    Raises:
        UserError: it has more values than a sweep may have runs.
    """
    start, stop, step = (float(one) if one is not None else math.nan for one in (sweep.start, sweep.stop, sweep.step))
    number = (stop - start) / step if step else math.inf
    if not number <= MOST_RUNS:
        counted = f"{number:,.0f}" if math.isfinite(number) else "no end of"
        raise UserError(f"this range has {counted} values", got=text, todo=f"{key}=range(0,5)   ({MOST_RUNS:,} at most)")


def refuse_too_many(words: Sequence[Word]) -> None:
    """Runs are counted before any is composed.

    Raises:
        UserError: there are more than one sweep may have.
    """
    if (number := math.prod(len(word.texts) or 1 for word in words)) > MOST_RUNS:
        swept = {word.key: len(word.texts) for word in words if len(word.texts) > 1}
        longest = max(swept, key=lambda key: swept[key])
        counts = " x ".join(f"{count:,} {key}" for key, count in swept.items())
        todo = f"fewer values of {longest}, in several sweeps ({MOST_RUNS:,} runs at most in one)"
        raise UserError(f"this sweep has {number:,} runs", got=counts, todo=todo)


def _as_is(entry: Any) -> Any:
    """An entry of Hydra's as plain Python: quoted words without their marks, inside lists and groups too."""
    if isinstance(entry, QuotedString):
        return entry.text
    if isinstance(entry, list | tuple):
        return [_as_is(one) for one in entry]
    if isinstance(entry, dict):
        return {str(_as_is(key)): _as_is(one) for key, one in entry.items()}
    return entry


def _quoted(value: str) -> str:
    """``value`` as Hydra takes any signs, in quotation marks."""
    marked = value.strip("\"'") if value[:1] in ("'", '"') or value[-1:] in ("'", '"') else value
    return '"' + re.sub(r'(\\*)(?="|$)', r"\1\1", marked).replace('"', '\\"') + '"'
