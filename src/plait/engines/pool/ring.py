"""Which replica a key belongs to, and who comes next: rendezvous hashing. Pure.

Every pair of a key and a replica has a weight, and a key belongs to the replica with the highest
one (Thaler and Ravishankar 1998). If a replica goes, only its own keys move, each to the next in
its own order, so they spread evenly; all who know the same names agree without talking.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b


def order(key: str, names: Iterable[str]) -> list[str]:
    """``names`` as ``key`` prefers them."""
    return sorted(names, key=lambda name: (_weight(key, name), name), reverse=True)


def _weight(key: str, name: str) -> bytes:
    return blake2b(f"{key}\0{name}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
