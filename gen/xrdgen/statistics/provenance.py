"""Where statistics come from: sources, counts, citations, hashes of the inputs and of the families seen."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from xrdcommon.errors import InputError

FAMILY_SALT = "xrdstream structure family 1"
"""Salt of the family hashes: fixed, so that statistics of different sources can be merged and compared."""

HASH_DIGITS = 16


def family_hash(key: str, salt: str = FAMILY_SALT) -> str:
    """Return the salted hash (16 hexadecimal digits) of a family key."""
    return hashlib.sha256(f"{salt}\0{key}".encode()).hexdigest()[:HASH_DIGITS]


def family_record(keys: Iterable[str]) -> dict[str, Any]:
    """Return the header's record of the families seen."""
    return {"salt": FAMILY_SALT, "hashes": sorted({family_hash(key) for key in keys})}


def merge_headers(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Join the provenance of two statistics.

    Raises:
        InputError: the families of the two were hashed with different salts.

    """
    families = [header.get("families", {}) for header in (one, other)]
    salts = {record["salt"] for record in families if record.get("hashes")}
    if len(salts) > 1:
        raise InputError(
            "statistics with different salts of the family hashes cannot be merged; build one of them again"
        )
    counts: dict[str, dict[str, int]] = {}
    for header in (one, other):
        for name, record in header.get("counts", {}).items():
            total = counts.setdefault(name, {})
            for key, n in record.items():
                total[key] = total.get(key, 0) + n
    return {
        "name": " + ".join(dict.fromkeys(str(h["name"]) for h in (one, other) if h.get("name"))),
        "sources": _union(one, other, "sources"),
        "citations": sorted({text for header in (one, other) for text in header.get("citations", [])}),
        "inputs": _union(one, other, "inputs"),
        "filters": one.get("filters") or other.get("filters", {}),
        "counts": counts,
        "licensed": bool(one.get("licensed") or other.get("licensed")),
        "families": {
            "salt": next(iter(salts), FAMILY_SALT),
            "hashes": sorted({item for record in families for item in record.get("hashes", ())}),
        },
    }


def _union(one: dict[str, Any], other: dict[str, Any], name: str) -> list[Any]:
    """Return the entries of both lists, each once, in order of appearance."""
    joined: list[Any] = []
    for item in [*one.get(name, []), *other.get(name, [])]:
        if item not in joined:
            joined.append(item)
    return joined
