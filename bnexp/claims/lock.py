"""Declarations are locked: changing one without saying why fails a test."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from bnexp.claims.base import Claim
from bnexp.records.jsonfile import write_json

LOCK = Path(__file__).with_name("claims.lock.json")


def declaration_hash(claim: Claim) -> str:
    """Hash of everything a claim declares: statement, formula, runs, endpoints and rules; not of its code or drawing."""
    text = json.dumps(_declared(claim), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def read_lock() -> dict[str, str]:
    """Claim id to the hash of its declaration as it was locked."""
    return json.loads(LOCK.read_text(encoding="utf-8")) if LOCK.is_file() else {}


def lock(claim: Claim) -> None:
    """Accept a claim's declaration as it stands."""
    write_json(LOCK, dict(sorted({**read_lock(), claim.id: declaration_hash(claim)}.items())))


def _declared(value: Any) -> Any:
    """Dataclasses as their class and fields, mappings with their order, functions by name only."""
    if is_dataclass(value) and not isinstance(value, type):
        return [type(value).__name__, {field.name: _declared(getattr(value, field.name)) for field in fields(value)}]
    if isinstance(value, dict):
        return [[str(key), _declared(item)] for key, item in value.items()]
    if isinstance(value, tuple | list):
        return [_declared(item) for item in value]
    return getattr(value, "__name__", None) or repr(value)
