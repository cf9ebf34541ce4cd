"""Chapter 3.4.5: the log of checkpoints, a Merkle tree of RFC 6962."""

from __future__ import annotations

import hashlib
from typing import List, Sequence


def H(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


EMPTY = H(b"")


def leaf(checkpoint: bytes) -> bytes:
    return H(b"\x00" + checkpoint)


def node(left: bytes, right: bytes) -> bytes:
    return H(b"\x01" + left + right)


def _split(n: int) -> int:
    """The largest power of two below n, for n > 1."""
    return 1 << (n - 1).bit_length() - 1


def root(leaves: Sequence[bytes]) -> bytes:
    """MTH over leaf hashes (RFC 6962 section 2.1)."""
    if not leaves:
        return EMPTY
    level = list(leaves)
    while len(level) > 1:
        up = [node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        if len(level) & 1:
            up.append(level[-1])
        level = up
    return level[0]


def prove_inclusion(leaves: Sequence[bytes], index: int) -> List[bytes]:
    """PATH(m, D[n]) (RFC 6962 section 2.1.1)."""
    if len(leaves) <= 1:
        return []
    k = _split(len(leaves))
    if index < k:
        return prove_inclusion(leaves[:k], index) + [root(leaves[k:])]
    return prove_inclusion(leaves[k:], index - k) + [root(leaves[:k])]


def prove_consistency(leaves: Sequence[bytes], first: int) -> List[bytes]:
    """PROOF(m, D[n]) (RFC 6962 section 2.1.2); nothing for m = 0 and m = n."""
    if first in (0, len(leaves)):
        return []
    return _subproof(first, leaves, True)


def _subproof(m: int, leaves: Sequence[bytes], whole: bool) -> List[bytes]:
    n = len(leaves)
    if m == n:
        return [] if whole else [root(leaves)]
    k = _split(n)
    if m <= k:
        return _subproof(m, leaves[:k], whole) + [root(leaves[k:])]
    return _subproof(m - k, leaves[k:], False) + [root(leaves[:k])]


def check_inclusion(leaf_hash: bytes, index: int, size: int, path: Sequence[bytes], top: bytes) -> bool:
    """Whether the leaf is number `index` of the tree with `size` leaves and root `top`."""
    if not 0 <= index < size:
        return False
    at, last, r = index, size - 1, leaf_hash
    for p in path:
        if last == 0:
            return False
        if at & 1 or at == last:
            r = node(p, r)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            r = node(r, p)
        at >>= 1
        last >>= 1
    return last == 0 and r == top


def check_consistency(first: int, second: int, path: Sequence[bytes], old: bytes, new: bytes) -> bool:
    """Whether the tree of `second` leaves with root `new` begins with that of `first` and `old`."""
    if first > second:
        return False
    if first == second:
        return not path and old == new
    if first == 0:
        return not path and old == EMPTY
    path = list(path)
    if first & (first - 1) == 0:  # the old tree is one whole subtree: its root is known
        path.insert(0, old)
    if not path:
        return False
    at, last = first - 1, second - 1
    while at & 1:
        at >>= 1
        last >>= 1
    r_old = r_new = path[0]
    for p in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            r_old = node(p, r_old)
            r_new = node(p, r_new)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            r_new = node(r_new, p)
        at >>= 1
        last >>= 1
    return last == 0 and r_old == old and r_new == new
