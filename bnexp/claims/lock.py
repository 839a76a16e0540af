"""Declarations and analyses are locked: changing one without saying why fails a test."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from bnexp.claims.base import CLAIMS, Claim
from bnexp.config.identity import reached
from bnexp.records.jsonfile import write_json

LOCK = Path(__file__).with_name("claims.lock.json")


#: Where the code of an analysis is looked up: packages and modules, all that stands between a record and a verdict.
COVERED = ("bnexp.claims", "bnexp.stats", "bnexp.records.curves", "bnexp.records.drift")


def claim_hash(claim: Claim) -> str:
    """Hash of what a claim declares (statement, formula, runs, endpoints, rules) and of the code that judges its records.

    That is ``analyse``, tuning, judging and the rules, with all that they use of ``COVERED``; not ``draw`` or ``say``, not what a
    measurement does (it names its record), no docstrings and no comments.
    """
    own = claim.analyse.__module__
    used: list[type] = [type(endpoint.rule) for endpoint in claim.endpoints.values()]
    used += [type(grid.tuning.by) for grid in claim.grids if grid.tuning]
    engine = [("bnexp.claims.tuning", "next_runs"), ("bnexp.claims.judge", "judge")]
    code = reached(
        [(own, claim.analyse.__name__), *engine, *((one.__module__, one.__name__) for one in used)],
        within=lambda module: module == own or any(f"{module}.".startswith(f"{place}.") for place in COVERED),
        without=[(claim.draw.__module__, claim.draw.__name__)],
    )
    text = json.dumps([_declared(claim), code], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def read_lock() -> dict[str, str]:
    """Claim id to its hash as it was locked."""
    return json.loads(LOCK.read_text(encoding="utf-8")) if LOCK.is_file() else {}


def lock(claims: Iterable[Claim]) -> None:
    """Accept claims as they stand; what is locked of claims that are gone goes too."""
    hashes = {**read_lock(), **{claim.id: claim_hash(claim) for claim in claims}}
    write_json(LOCK, {name: hashes[name] for name in sorted(hashes) if name in CLAIMS})


def _declared(value: Any) -> Any:
    """Dataclasses as their class and fields, mappings with their order, functions by name only."""
    if is_dataclass(value) and not isinstance(value, type):
        return [type(value).__name__, {field.name: _declared(getattr(value, field.name)) for field in fields(value)}]
    if isinstance(value, dict):
        return [[str(key), _declared(item)] for key, item in value.items()]
    if isinstance(value, tuple | list):
        return [_declared(item) for item in value]
    return getattr(value, "__name__", None) or repr(value)
