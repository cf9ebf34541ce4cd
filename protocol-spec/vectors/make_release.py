#!/usr/bin/env python3
"""Makes release.json: vectors of protocol-spec/3-release.md, clauses 3.1-3.3, 3.7 and 3.8.

Written from the text of the specification alone and with no regard for speed, so that two readings
of the text meet in the vectors. Run it in this folder: `python3 make_release.py`; it writes the same
bytes every time.
"""

import hashlib
import json
import struct

LIVE = 0xFFFFFFFF
NO_ONSET = -128
SERVICE = bytes.fromhex("a1b2c3d4e5f60718")
SET = 7
SCHEMAS = {1: ("gaen-minimal", 16), 2: ("gaen-full", 16), 3: ("dp3t", 32)}


def h(data):
    return hashlib.sha256(data).digest()


# --- 3.1 schemas -----------------------------------------------------------------------------


def coarsen(schema, fields):
    start, period, report, risk, onset = fields
    if schema == 1:
        return (start, period, report, 0 if risk == 0 else 1 if risk <= 2 else 2 if risk <= 5 else 3, 0)
    if schema == 2:
        return fields
    return (start, period, report, 0, 0)


def field_bytes(schema, fields):
    start, period, report, risk, onset = fields
    if schema == 1:
        return struct.pack("<IHBB", start, period, report, risk)
    if schema == 2:
        return struct.pack("<IHBBb3x", start, period, report, risk, onset)
    return struct.pack("<IHBx", start, period, report)


class Entry:
    def __init__(self, schema, key, fields, add, delete=LIVE):
        self.schema, self.key, self.fields, self.add, self.delete = schema, key, fields, add, delete

    def public(self):
        return self.key + field_bytes(self.schema, self.fields)

    def history(self):
        return self.public() + struct.pack("<II", self.add, self.delete)

    def expired(self, horizon):
        return not self.fields[0] + self.fields[1] > horizon

    def live_at(self, serial):
        return self.add <= serial < self.delete


# --- 3.3 bucket tree -------------------------------------------------------------------------


def depth(n):
    return 0 if n < 8 else min(n.bit_length() - 1 - 2, 28)


def tree_root(publics):
    b = depth(len(publics))
    nodes = []
    for p in range(1 << b):
        bucket = [e for e in publics if int.from_bytes(e[:4], "big") >> (32 - b) == p]
        nodes.append(h(b"\0" + struct.pack("<BII", b, p, len(bucket)) + b"".join(bucket)))
    while len(nodes) > 1:
        nodes = [h(b"\1" + nodes[i] + nodes[i + 1]) for i in range(0, len(nodes), 2)]
    return b, nodes[0]


# --- 3.8.4 bit strings and Rice codes: a list of bits, first bit first -----------------------


def plain_bits(x, width):
    return [x >> i & 1 for i in range(width)]


def rice_bits(x, k):
    return [0] * (x >> k) + [1] + plain_bits(x & ((1 << k) - 1), k)


def to_bytes(bits):
    out = bytearray((len(bits) + 7) // 8)
    for i, bit in enumerate(bits):
        out[i // 8] |= bit << (i % 8)
    return bytes(out)


def rice_section(numbers, ks):
    """The parameter of `ks` with the fewest bits, the smallest of equals, and the section."""
    length = lambda k: sum((x >> k) + 1 + k for x in numbers)
    k = min(sorted(ks), key=lambda k: (length(k), k))
    return k, to_bytes([bit for x in numbers for bit in rice_bits(x, k)])


# --- 3.8.9, 3.8.10 frequencies and rANS ------------------------------------------------------


def frequencies(counts, bits=16):
    a, total = sum(counts), 2**bits
    f = [max(1, total * n // a) for n in counts]
    if sum(f) < total:
        rest = [total * n % a if total * n // a >= 1 else 0 for n in counts]
        order = sorted(range(len(counts)), key=lambda s: (-rest[s], s))
        i = 0
        while sum(f) < total:
            f[order[i % len(order)]] += 1
            i += 1
    while sum(f) > total:
        f[max(range(len(f)), key=lambda s: (f[s], -s))] -= 1
    return f


def rans(symbols, f, bits=16):
    c = [sum(f[:s]) for s in range(len(f))]
    x, out = 2**31, []
    for s in reversed(symbols):
        if x >= 2**(63 - bits) * f[s]:
            out.append(x % 2**32)
            x //= 2**32
        x = x // f[s] * 2**bits + x % f[s] + c[s]
    return struct.pack("<Q", x) + b"".join(struct.pack("<I", w) for w in reversed(out))


# --- 3.8 deltas ------------------------------------------------------------------------------


def tuple_sections(tuples):
    """Mode, start_base, rows, table, section."""
    if not tuples:
        return 0, 0, 0, b"", b""
    base = min(t[0] for t in tuples)
    low = lambda t: struct.pack("<HBb", t[1], t[2] | t[3] << 4, t[4])
    plain = b"".join(struct.pack("<H", t[0] - base) + low(t) for t in tuples)
    distinct = sorted(set(tuples))
    assert len(distinct) <= 1024, "no vector has so many tuples that its table is wide"
    if len(distinct) <= 65536:
        f = frequencies([tuples.count(t) for t in distinct])
        rows = [struct.pack("<HH", t[0] - base, f[s] - 1) + low(t) for s, t in enumerate(distinct)]
        table = b"".join(rows)
        section = rans([distinct.index(t) for t in tuples], f)
        if len(table) + len(section) <= len(plain):
            return 0, base, len(distinct), table, section
    return 1, base, 0, b"", plain


def delta(kind, schema, horizon, start, to, history, leaves=()):
    """The delta of a kind from version `start` to version `to`, from the entries of version `to`."""
    v, n = start & 0xFFFFFFFF, to & 0xFFFFFFFF
    entries = [e for e in history if not e.expired(horizon)]
    was_live = lambda e: start != 0 and e.live_at(v)
    if kind == 1:
        kept = [e for e in entries if was_live(e)]
        added = [e for e in entries if e.live_at(n) and not was_live(e)]
    else:
        kept = [e for e in entries if start != 0 and e.add <= v]
        added = [e for e in entries if not (start != 0 and e.add <= v)]
    removed = [i for i, e in enumerate(kept) if was_live(e) and not e.live_at(n)]

    removal_k, removals = 0, b""
    if removed:
        gaps = [i - j - 1 for i, j in zip(removed, [-1] + removed)]
        removal_k, removals = rice_section(gaps, range(32))
    key_k, gap_section = 0, b""
    if added:
        heads = [int.from_bytes(e.key[:8], "big") for e in added]
        log = len(added).bit_length() - 1
        ks = [max(0, min(63, k - log)) for k in (62, 63, 64)]
        key_k, gap_section = rice_section([a - b for a, b in zip(heads, [0] + heads)], ks)
    tails = b"".join(e.key[8:] for e in added)
    mode, start_base, rows, table, tuples = tuple_sections([e.fields for e in added])

    serial_bits, serial_base, serials = 0, 0, b""
    if kind == 2 and (removed or added):
        numbers = [kept[i].delete for i in removed]
        numbers += [s for e in added for s in (e.add, e.delete) if s != LIVE]
        serial_base = min(numbers)
        serial_bits = (max(numbers) - serial_base).bit_length()
        bits = []
        for i in removed:
            bits += plain_bits(kept[i].delete - serial_base, serial_bits)
        for e in added:
            bits += plain_bits(e.add - serial_base, serial_bits)
            bits += [1] if e.delete == LIVE else [0] + plain_bits(e.delete - serial_base, serial_bits)
        serials = to_bytes(bits)

    after = len(kept) + len(added) - (len(removed) if kind == 1 else 0)
    header = b"TEKDDLT1" + struct.pack("<HHBBBB", 1, schema, kind, removal_k, key_k, mode)
    header += SERVICE + struct.pack("<IIQQ", SET, horizon, start, to)
    header += struct.pack("<IIIIII", len(kept), len(removed), len(added), after, start_base, rows)
    header += struct.pack("<IIIII", len(removals), len(gap_section), len(tuples), len(serials), len(leaves))
    header += struct.pack("<B3xI28x", serial_bits, serial_base)
    assert len(header) == 128
    sections = table + removals + gap_section + tails + tuples + serials + b"".join(leaves)
    return header + sections


# --- made-up sets ----------------------------------------------------------------------------


def make_key(schema, label, i):
    return h(f"{label} {i}".encode())[: SCHEMAS[schema][1]]


def make_fields(schema, i, kinds=3):
    """One of few tuples, by the number of the key."""
    i = h(b"fields %d" % i)[0] % kinds
    onset = NO_ONSET if i % 2 else i - 3
    return coarsen(schema, (2660256 + 144 * i, 144, 1 + i % 4, i % 9, onset))


def make_history(schema, label, count, lifetimes=((1, LIVE),), kinds=3):
    entries = []
    for i in range(count):
        add, delete = lifetimes[i % len(lifetimes)]
        entries.append(Entry(schema, make_key(schema, label, i), make_fields(schema, i, kinds), add, delete))
    return sort(entries)


def sort(entries):
    return sorted(entries, key=lambda e: (e.key, e.add))


def live_bytes(entries, horizon, version):
    if version == 0:
        return b""
    return b"".join(e.public() for e in entries if not e.expired(horizon) and e.live_at(version & 0xFFFFFFFF))


def history_bytes(entries, horizon, version):
    """The history of a version: what was withdrawn later is live in it."""
    v = version & 0xFFFFFFFF
    out = b""
    for e in entries:
        if version and not e.expired(horizon) and e.add <= v:
            out += Entry(e.schema, e.key, e.fields, e.add, e.delete if e.delete <= v else LIVE).history()
    return out


# --- vectors ---------------------------------------------------------------------------------


def schema_vectors():
    cases = []
    for schema in SCHEMAS:
        for fields in [(2660256, 144, 1, r, o) for r, o in zip(range(9), (NO_ONSET, -14, -3, -1, 0, 1, 3, 13, 14))]:
            coarse = coarsen(schema, fields)
            cases.append({"schema": schema, "fields": fields, "coarsened": coarse, "bytes": field_bytes(schema, coarse)})
    entries = []
    for schema in SCHEMAS:
        e = Entry(schema, make_key(schema, "entry", schema), make_fields(schema, 2), 5, 9)
        entries.append({"schema": schema, "key": e.key, "fields": e.fields, "add_serial": 5, "del_serial": 9,
                        "public": e.public(), "history": e.history()})
    refused = [
        {"schema": 1, "bytes": struct.pack("<IHBB", 1, 144, 5, 0), "clause": "3.1.2", "why": "report type 5"},
        {"schema": 1, "bytes": struct.pack("<IHBB", 1, 144, 1, 4), "clause": "3.1.3", "why": "risk class 4"},
        {"schema": 2, "bytes": struct.pack("<IHBBb3x", 1, 144, 1, 9, 0), "clause": "3.1.2", "why": "risk 9"},
        {"schema": 2, "bytes": struct.pack("<IHBBb3x", 1, 144, 1, 1, 15), "clause": "3.1.2", "why": "onset 15"},
        {"schema": 2, "bytes": struct.pack("<IHBBb3x", 1, 144, 1, 1, -127), "clause": "3.1.2", "why": "onset -127"},
        {"schema": 2, "bytes": struct.pack("<IHBBbBBB", 1, 144, 1, 1, 0, 0, 0, 1), "clause": "3.1.1", "why": "padding"},
        {"schema": 3, "bytes": struct.pack("<IHBB", 1, 144, 1, 1), "clause": "3.1.1", "why": "padding"},
    ]
    expiry = [{"schema": 1, "bytes": field_bytes(1, (s, p, 0, 0, 0)), "horizon": hz, "expired": not s + p > hz}
              for s, p, hz in ((100, 44, 143), (100, 44, 144), (100, 44, 145), (LIVE, 1, LIVE), (LIVE, 0, LIVE))]
    return {"coarsening": cases, "entries": entries, "refused": refused, "expiry": expiry}


def tree_vectors():
    depths = [(n, depth(n)) for n in (0, 1, 7, 8, 9, 15, 16, 31, 32, 1000, 1 << 20, (1 << 31) - 1, 1 << 31, 1 << 40)]
    trees = []
    for schema in SCHEMAS:
        for count in (0, 1, 7, 8, 100):
            entries = make_history(schema, f"tree {schema}", count, kinds=7)
            b, root = tree_root([e.public() for e in entries])
            trees.append({"schema": schema, "count": count, "b": b, "root": root,
                          "entries": b"".join(e.public() for e in entries)})
    return {"depths": depths, "trees": trees}


def code_vectors():
    rice = []
    for k, numbers in ((0, [0, 1, 2, 7, 70]), (3, [0, 7, 8, 63, 1]), (31, [0, 2**31 - 1, 2**32 - 1]),
                       (62, [2**64 - 1, 0, 2**63]), (63, [2**64 - 1, 1])):
        rice.append({"k": k, "numbers": numbers, "bytes": to_bytes([b for x in numbers for b in rice_bits(x, k)])})
    removal = []
    for gaps in ([0], [0, 0, 0], [5], [1000], [0, 1000, 3, 17], [2**32 - 1]):
        k, section = rice_section(gaps, range(32))
        removal.append({"gaps": gaps, "k": k, "bytes": section})
    models = []
    for counts in ([1], [1, 1, 1], [2, 5], [99, 1], [1, 10_000_000], [3, 3, 3, 3, 3, 3, 3], [1] * 40 + [10_000_000],
                   [7, 1, 1, 500, 20]):
        for bits in (16, 18):
            models.append({"counts": counts, "bits": bits, "frequencies": frequencies(counts, bits)})
    codes = []
    for counts, symbols in (([4], [0, 0, 0, 0]), ([3, 2, 1], [0, 1, 0, 2, 1, 0]),
                            ([60, 30, 10], [h(b"symbol %d" % i)[0] % 3 for i in range(100)])):
        for bits in (16, 18):
            f = frequencies(counts, bits)
            codes.append({"frequencies": f, "bits": bits, "symbols": symbols, "bytes": rans(symbols, f, bits)})
    return {"rice": rice, "removals": removal, "frequencies": models, "rans": codes}


INCARNATION = 2 << 32


def delta_vectors():
    vectors = []

    def live(name, schema, horizon, base_horizon, start, to, entries):
        result = live_bytes(entries, horizon, to)
        size = len(result) // (len(entries[0].public()) if entries else 24)
        publics = [result[i * len(result) // size: (i + 1) * len(result) // size] for i in range(size)]
        vectors.append({
            "name": name, "kind": 1, "schema": schema, "horizon": horizon, "from": start, "to": to,
            "history": history_bytes(entries, horizon, to), "leaves": [],
            "base": live_bytes(entries, base_horizon, start), "delta": delta(1, schema, horizon, start, to, entries),
            "result": result, "count": size, "root": tree_root(publics)[1]})

    def history(name, schema, horizon, base_horizon, start, to, entries, leaves):
        result = history_bytes(entries, horizon, to)
        live_now = [e.public() for e in entries if not e.expired(horizon) and e.live_at(to & 0xFFFFFFFF)]
        vectors.append({
            "name": name, "kind": 2, "schema": schema, "horizon": horizon, "from": start, "to": to,
            "history": result, "leaves": leaves, "base": history_bytes(entries, base_horizon, start),
            "delta": delta(2, schema, horizon, start, to, entries, leaves),
            "result": result, "count": len(live_now), "root": tree_root(live_now)[1], "digest": h(result)})

    mixed = ((1, LIVE), (1, 3), (2, LIVE), (3, LIVE), (1, LIVE), (2, 3), (1, 2))
    v = lambda serial: INCARNATION | serial
    for schema, (name, _) in SCHEMAS.items():
        live(f"full of no key, {name}", schema, 0, 0, 0, v(1), [])
        for count in (1, 20):
            live(f"full of {count} keys, {name}", schema, 0, 0, 0, v(1), make_history(schema, "full", count))
        lives = make_history(schema, "mixed", 35, mixed)
        live(f"additions and removals, {name}", schema, 0, 0, v(1), v(3), lives)
        live(f"additions, removals and a horizon that moved, {name}", schema, 2660256 + 144, 0, v(1), v(3), lives)
        history(f"history from nothing, {name}", schema, 0, 0, 0, v(3), lives, [h(b"leaf 0"), h(b"leaf 1")])
        history(f"history from version 1, {name}", schema, 0, 0, v(1), v(3), lives, [h(b"leaf 0"), h(b"leaf 1")])
        history(f"history with a horizon that moved, {name}", schema, 2660256 + 144, 0, v(2), v(3), lives, [])
    one = make_history(1, "unchanged", 9)
    live("nothing changed", 1, 0, 0, v(1), v(2), one)
    history("history in which nothing changed", 1, 0, 0, v(1), v(2), one, [h(b"leaf 1")])
    live("everything expired", 1, 3000000, 0, v(1), v(2), one)
    live("everything withdrawn", 1, 0, 0, v(1), v(2), make_history(1, "gone", 9, ((1, 2),)))
    again = sort(one + [Entry(1, e.key, (2660256, 100, 2, 1, 0), 3) for e in one[:4]])
    for e in again:
        if e.add == 1 and e.key in [o.key for o in one[:4]]:
            e.delete = 2
    live("keys withdrawn and reinstated", 1, 0, 0, v(1), v(3), again)
    history("history of keys withdrawn and reinstated", 1, 0, 0, v(1), v(3), again, [])
    history("history from nothing of keys withdrawn and reinstated", 1, 0, 0, 0, v(3), again, [])
    twins = [Entry(1, bytes([9] * 8 + [i] * 8), make_fields(1, i), 1) for i in range(4)]
    live("keys that share their first eight bytes", 1, 0, 0, 0, v(1), twins)
    edges = [Entry(1, bytes(16), make_fields(1, 1), 1), Entry(1, b"\xff" * 16, make_fields(1, 2), 1)]
    live("the least and the greatest key", 1, 0, 0, 0, v(1), edges)
    spread = [Entry(1, make_key(1, "spread", i), (100 + 5 * i, i, 1, 0, 0), 1) for i in range(20)]
    live("a tuple for every key", 1, 0, 0, 0, v(1), sort(spread))
    edge = [Entry(1, make_key(1, "edge", i), (LIVE - 65535 * (i % 2), 1, 0, 0, 0), 1) for i in range(2)]
    live("starts as far apart as can be", 1, 0, 0, 0, v(1), sort(edge))
    live("from another incarnation", 1, 0, 0, (1 << 32) | 1, v(3), make_history(1, "mixed", 35, mixed))
    dominant = make_history(2, "dominant", 300, kinds=1)
    dominant[7].fields = make_fields(2, 1, 9)
    live("one dominant tuple", 2, 0, 0, 0, v(1), dominant)
    return vectors


def reject_vectors():
    """Objects that a receiver of `base` in version `base_version` refuses, with the clause they break."""
    mixed = ((1, LIVE), (1, 3), (2, LIVE), (3, LIVE), (1, LIVE), (2, 3), (1, 2))
    entries = make_history(1, "mixed", 35, mixed)
    v = lambda serial: INCARNATION | serial
    start, to = v(1), v(3)
    vectors = []

    def reject(name, clause, kind, data, base=None):
        if base is None:
            base = live_bytes(entries, 0, start) if kind == 1 else history_bytes(entries, 0, start)
        vectors.append({"name": name, "clause": clause, "kind": kind, "schema": 1, "base_version": start,
                        "base": base, "delta": bytes(data)})

    def changed(data, at, fmt, value):
        out = bytearray(data)
        struct.pack_into(fmt, out, at, value)
        return out

    good = delta(1, 1, 0, start, to, entries)
    hist = delta(2, 1, 0, start, to, entries, [h(b"leaf 0")])
    get = lambda data, at: struct.unpack_from("<I", data, at)[0]
    table_at = 128
    removals_at = table_at + 8 * get(good, 68)
    gaps_at = removals_at + get(good, 72)
    tails_at = gaps_at + get(good, 76)
    tuples_at = tails_at + 8 * get(good, 56)

    for name, at, fmt, value in (
        ("another magic", 0, "<B", 0x55), ("another layout", 8, "<H", 2), ("an unknown schema", 10, "<H", 4),
        ("another schema", 10, "<H", 2), ("kind 3", 12, "<B", 3), ("removal_k 32", 13, "<B", 32), ("key_k 64", 14, "<B", 64),
        ("tuple mode 3", 15, "<B", 3), ("a wide table that is narrow", 15, "<B", 2), ("another service", 16, "<B", 0), ("another set", 24, "<I", SET + 1),
        ("from another version", 32, "<Q", v(2)), ("from not below to", 40, "<Q", start), ("kept is more than the base", 48, "<I", 36),
        ("kept and after one less", 48, "<I", get(good, 48) - 1), ("after does not add up", 60, "<I", get(good, 60) + 1),
        ("removed more than kept", 52, "<I", get(good, 48) + 1), ("rows more than there are", 68, "<I", get(good, 68) + 1),
        ("a leaf in kind 1", 88, "<I", 1), ("serial_bits in kind 1", 92, "<B", 1), ("serial_base in kind 1", 96, "<I", 1),
        ("a reserved byte set", 93, "<B", 1), ("the last reserved byte set", 127, "<B", 1),
    ):
        data = changed(good, at, fmt, value)
        if name in ("kept and after one less", "kept is more than the base"):
            data = changed(data, 60, "<I", get(good, 60) + value - get(good, 48))
        reject(name, "3.8.3", 1, data)
    reject("a live delta as history", "3.8.3", 2, good)
    reject("a history delta as live", "3.8.3", 1, hist)
    reject("a byte missing at the end", "3.8.3", 1, good[:-1])
    reject("a byte too many at the end", "3.8.3", 1, good + b"\0")
    reject("shorter than a header", "3.8.3", 1, good[:127])
    reject("empty", "3.8.3", 1, b"")

    def spliced(at, old_len, new, *fields):
        data = bytearray(good[:at] + new + good[at + old_len:])
        for offset, value in fields:
            struct.pack_into("<I", data, offset, value)
        return data

    removal_len, gap_len, tuple_len = get(good, 72), get(good, 76), get(good, 80)
    removals, gaps = good[removals_at:gaps_at], good[gaps_at:tails_at]
    reject("removals with a whole unused byte", "3.8.4", 1, spliced(removals_at, removal_len, removals + b"\0", (72, removal_len + 1)))
    reject("removals too short", "3.8.4", 1, spliced(removals_at, removal_len, removals[:-1], (72, removal_len - 1)))
    reject("gaps with a whole unused byte", "3.8.4", 1, spliced(gaps_at, gap_len, gaps + b"\0", (76, gap_len + 1)))
    reject("gaps too short", "3.8.4", 1, spliced(gaps_at, gap_len, gaps[:-1], (76, gap_len - 1)))

    def hand_made(kept, removed_bits, added, key_k=63, gap_bits=(), tails=b"", tuples=b"", removal_k=0, removed=0,
                  kind=1, serials=b"", serial_bits=0, serial_base=0, base=start, mode=1, table=b"", start_base=0):
        sections = [to_bytes(list(removed_bits)), to_bytes(list(gap_bits)), tuples, serials]
        after = kept + added - (removed if kind == 1 else 0)
        data = b"TEKDDLT1" + struct.pack("<HHBBBB", 1, 1, kind, removal_k, key_k if added else 0, mode if added else 0)
        data += SERVICE + struct.pack("<IIQQ", SET, 0, base, to)
        data += struct.pack("<IIIIII", kept, removed, added, after, start_base, len(table) // 8)
        data += struct.pack("<IIII", *map(len, sections)) + struct.pack("<IB3xI28x", 0, serial_bits, serial_base)
        return data + table + sections[0] + sections[1] + tails + tuples + serials

    count = lambda data: len(data) // 24
    base = live_bytes(entries, 0, start)
    kept = count(base)
    plain = struct.pack("<HHBb", 0, 144, 1, 0)
    first, last = base[:16], base[-24:-8]
    head = lambda key: int.from_bytes(key[:8], "big")
    reject("a removal beyond the kept entries", "3.8.5", 1, hand_made(kept, rice_bits(kept, 0), 0, removed=1))
    reject("a removal after the last entry", "3.8.5", 1,
           hand_made(kept, rice_bits(kept - 1, 0) + rice_bits(0, 0), 0, removed=2))
    ok = hand_made(kept, [], 1, gap_bits=rice_bits(3, 63), tails=bytes(8), tuples=plain)
    two = lambda gap, tails: hand_made(kept, [], 2, gap_bits=rice_bits(5, 62) + rice_bits(gap, 62), key_k=62, tails=tails,
                                       tuples=plain * 2)
    reject("a filling bit that is set", "3.8.4", 1,
           hand_made(kept, [], 1, gap_bits=rice_bits(3, 62) + [1], key_k=62, tails=bytes(8), tuples=plain))
    reject("one added key twice", "3.8.6", 1, two(0, bytes(16)))
    reject("added keys that descend", "3.8.6", 1, two(0, b"\1" * 8 + bytes(8)))
    reject("a sum of gaps above 2^64 - 1", "3.8.6", 1, two(2**64 - 5, bytes(16)))
    reject("a gap above 2^64 - 1", "3.8.6", 1,
           hand_made(kept, [], 1, gap_bits=[0, 0, 1] + [0] * 63, tails=bytes(8), tuples=plain))
    for which, key in (("first", first), ("last", last)):
        reject(f"an addition of the {which} key, which is there", "3.8.6", 1,
               hand_made(kept, [], 1, gap_bits=rice_bits(head(key), 63), tails=key[8:], tuples=plain))
    one = lambda tuples, **more: hand_made(kept, [], 1, gap_bits=rice_bits(3, 63), tails=bytes(8), tuples=tuples, **more)
    reject("report type 5", "3.8.7", 1, one(struct.pack("<HHBb", 0, 144, 5, 0)))
    reject("risk class 4", "3.8.7", 1, one(struct.pack("<HHBb", 0, 144, 0x41, 0)))
    reject("an onset in a schema without", "3.8.7", 1, one(struct.pack("<HHBb", 0, 144, 1, 1)))
    reject("a start above 2^32 - 1", "3.8.7", 1, one(struct.pack("<HHBb", 1, 144, 1, 0), start_base=LIVE))
    reject("plain tuples of another length", "3.8.7", 1, one(plain + b"\0"))
    row = lambda period, f: struct.pack("<HHHBb", 0, f - 1, period, 1, 0)
    coded = lambda table, code: one(code, mode=0, table=table)
    start_state = struct.pack("<Q", 2**31)
    reject("frequencies that sum to 65,535", "3.8.7", 1, coded(row(1, 65535), start_state))
    reject("a table that descends", "3.8.7", 1, coded(row(2, 65535) + row(1, 1), rans([0], [65535, 1])))
    reject("a row twice", "3.8.7", 1, coded(row(1, 65535) + row(1, 1), rans([0], [65535, 1])))
    reject("coded tuples without a table", "3.8.7", 1, coded(b"", start_state))
    reject("a first state below 2^31", "3.8.9", 1, coded(row(1, 65536), struct.pack("<Q", 2**31 - 1)))
    reject("a first state of 2^63", "3.8.9", 1, coded(row(1, 65536), struct.pack("<Q", 2**63)))
    reject("a last state that is not 2^31", "3.8.9", 1, coded(row(1, 65536), struct.pack("<Q", 2**31 + 1)))
    reject("unused bytes after the last entry", "3.8.9", 1, coded(row(1, 65536), start_state + bytes(4)))
    reject("a state cut short", "3.8.9", 1, coded(row(1, 65536), start_state[:7]))
    reject("coded tuples too short", "3.8.9", 1, coded(row(1, 1) + row(2, 65535), start_state))
    wide_row = lambda period, f: struct.pack("<HHHBb", 0, (f - 1) % 65536, period + (f - 1) // 65536 * 16384, 1, 0)
    wide = lambda table, code: one(code, mode=2, table=table)
    wide_start = rans([0], [262144], 18)
    reject("wide frequencies that sum to 65,536", "3.8.7", 1, wide(wide_row(1, 65536), wide_start))
    reject("wide frequencies that sum to 262,143", "3.8.7", 1, wide(wide_row(1, 262143), wide_start))
    reject("a wide table that descends", "3.8.7", 1, wide(wide_row(2, 262143) + wide_row(1, 1), rans([0], [262143, 1], 18)))
    reject("a wide table without added entries", "3.8.7", 1, changed(hand_made(kept, [], 0), 15, "<B", 2))

    old = history_bytes(entries, 0, start)
    held = len(old) // 32
    hkept = dict(kept=held, kind=2)
    reject("the removal of an entry that is withdrawn", "3.8.8", 2,
           hand_made(removed_bits=rice_bits(0, 0), added=0, removed=1, serial_base=3, **hkept),
           base=old[:28] + struct.pack("<I", 1) + old[32:])
    reject("a removal in a release not after v", "3.8.8", 2,
           hand_made(removed_bits=rice_bits(0, 0), added=0, removed=1, serial_base=1, **hkept))
    reject("a removal in a release after n", "3.8.8", 2,
           hand_made(removed_bits=rice_bits(0, 0), added=0, removed=1, serial_base=4, **hkept))
    added = lambda serials, **more: hand_made(removed_bits=[], added=1, gap_bits=rice_bits(3, 63), tails=bytes(8),
                                              tuples=plain, serials=to_bytes(serials), **hkept, **more)
    reject("an addition in a release not after v", "3.8.8", 2, added([1], serial_base=1))
    reject("an addition in a release after n", "3.8.8", 2, added([1], serial_base=4))
    reject("an entry withdrawn in the release that added it", "3.8.8", 2, added([0], serial_base=2))
    reject("serials with a whole unused byte", "3.8.4", 2, added([1] + [0] * 8, serial_base=2))
    reject("serials too short", "3.8.4", 2, added([], serial_base=2))
    reject("serial_bits 33", "3.8.3", 2, changed(hist, 92, "<B", 33))
    reject("one leaf more than there is", "3.8.3", 2, changed(hist, 88, "<I", 2))
    twice = hand_made(removed_bits=[], added=2, gap_bits=rice_bits(3, 62) + rice_bits(0, 62), key_k=62, tails=bytes(16),
                      tuples=plain * 2, serials=to_bytes([1, 1]), serial_base=2, **hkept)
    reject("one key twice in one release", "3.8.6", 2, twice)

    # The objects that the hand-made ones are changed from are accepted.
    accept = [{"name": "the hand-made object without a fault", "kind": 1, "schema": 1, "base_version": start, "base": base,
               "delta": ok},
              {"name": "the hand-made history without a fault", "kind": 2, "schema": 1, "base_version": start, "base": old,
               "delta": added([1], serial_base=2)},
              {"name": "the hand-made code without a fault", "kind": 1, "schema": 1, "base_version": start, "base": base,
               "delta": coded(row(1, 65535) + row(2, 1), rans([0], [65535, 1]))},
              {"name": "the hand-made wide code without a fault", "kind": 1, "schema": 1, "base_version": start, "base": base,
               "delta": wide(wide_row(1, 262143) + wide_row(16383, 1), rans([0], [262143, 1], 18))}]
    return vectors, accept


def jsonable(value):
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    if isinstance(value, dict):
        return {k: jsonable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(v) for v in value]
    return value


def lay_out(value, indent=""):
    """JSON with one case per line."""
    inner = indent + " "
    if isinstance(value, dict) and indent.count(" ") < 2:
        items = [f"{inner}{json.dumps(k)}: {lay_out(v, inner)}" for k, v in value.items()]
        return "{\n" + ",\n".join(items) + "\n" + indent + "}"
    if isinstance(value, list):
        return "[\n" + ",\n".join(inner + json.dumps(v) for v in value) + "\n" + indent + "]"
    return json.dumps(value)


def main():
    reject, accept = reject_vectors()
    document = {
        "about": "Vectors of 3-release.md, made by make_release.py. Bytes are in hex; fields are [start, period, report, risk, onset]; "
                 "versions are u64. deltas: 'delta' is made from 'history' (the unexpired history entries of 'to') and applied to "
                 "'base' gives 'result'. accept and reject: 'delta' applied to 'base', which is of 'base_version', succeeds or is refused.",
        "service": SERVICE, "set": SET,
        "schema": schema_vectors(), "tree": tree_vectors(), "code": code_vectors(),
        "deltas": delta_vectors(), "accept": accept, "reject": reject,
    }
    with open("release.json", "w", encoding="ascii") as out:
        out.write(lay_out(jsonable(document)) + "\n")


if __name__ == "__main__":
    main()
