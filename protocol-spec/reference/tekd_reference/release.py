"""Chapter 3.1-3.3: schemas, entries, the horizon, and the bucket tree."""

from __future__ import annotations

import base64
import hashlib
import struct
from bisect import bisect_left
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

LIVE = 0xFFFFFFFF  # del_serial of a live entry (3.1.4)
NO_ONSET = -128  # 3.1.2
MAX_DEPTH = 28  # 3.3.1


def H(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def incarnation_of(version: int) -> int:
    return version >> 32


def serial_of(version: int) -> int:
    return version & 0xFFFFFFFF


class Fields(NamedTuple):
    """The fields of an entry; those its schema lacks are 0 (3.8.7). In `gaen-minimal` `risk` is the
    class. Tuples compare in the order of 3.8.7."""

    start: int
    period: int
    report: int
    risk: int = 0
    onset: int = 0


class Schema(NamedTuple):
    """3.1.1"""

    id: int
    name: str
    key_len: int
    fields: struct.Struct
    has_risk: bool
    has_onset: bool

    @property
    def entry_len(self) -> int:
        return self.key_len + self.fields.size

    @property
    def history_len(self) -> int:
        return self.entry_len + 8

    def pack(self, f: Fields) -> bytes:
        """The fields as they stand behind the key."""
        if self.has_onset:
            return self.fields.pack(f.start, f.period, f.report, f.risk, f.onset)
        if self.has_risk:
            return self.fields.pack(f.start, f.period, f.report, f.risk)
        return self.fields.pack(f.start, f.period, f.report)

    def unpack(self, entry: bytes) -> Fields:
        """The fields of a public or history entry."""
        return Fields(*self.fields.unpack_from(entry, self.key_len))

    def check(self, f: Fields) -> None:
        """Whether the fields are any that 3.1.2 and 3.1.3 know."""
        if not 0 <= f.report <= 4:
            raise ValueError("report type %d (3.1.2)" % f.report)
        if not 0 <= f.risk <= (8 if self.has_onset else 3 if self.has_risk else 0):
            raise ValueError("risk %d (3.1.2, 3.1.3)" % f.risk)
        if not (-14 <= f.onset <= 14 or f.onset == NO_ONSET) if self.has_onset else f.onset:
            raise ValueError("onset %d (3.1.2)" % f.onset)

    def parse(self, packed: bytes) -> Fields:
        """Fields as they stand behind a key, refused if no encoder writes them so."""
        f = Fields(*self.fields.unpack(packed))
        self.check(f)
        if self.pack(f) != packed:
            raise ValueError("filling of the fields not zero (3.1.1)")
        return f


SCHEMAS = {
    1: Schema(1, "gaen-minimal", 16, struct.Struct("<IHBB"), True, False),
    2: Schema(2, "gaen-full", 16, struct.Struct("<IHBBb3x"), True, True),
    3: Schema(3, "dp3t", 32, struct.Struct("<IHBx"), False, False),
}

RISK_CLASS = (0, 1, 1, 2, 2, 2, 3, 3, 3)  # 3.1.3


def schema_of(number: int) -> Schema:
    if number not in SCHEMAS:
        raise ValueError("schema %d is unknown (3.1.1)" % number)
    return SCHEMAS[number]


def coarsen(schema: Schema, f: Fields) -> Fields:
    """What of a report becomes public (3.1.3)."""
    if schema.has_onset:
        return f
    if schema.has_risk:
        return Fields(f.start, f.period, f.report, RISK_CLASS[f.risk])
    return Fields(f.start, f.period, f.report)


def entry_json(schema: Schema, entry: bytes) -> Dict[str, Any]:
    f = schema.unpack(entry)
    out: Dict[str, Any] = {
        "key": base64.b64encode(entry[: schema.key_len]).decode(),
        "rollingStartNumber": f.start,
        "rollingPeriod": f.period,
        "reportType": f.report,
    }
    if schema.has_onset:
        out["transmissionRisk"] = f.risk
        out["daysSinceOnset"] = None if f.onset == NO_ONSET else f.onset
    elif schema.has_risk:
        out["riskClass"] = f.risk
    return out


# 3.2 The horizon


def horizon(time: int, retention_days: int) -> int:
    """3.2.1; below zero there is nothing to expire."""
    return max(0, time // 600 - 144 * retention_days)


def unexpired(schema: Schema, entries: Iterable[bytes], limit: int) -> List[bytes]:
    """The entries that are not expired under the horizon `limit` (3.2.1). Works on public and on
    history entries."""
    read, at = struct.Struct("<IH").unpack_from, schema.key_len
    return [e for e in entries if sum(read(e, at)) > limit]


def serials(schema: Schema, history_entry: bytes) -> Tuple[int, int]:
    return struct.unpack_from("<II", history_entry, schema.entry_len)


def history_key(schema: Schema):
    """The order of history entries (3.1.5)."""
    k, at, read = schema.key_len, schema.entry_len, struct.Struct("<I").unpack_from
    return lambda e: (e[:k], read(e, at)[0])


def live_of(schema: Schema, history: Iterable[bytes], serial: int) -> List[bytes]:
    """The public entries of a history that are live at `serial` (3.2.3)."""
    read, at = struct.Struct("<II").unpack_from, schema.entry_len
    out = []
    for e in history:
        added, deleted = read(e, at)
        if added <= serial < deleted:
            out.append(e[:at])
    return out


def history_digest(history: Sequence[bytes]) -> bytes:
    """3.4.1, offset 160."""
    return H(b"".join(history))


# 3.3 The bucket tree


def depth(n: int) -> int:
    """3.3.1"""
    return 0 if n < 8 else min(n.bit_length() - 3, MAX_DEPTH)


def leaf_hash(b: int, p: int, count: int, entries: bytes) -> bytes:
    """3.3.2"""
    return H(struct.pack("<BBII", 0, b, p, count) + entries)


def node_hash(left: bytes, right: bytes) -> bytes:
    """3.3.3"""
    return H(b"\x01" + left + right)


def prefix_of(key: bytes, bits: int) -> int:
    """The number the first `bits` bits of a key spell, at most 32."""
    return int.from_bytes(key[:4], "big") >> (32 - bits)


def subtree(entries: Sequence[bytes], b: int, bits: int, prefix: int) -> bytes:
    """The node at depth `bits` over `prefix`, from all entries under it, in a tree of depth `b`."""
    first = prefix << (b - bits)
    level = []
    at = 0
    for p in range(first, first + (1 << (b - bits))):
        end = at
        while end < len(entries) and prefix_of(entries[end], b) == p:
            end += 1
        level.append(leaf_hash(b, p, end - at, b"".join(entries[at:end])))
        at = end
    if at != len(entries):
        raise ValueError("an entry outside of the prefix")
    while len(level) > 1:
        level = [node_hash(level[i], level[i + 1]) for i in range(0, len(level), 2)]
    return level[0]


def root(entries: Sequence[bytes]) -> bytes:
    """The root of a live set: its public entries in key order (3.3.3, 3.3.4)."""
    return subtree(entries, depth(len(entries)), 0, 0)


def climb(node: bytes, bits: int, prefix: int, siblings: Sequence[bytes]) -> bytes:
    """From the node at depth `bits` up along `siblings`, deepest first (2.4.3)."""
    for i, sibling in enumerate(siblings):
        if (prefix >> i) & 1:
            node = node_hash(sibling, node)
        else:
            node = node_hash(node, sibling)
    return node


def siblings(entries: Sequence[bytes], bits: int, prefix: int, held: int) -> List[bytes]:
    """What 2.4.3 sends along: the siblings from depth `bits` up to depth `held` + 1."""
    b = depth(len(entries))
    out = []
    for level in range(bits, held, -1):
        sibling = (prefix >> (bits - level)) ^ 1
        out.append(subtree(under(entries, level, sibling), b, level, sibling))
    return out


def under(entries: Sequence[bytes], bits: int, prefix: int) -> List[bytes]:
    """The entries whose key begins with the prefix; `entries` is in key order."""
    low = (prefix << (32 - bits)).to_bytes(4, "big") if bits or prefix else b""
    end = (prefix + 1) << (32 - bits)
    at = bisect_left(entries, low)
    if end >> 32:
        return list(entries[at:])
    return list(entries[at : bisect_left(entries, end.to_bytes(4, "big"))])


def find(entries: Sequence[bytes], key: bytes) -> Optional[bytes]:
    at = bisect_left(entries, key)
    if at < len(entries) and entries[at].startswith(key):
        return entries[at]
    return None
