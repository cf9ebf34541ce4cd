"""Chapter 3.8: deltas and fulls, applied and made, of live sets and of histories.

The parts stand in the order of the text: bits and Rice codes (3.8.4), rANS and its frequencies
(3.8.9, 3.8.10), the tuples of entries (3.8.7), the header (3.8.3), and then the two ways through a
whole object. Every count of the header is bounded by the bytes that carry it before any work is
done for it: see `parse`.
"""

from __future__ import annotations

import heapq
import struct
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from .release import LIVE, Fields, Schema, history_key, schema_of, serial_of, unexpired

MAGIC = b"TEKDDLT1"
LIVE_KIND, HISTORY_KIND = 1, 2
CODED, PLAIN, WIDE = 0, 1, 2
TUPLES_MAX = 65_536  # 3.8.7
NARROW_MAX = 1_024  # tuples of a table that is not wide
WIDE_PERIOD_BITS = 14
START_SPAN = 65_535
BITS = {CODED: 16, WIDE: 18}  # frequencies sum to two to the power of these


class DeltaError(ValueError):
    """An object no encoder makes, or one that does not fit what it is applied to."""


# --- Bits (3.8.4) --------------------------------------------------------------------------------


class BitWriter:
    def __init__(self) -> None:
        self._done = bytearray()
        self._bits = 0
        self._count = 0

    def put(self, value: int, count: int) -> None:
        """The `count` low bits of `value`, which has no others, least significant first."""
        self._bits |= value << self._count
        self._count += count
        if self._count >= 2048:
            whole = self._count >> 3
            self._done += (self._bits & ((1 << 8 * whole) - 1)).to_bytes(whole, "little")
            self._bits >>= 8 * whole
            self._count &= 7

    def rice(self, number: int, k: int) -> None:
        zeros = number >> k
        self.put(1 << zeros | (number & ((1 << k) - 1)) << (zeros + 1), zeros + 1 + k)

    def finish(self) -> bytes:
        return bytes(self._done) + self._bits.to_bytes((self._count + 7) >> 3, "little")


class BitReader:
    """Holds a window of the bytes as one number; the lowest bit is the next."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._bits = 0
        self._count = 0

    def _more(self) -> None:
        chunk = self._data[self._at : self._at + 32]
        if not chunk:
            raise DeltaError("section too short (3.8.4)")
        self._bits |= int.from_bytes(chunk, "little") << self._count
        self._count += 8 * len(chunk)
        self._at += len(chunk)

    def take(self, count: int) -> int:
        while self._count < count:
            self._more()
        value = self._bits & ((1 << count) - 1)
        self._bits >>= count
        self._count -= count
        return value

    def rice(self, k: int) -> int:
        zeros = 0
        while not self._bits:
            zeros += self._count
            self._count = 0
            self._more()
        run = (self._bits & -self._bits).bit_length()  # the zeros and the one bit
        self._bits >>= run
        self._count -= run
        return (zeros + run - 1) << k | self.take(k)

    def finish(self) -> None:
        if self._at < len(self._data) or self._count >= 8:
            raise DeltaError("a whole byte unused (3.8.4)")
        if self._bits:
            raise DeltaError("a filling bit is not zero (3.8.4)")


def rice_encode(numbers: Iterable[int], k: int) -> bytes:
    out = BitWriter()
    for n in numbers:
        out.rice(n, k)
    return out.finish()


def rice_decode(section: bytes, k: int, count: int) -> List[int]:
    bits = BitReader(section)
    out = [bits.rice(k) for _ in range(count)]
    bits.finish()
    return out


def best_k(numbers: Sequence[int], candidates: Iterable[int]) -> int:
    """The parameter with the fewest bits, the smallest of equals."""
    return min(sorted(set(candidates)), key=lambda k: sum(n >> k for n in numbers) + k * len(numbers))


# --- rANS (3.8.9, 3.8.10) ------------------------------------------------------------------------

LOW = 1 << 31


def frequencies(counts: Sequence[int], bits: int) -> List[int]:
    """3.8.10"""
    a, total = sum(counts), 1 << bits
    out = [max(1, total * n // a) for n in counts]
    missing = total - sum(out)
    if missing > 0:
        rest = [total * n % a if total * n >= a else 0 for n in counts]
        order = sorted(range(len(counts)), key=lambda s: (-rest[s], s))
        for i in range(missing):
            out[order[i % len(order)]] += 1
    elif missing < 0:
        heap = [(-f, s) for s, f in enumerate(out)]
        heapq.heapify(heap)
        for _ in range(-missing):
            negative, s = heap[0]
            out[s] -= 1
            heapq.heapreplace(heap, (negative + 1, s))
    return out


def _starts(freqs: Sequence[int]) -> List[int]:
    out, c = [], 0
    for f in freqs:
        out.append(c)
        c += f
    return out


def rans_encode(symbols: Sequence[int], freqs: Sequence[int], bits: int) -> bytes:
    starts = _starts(freqs)
    x = LOW
    out: List[int] = []
    for s in reversed(symbols):
        f = freqs[s]
        if x >= f << (63 - bits):
            out.append(x & 0xFFFFFFFF)
            x >>= 32
        x = (x // f << bits) + x % f + starts[s]
    out.reverse()
    return struct.pack("<Q%dI" % len(out), x, *out)


def rans_decode(section: bytes, freqs: Sequence[int], count: int, bits: int) -> List[int]:
    if len(section) < 8 or len(section) % 4:
        raise DeltaError("length of the tuple section (3.8.9)")
    x, *numbers = struct.unpack("<Q%dI" % ((len(section) - 8) // 4), section)
    if not LOW <= x < 1 << 63:
        raise DeltaError("state out of its range (3.8.9)")
    symbol_of: List[int] = []
    for s, f in enumerate(freqs):
        symbol_of += [s] * f
    starts = _starts(freqs)
    out = []
    at, end = 0, len(numbers)
    for _ in range(count):
        m = x & ((1 << bits) - 1)
        s = symbol_of[m]
        x = freqs[s] * (x >> bits) + m - starts[s]
        if x < LOW:
            if at == end:
                raise DeltaError("tuple section too short (3.8.9)")
            x = x << 32 | numbers[at]
            at += 1
        out.append(s)
    if x != LOW or at != end:
        raise DeltaError("tuple section does not end where it should (3.8.9)")
    return out


# --- Tuples (3.8.7) ------------------------------------------------------------------------------

_PLAIN = struct.Struct("<HHBb")
_TABLE = struct.Struct("<HHHBb")


def encode_tuples(tuples: Sequence[Fields]) -> Tuple[int, int, bytes, bytes, int]:
    """`start_base`, `tuple_mode`, the table, the tuple section, and how many are in the table."""
    if not tuples:
        return 0, CODED, b"", b"", 0
    base = min(t.start for t in tuples)
    if max(t.start for t in tuples) - base > START_SPAN:
        raise DeltaError("starts too far apart (3.8.7)")
    if any(t.report > 15 or t.risk > 15 for t in tuples):
        raise DeltaError("report or risk above 15 (3.8.7)")
    distinct = sorted(set(tuples))
    if len(distinct) <= TUPLES_MAX:
        number = {t: s for s, t in enumerate(distinct)}
        symbols = [number[t] for t in tuples]
        counts = [0] * len(distinct)
        for s in symbols:
            counts[s] += 1
        narrow = len(distinct) <= NARROW_MAX or any(t.period >> WIDE_PERIOD_BITS for t in distinct)
        mode = CODED if narrow else WIDE
        freqs = frequencies(counts, BITS[mode])
        table = b"".join(
            _TABLE.pack(
                t.start - base,
                (f - 1) & 0xFFFF,
                t.period | (f - 1) >> 16 << WIDE_PERIOD_BITS,
                t.report | t.risk << 4,
                t.onset,
            )
            for t, f in zip(distinct, freqs)
        )
        section = rans_encode(symbols, freqs, BITS[mode])
        if len(table) + len(section) <= _PLAIN.size * len(tuples):
            return base, mode, table, section, len(distinct)
    plain = b"".join(_PLAIN.pack(t.start - base, t.period, t.report | t.risk << 4, t.onset) for t in tuples)
    return base, PLAIN, b"", plain, 0


def _fields(schema: Schema, base: int, start: int, period: int, byte: int, onset: int) -> Fields:
    f = Fields(base + start, period, byte & 15, byte >> 4, onset)
    if f.start > 0xFFFFFFFF:
        raise DeltaError("start above 2^32 - 1 (3.1.1)")
    try:
        schema.check(f)
    except ValueError as e:
        raise DeltaError("%s, in a tuple (3.8.7)" % e)
    return f


def decode_tuples(schema: Schema, h: "Header", table: bytes, section: bytes) -> List[bytes]:
    """The fields of the added entries, as they stand behind their keys."""
    if h.tuple_mode == PLAIN:
        if table or len(section) != _PLAIN.size * h.added or not h.added:
            raise DeltaError("length of the plain tuples (3.8.7)")
        known: Dict[Tuple[int, ...], bytes] = {}
        out = []
        for raw in _PLAIN.iter_unpack(section):
            if raw not in known:
                known[raw] = schema.pack(_fields(schema, h.start_base, *raw))
            out.append(known[raw])
        return out
    if not h.added:
        if table or section:
            raise DeltaError("tuples without entries (3.8.7)")
        return []
    tuples, freqs = [], []
    for start, frequency, period, byte, onset in _TABLE.iter_unpack(table):
        if h.tuple_mode == WIDE:
            frequency |= period >> WIDE_PERIOD_BITS << 16
            period &= (1 << WIDE_PERIOD_BITS) - 1
        tuples.append(_fields(schema, h.start_base, start, period, byte, onset))
        freqs.append(frequency + 1)
    if any(a >= b for a, b in zip(tuples, tuples[1:])):
        raise DeltaError("the table does not ascend (3.8.7)")
    bits = BITS[h.tuple_mode]
    if sum(freqs) != 1 << bits:
        raise DeltaError("the frequencies do not sum to 2^%d (3.8.7)" % bits)
    packed = [schema.pack(t) for t in tuples]
    return [packed[s] for s in rans_decode(section, freqs, h.added, bits)]


# --- Header (3.8.3) ------------------------------------------------------------------------------

_HEADER = struct.Struct("<8sHHBBBB8sIIQQIIIIIIIIIIIB3sI28s")
HEADER_LEN = 128
assert _HEADER.size == HEADER_LEN


class Header(NamedTuple):
    magic: bytes
    layout: int
    schema: int
    kind: int
    removal_k: int
    key_k: int
    tuple_mode: int
    service: bytes
    set: int
    horizon: int
    from_version: int
    to_version: int
    kept: int
    removed: int
    added: int
    after: int
    start_base: int
    tuples: int
    removal_len: int
    gap_len: int
    tuple_len: int
    serial_len: int
    leaves: int
    serial_bits: int
    reserved1: bytes
    serial_base: int
    reserved2: bytes


class Sections(NamedTuple):
    table: bytes
    removals: bytes
    gaps: bytes
    tails: bytes
    tuples: bytes
    serials: bytes
    leaves: bytes


class Object(NamedTuple):
    """A delta taken apart, none of its sections decoded yet."""

    header: Header
    schema: Schema
    sections: Sections


def length_limit(live: int, key_len: int, held: int, kind: int, log_size: int) -> int:
    """The longest object that is not refused unread (3.8.12)."""
    if kind == LIVE_KIND:
        return 4096 + live * (key_len + 24) + 4 * held
    return max(1 << 30, 3 * (4096 + live * (key_len + 24) + 4 * held + 32 * log_size))


def parse(data: bytes) -> Object:
    """Take an object apart. The lengths of all sections add up to that of the object, and every
    added entry has bytes of its own among them: so no count can ask for more than was received."""
    if len(data) < HEADER_LEN:
        raise DeltaError("shorter than a header (3.8.3)")
    h = Header(*_HEADER.unpack_from(data))
    if h.magic != MAGIC or h.layout != 1:
        raise DeltaError("not a delta of layout 1 (3.8.3)")
    if any(h.reserved1) or any(h.reserved2):
        raise DeltaError("reserved bytes not zero (3.8.3)")
    try:
        schema = schema_of(h.schema)
    except ValueError as e:
        raise DeltaError(str(e))
    if h.kind not in (LIVE_KIND, HISTORY_KIND) or h.tuple_mode not in (CODED, PLAIN, WIDE):
        raise DeltaError("kind or tuple mode (3.8.3)")
    if h.removal_k > 31 or h.key_k > 63 or h.serial_bits > 32:
        raise DeltaError("a parameter out of its range (3.8.5, 3.8.6, 3.8.8)")
    if not h.added and (h.key_k or h.start_base or h.tuple_mode):
        raise DeltaError("parameters for no added entries (3.8.6, 3.8.7)")
    if not h.removed and h.removal_k:
        raise DeltaError("removal_k without removals (3.8.5)")
    if not h.added and not h.removed and (h.serial_bits or h.serial_base):
        raise DeltaError("parameters for no serials (3.8.8)")
    if h.tuples > TUPLES_MAX:
        raise DeltaError("too many tuples (3.8.7)")
    if h.kind == LIVE_KIND and (h.serial_len or h.leaves or h.serial_bits or h.serial_base):
        raise DeltaError("serials or leaves in a live delta (3.8.8)")
    if h.removed > h.kept:
        raise DeltaError("more removed than kept (3.8.5)")
    if h.after != h.kept + h.added - (h.removed if h.kind == LIVE_KIND else 0):
        raise DeltaError("after does not follow from the counts (3.8.8)")
    if h.to_version <= h.from_version or serial_of(h.to_version) < serial_of(h.from_version):
        raise DeltaError("a delta that does not lead forward (3.8.3)")
    lengths = (
        8 * h.tuples,
        h.removal_len,
        h.gap_len,
        h.added * (schema.key_len - 8),
        h.tuple_len,
        h.serial_len,
        32 * h.leaves,
    )
    if HEADER_LEN + sum(lengths) != len(data):
        raise DeltaError("sections do not add up to the object (3.8.3)")
    parts, at = [], HEADER_LEN
    for n in lengths:
        parts.append(data[at : at + n])
        at += n
    return Object(h, schema, Sections(*parts))


# --- Keys and removals (3.8.5, 3.8.6) ------------------------------------------------------------


def encode_removals(indices: Sequence[int]) -> Tuple[int, bytes]:
    if not indices:
        return 0, b""
    gaps = [indices[0]] + [b - a - 1 for a, b in zip(indices, indices[1:])]
    k = best_k(gaps, range(32))
    return k, rice_encode(gaps, k)


def decode_removals(h: Header, section: bytes) -> List[int]:
    out, at = [], -1
    for gap in rice_decode(section, h.removal_k, h.removed):
        at += gap + 1
        if at >= h.kept:
            raise DeltaError("a removal past the kept entries (3.8.5)")
        out.append(at)
    return out


def encode_keys(keys: Sequence[bytes]) -> Tuple[int, bytes, bytes]:
    if not keys:
        return 0, b"", b""
    heads = [int.from_bytes(k[:8], "big") for k in keys]
    gaps = [heads[0]] + [b - a for a, b in zip(heads, heads[1:])]
    top = 64 - (len(keys).bit_length() - 1)
    k = best_k(gaps, (min(63, max(0, top - i)) for i in (0, 1, 2)))
    return k, rice_encode(gaps, k), b"".join(key[8:] for key in keys)


def decode_keys(h: Header, key_len: int, gaps: bytes, tails: bytes) -> List[bytes]:
    n = key_len - 8
    out, head = [], 0
    at = 0
    for gap in rice_decode(gaps, h.key_k, h.added):
        head += gap
        if head >> 64:
            raise DeltaError("a key above 2^64 - 1 (3.8.6)")
        out.append(head.to_bytes(8, "big") + tails[at : at + n])
        at += n
    if h.kind == LIVE_KIND and any(a >= b for a, b in zip(out, out[1:])):
        raise DeltaError("added keys do not ascend (3.8.6)")
    return out


# --- Live sets (3.8.1) ---------------------------------------------------------------------------


def apply_live(data: bytes, base: Sequence[bytes]) -> List[bytes]:
    """The live set an object of kind 1 leads to, from the one it starts from; public entries in key
    order. What comes out counts for nothing until it matches a checkpoint (3.7.1)."""
    h, schema, sections = obj = parse(data)
    if h.kind != LIVE_KIND:
        raise DeltaError("not a delta of a live set")
    kept = _kept(obj, base)
    removed = set(decode_removals(h, sections.removals))
    rest = [e for i, e in enumerate(kept) if i not in removed] if removed else kept
    keys = decode_keys(h, schema.key_len, sections.gaps, sections.tails)
    fields = decode_tuples(schema, h, sections.table, sections.tuples)
    held = {e[: schema.key_len] for e in rest}
    if not held.isdisjoint(keys):
        raise DeltaError("an addition that is already there (3.8.6)")
    out = rest + [k + f for k, f in zip(keys, fields)]
    out.sort()
    return out


def _kept(obj: Object, base: Sequence[bytes]) -> List[bytes]:
    h = obj.header
    if h.from_version == 0 and base:
        raise DeltaError("a full starts from nothing (3.8.1)")
    kept = unexpired(obj.schema, base, h.horizon)
    if len(kept) != h.kept:
        raise DeltaError("%d entries kept, the object says %d (3.8.3)" % (len(kept), h.kept))
    return kept


def encode_live(
    schema: Schema,
    service: bytes,
    set_id: int,
    from_version: int,
    to_version: int,
    horizon: int,
    history: Sequence[bytes],
) -> bytes:
    """The delta between the live sets of two versions, from the history of the newer. It takes the
    history because entries are those of 3.1.5: a key that was withdrawn and reinstated is removed
    and added, also where its fields are the same."""
    at, old, new = schema.entry_len, serial_of(from_version), serial_of(to_version)
    kept = 0
    removed: List[int] = []
    added: List[bytes] = []
    for e in unexpired(schema, history, horizon):
        add_serial, del_serial = _SERIALS.unpack_from(e, at)
        if from_version and add_serial <= old < del_serial:
            if not new < del_serial:
                removed.append(kept)
            kept += 1
        elif add_serial <= new < del_serial:
            added.append(e[:at])
    return _pack(schema, LIVE_KIND, service, set_id, from_version, to_version, horizon, kept, removed, added)


def _pack(
    schema: Schema,
    kind: int,
    service: bytes,
    set_id: int,
    from_version: int,
    to_version: int,
    horizon: int,
    kept: int,
    removed: Sequence[int],
    added: Sequence[bytes],
    serials: Tuple[int, int, bytes] = (0, 0, b""),
    leaves: Sequence[bytes] = (),
) -> bytes:
    removal_k, removals = encode_removals(removed)
    key_k, gaps, tails = encode_keys([e[: schema.key_len] for e in added])
    start_base, mode, table, tuples, table_count = encode_tuples([schema.unpack(e) for e in added])
    serial_bits, serial_base, serial_section = serials
    after = kept + len(added) - (len(removed) if kind == LIVE_KIND else 0)
    header = Header(
        MAGIC, 1, schema.id, kind, removal_k, key_k, mode, service, set_id, horizon, from_version,
        to_version, kept, len(removed), len(added), after, start_base, table_count, len(removals),
        len(gaps), len(tuples), len(serial_section), len(leaves), serial_bits, bytes(3),
        serial_base, bytes(28),
    )  # fmt: skip
    return (
        _HEADER.pack(*header) + table + removals + gaps + tails + tuples + serial_section + b"".join(leaves)
    )


# --- Histories (3.8.8) ---------------------------------------------------------------------------

_SERIALS = struct.Struct("<II")


def apply_history(data: bytes, base: Sequence[bytes]) -> Tuple[List[bytes], List[bytes]]:
    """The history an object of kind 2 leads to, and the leaves of the log it brings."""
    h, schema, sections = obj = parse(data)
    if h.kind != HISTORY_KIND:
        raise DeltaError("not a delta of a history")
    kept = list(_kept(obj, base))
    removed = decode_removals(h, sections.removals)
    keys = decode_keys(h, schema.key_len, sections.gaps, sections.tails)
    fields = decode_tuples(schema, h, sections.table, sections.tuples)
    bits = BitReader(sections.serials)
    oldest, newest = serial_of(h.from_version), serial_of(h.to_version)

    def number(above: int) -> int:
        n = h.serial_base + bits.take(h.serial_bits)
        if not above < n <= newest:
            raise DeltaError("a serial from outside of what the delta spans (3.8.8)")
        return n

    at = schema.entry_len
    for i in removed:
        entry = kept[i]
        if _SERIALS.unpack_from(entry, at)[1] != LIVE:
            raise DeltaError("a removed entry was not live (3.8.8)")
        kept[i] = entry[: at + 4] + struct.pack("<I", number(oldest))
    added = []
    for key, rest in zip(keys, fields):
        add_serial = number(oldest)
        del_serial = LIVE if bits.take(1) else number(add_serial)
        added.append(key + rest + _SERIALS.pack(add_serial, del_serial))
    bits.finish()
    order = history_key(schema)
    orders = [order(e) for e in added]
    if any(a >= b for a, b in zip(orders, orders[1:])):
        raise DeltaError("additions out of order (3.8.6)")
    if not {order(e) for e in kept}.isdisjoint(orders):
        raise DeltaError("an addition that is already there (3.8.6)")
    out = kept + added
    out.sort(key=order)
    leaves = [sections.leaves[i : i + 32] for i in range(0, len(sections.leaves), 32)]
    return out, leaves


def encode_history(
    schema: Schema,
    service: bytes,
    set_id: int,
    from_version: int,
    to_version: int,
    horizon: int,
    base: Sequence[bytes],
    target: Sequence[bytes],
    leaves: Sequence[bytes] = (),
) -> bytes:
    """The delta between two histories; `leaves` are those of the log that the older lacks."""
    at, order = schema.entry_len, history_key(schema)
    kept = unexpired(schema, base, horizon)
    now = {order(e): e for e in target}
    removed: List[int] = []
    numbers: List[Tuple[int, ...]] = []
    for i, e in enumerate(kept):
        if _SERIALS.unpack_from(e, at)[1] == LIVE:
            deleted = _SERIALS.unpack_from(now[order(e)], at)[1]
            if deleted != LIVE:
                removed.append(i)
                numbers.append((deleted,))
    added = [e for e in target if _SERIALS.unpack_from(e, at)[0] > serial_of(from_version)]
    numbers += [_SERIALS.unpack_from(e, at) for e in added]
    serials = _encode_serials(numbers)
    return _pack(
        schema, HISTORY_KIND, service, set_id, from_version, to_version, horizon,
        len(kept), removed, added, serials, leaves,
    )  # fmt: skip


def _encode_serials(numbers: Sequence[Tuple[int, ...]]) -> Tuple[int, int, bytes]:
    """`serial_bits`, `serial_base` and the section: `(del,)` of removed, then `(add, del)` of added
    entries."""
    written = [n for group in numbers for n in group if n != LIVE]
    if not written:
        return 0, 0, b""
    base = min(written)
    width = (max(written) - base).bit_length()
    out = BitWriter()
    for group in numbers:
        out.put(group[0] - base, width)
        if len(group) == 2:
            live = group[1] == LIVE
            out.put(int(live), 1)
            if not live:
                out.put(group[1] - base, width)
    return width, base, out.finish()


# --- Both ----------------------------------------------------------------------------------------


class Expected(NamedTuple):
    """What a receiver knows an object must say of itself."""

    service: bytes
    set: int
    kind: int
    from_version: int
    to_version: int
    schema: int
    horizon: Optional[int]  # None for an object on the way to the version of the checkpoint


def check_header(data: bytes, want: Expected) -> Header:
    h = parse(data).header
    if (h.service, h.set, h.kind, h.schema) != (want.service, want.set, want.kind, want.schema):
        raise DeltaError("an object of another set, kind or schema (3.8.3)")
    if (h.from_version, h.to_version) != (want.from_version, want.to_version):
        raise DeltaError("an object between other versions (3.8.3)")
    if want.horizon is not None and h.horizon != want.horizon:
        raise DeltaError("another horizon than the checkpoint's (3.8.3)")
    return h
