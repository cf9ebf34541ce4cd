#!/usr/bin/env python3
"""Writes trust.json: what readers of checkpoints, delegations, manifests, logs and trust must accept and refuse.

Written from pages 1, 3 and 4 of the protocol alone. Needs Python 3.9 and the package `cryptography`. The keys are fixed
and public: never use them. Run it in this folder; equal pages give equal bytes.

Every case names the clause that decides it. Binary values are hex. A manifest with "zeros" has that many zero bytes
inserted at offset "zeros_at" of its bytes; an unknown TLV with "zeros" has a value of that many.
"""

import base64
import hashlib
import json
import os
import struct

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

CHECKPOINT = b"tekd/1 checkpoint\0"
DELEGATION = b"tekd/1 delegation\0"
MANIFEST = b"tekd/1 manifest\0"
SERVICE = bytes.fromhex("74656b6400112233")
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
FIELD = 2**255 - 19
NEUTRAL = bytes([1]) + bytes(31)


def twins():
    """The least y > 1 on the curve, encoded as it must be, and as y + p, which lax readers take for the same point."""
    d = -121665 * pow(121666, -1, FIELD)
    for y in range(2, 19):
        square = (y * y - 1) * pow(d * y * y + 1, -1, FIELD) % FIELD
        if pow(square, (FIELD - 1) // 2, FIELD) == 1:
            return y.to_bytes(32, "little"), (y + FIELD).to_bytes(32, "little")
    raise AssertionError("about half of all y are on the curve")


def H(data):
    return hashlib.sha256(data).digest()


class Key:
    def __init__(self, name):
        self.secret = H(b"tekd test key " + name.encode())
        self.private = Ed25519PrivateKey.from_private_bytes(self.secret)
        self.public = self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.id = H(self.public)[:8]

    def sign(self, message):
        return self.private.sign(message)


NAMES = ["root 1", "root 2", "root 3", "online", "next online", "stranger"]
KEYS = {name: Key(name) for name in NAMES}
ROOT1, ROOT2, ROOT3, ONLINE, NEXT, STRANGER = (KEYS[name] for name in NAMES)


# 3.4.3

def entry(key, signature, algorithm=1, length=None):
    length = len(signature) if length is None else length
    return struct.pack("<HH", algorithm, length) + key.id + signature


def signature_list(entries, count=None, reserved=0):
    return struct.pack("<HH", len(entries) if count is None else count, reserved) + b"".join(entries)


def signed_by(message, *keys):
    return signature_list([entry(key, key.sign(message)) for key in keys])


# 3.4.1

def checkpoint_fields(**changes):
    fields = dict(
        set=1, service=SERVICE.hex(), version=(1 << 32) | 7, time=1_800_000_000, fresh_until=1_800_001_800,
        horizon=1_800_000_000 // 600 - 144 * 14, schema=1, bits=5, count=200, log_size=6, root="11" * 32,
        log_root="22" * 32, manifest="33" * 32, history="44" * 32, key_epoch=3)
    fields.update(changes)
    return fields


def checkpoint(f, layout=1, flags=0, reserved=0, tail=bytes(12)):
    return struct.pack(
        "<HHI8sQQQIHBBQQ32s32s32s32sI12s", layout, flags, f["set"], bytes.fromhex(f["service"]), f["version"],
        f["time"], f["fresh_until"], f["horizon"], f["schema"], f["bits"], reserved, f["count"], f["log_size"],
        bytes.fromhex(f["root"]), bytes.fromhex(f["log_root"]), bytes.fromhex(f["manifest"]),
        bytes.fromhex(f["history"]), f["key_epoch"], tail)


# 3.5.1

def delegation(epoch=3, service=SERVICE, not_before=1_799_000_000, not_after=1_801_000_000, online=ONLINE.public,
               layout=1, reserved=0, tail=bytes(16)):
    return struct.pack("<HHI8sQQ32s16s", layout, reserved, epoch, service, not_before, not_after, online, tail)


def delegated(body=None, roots=(ROOT1, ROOT2), **changes):
    body = delegation(**changes) if body is None else body
    return body + signed_by(DELEGATION + body, *roots)


# 3.5.3

def trust(threshold, *roots, sets=(1,), service=SERVICE, **extra):
    value = dict(format=1, service=service.hex(), threshold=threshold,
                 roots=[base64.b64encode(root).decode() for root in roots], sets=list(sets))
    value.update(extra)
    return json.dumps(value)


ONE = trust(1, ROOT1.public)
TWO_OF_THREE = trust(2, ROOT1.public, ROOT2.public, ROOT3.public, sets=(1, 2))


def body_of(change=None, online=ONLINE, signatures=None, vouched=None, raw=None, **changes):
    """A CHECKPOINT answer body (2.2.1)."""
    bytes_ = checkpoint(checkpoint_fields(**changes)) if raw is None else raw
    signatures = signed_by(CHECKPOINT + bytes_, online) if signatures is None else signatures
    return bytes_ + signatures + (delegated() if vouched is None else vouched)


def answers():
    cases = []
    held = body_of()

    def case(name, clause, body, reason=None, by=TWO_OF_THREE, set_=1, before=()):
        cases.append(dict(name=name, clause=clause, trust=by, set=set_, before=[b.hex() for b in before],
                          body=body.hex(), accept=reason is None, reason=reason))

    def good(name, clause, body, **more):
        case(name, clause, body, None, **more)

    message = CHECKPOINT + checkpoint(checkpoint_fields())
    right = entry(ONLINE, ONLINE.sign(message))
    bare = delegation()

    good("two of three roots", "3.5.1", held)
    good("one of one root", "3.5.1", body_of(vouched=delegated(roots=(ROOT1,))), by=ONE)
    good("three of three roots", "3.5.1", body_of(vouched=delegated(roots=(ROOT3, ROOT1, ROOT2))))
    good("a root the trust does not know beside one it does", "3.4.3", held, by=ONE)
    case("one of two roots", "3.5.1", body_of(vouched=delegated(roots=(ROOT1,))), "threshold")
    case("one root twice", "3.5.1", body_of(vouched=delegated(roots=(ROOT1, ROOT1))), "threshold")
    case("strangers as roots", "3.5.1", body_of(vouched=delegated(roots=(STRANGER, ONLINE))), "threshold")
    case("no root", "3.5.1", body_of(vouched=delegated(roots=())), "threshold")
    wrong_third = [entry(ROOT1, ROOT1.sign(DELEGATION + bare)), entry(ROOT2, ROOT2.sign(DELEGATION + bare)),
                   entry(ROOT3, bytes(64))]
    case("enough roots and a wrong signature of a third", "3.4.3",
         body_of(vouched=bare + signature_list(wrong_third)), "delegation-signature")
    case("four signatures on a delegation", "2.2.2",
         body_of(vouched=delegated(roots=(ROOT1, ROOT2, ROOT3, STRANGER))), "malformed")
    case("a delegation signed in the context of a checkpoint", "3.5.1",
         body_of(vouched=bare + signed_by(CHECKPOINT + bare, ROOT1, ROOT2)), "delegation-signature")
    unknown = [entry(ROOT1, bytes(100), algorithm=2)] + wrong_third[:2]
    good("an unknown algorithm on a delegation", "3.4.3", body_of(vouched=bare + signature_list(unknown)))

    good("eight signatures, seven of unknown keys", "2.2.2",
         body_of(signatures=signature_list([entry(STRANGER, bytes(64))] * 7 + [right])))
    case("nine signatures", "3.4.3",
         body_of(signatures=signature_list([entry(STRANGER, bytes(64))] * 8 + [right])), "malformed")
    good("an unknown algorithm of the known key", "3.4.3",
         body_of(signatures=signature_list([entry(ONLINE, bytes(24), algorithm=0xffff), right])))
    good("an empty signature of an unknown key", "3.4.3",
         body_of(signatures=signature_list([entry(STRANGER, b""), right])))
    case("only an unknown algorithm", "3.4.2",
         body_of(signatures=signature_list([entry(ONLINE, ONLINE.sign(message), algorithm=2)])), "unsigned")
    case("signed by a root", "3.4.2", body_of(online=ROOT1), "unsigned")
    case("not signed", "3.4.2", body_of(signatures=signature_list([])), "unsigned")
    case("a right and a wrong signature of the online key", "3.4.3",
         body_of(signatures=signature_list([right, entry(ONLINE, bytes(64))])), "checkpoint-signature")
    case("a signature of the online key cut to 32 bytes", "3.4.3",
         body_of(signatures=signature_list([entry(ONLINE, ONLINE.sign(message)[:32])])), "checkpoint-signature")
    case("signed in the context of a manifest", "3.4.2",
         body_of(signatures=signed_by(MANIFEST + message[len(CHECKPOINT):], ONLINE)), "checkpoint-signature")
    s = int.from_bytes(ONLINE.sign(message)[32:], "little") + GROUP_ORDER
    high = ONLINE.sign(message)[:32] + s.to_bytes(32, "little")
    case("S not below the group order", "3.4.4",
         body_of(signatures=signature_list([entry(ONLINE, high)])), "checkpoint-signature")

    class Neutral:
        public = NEUTRAL
        id = H(NEUTRAL)[:8]

    case("a small-order online key, which everything verifies under", "3.4.4",
         body_of(signatures=signature_list([entry(Neutral, NEUTRAL + bytes(32))]), vouched=delegated(online=NEUTRAL)),
         "checkpoint-signature")

    raw = checkpoint(checkpoint_fields(), flags=0xf00f, reserved=255, tail=b"\xff" * 12)
    good("reserved fields of a checkpoint set", "3.4.1", body_of(raw=raw))
    good("reserved fields of a delegation set", "3.5.1",
         body_of(vouched=delegated(delegation(reserved=7, tail=b"\xff" * 16))))
    good("reserved field of a signature list set", "3.4.3", body_of(signatures=signature_list([right], reserved=9)))
    case("checkpoint of layout 2", "3.4.1", body_of(raw=checkpoint(checkpoint_fields(), layout=2)), "malformed")
    case("delegation of layout 2", "3.5.1", body_of(vouched=delegated(delegation(layout=2))), "malformed")
    good("depth 28", "3.3.1", body_of(bits=28))
    case("depth 29", "3.3.1", body_of(bits=29), "malformed")
    case("one byte too few", "2.2.1", held[:-1], "malformed")
    case("one byte too many", "2.2.1", held + b"\0", "malformed")
    case("empty body", "2.2.1", b"", "malformed")
    flipped = bytearray(held)
    flipped[64] ^= 1
    case("one bit of the root flipped", "3.4.2", bytes(flipped), "checkpoint-signature")
    longer = signature_list([entry(STRANGER, bytes(700), algorithm=2), right])
    case("longer than a datagram", "2.2.2", body_of(signatures=longer), "malformed")

    other = bytes(8)
    case("checkpoint of another service", "4.1.1", body_of(service=other.hex()), "service")
    case("delegation of another service", "4.1.1", body_of(vouched=delegated(service=other)), "service")
    case("another set of the trust", "4.1.1", body_of(set=2), "set")
    good("set 2 for who asks for it", "4.1.1", body_of(set=2), set_=2)
    case("a set outside the trust", "4.1.1", body_of(set=3), "set", set_=3)
    case("epochs differ", "3.4.2", body_of(key_epoch=2), "epoch")

    good("time = not before", "3.5.2", body_of(vouched=delegated(not_before=1_800_000_000)))
    good("time = not after", "3.5.2", body_of(vouched=delegated(not_after=1_800_000_000)))
    case("time before not before", "3.5.2", body_of(vouched=delegated(not_before=1_800_000_001)), "time")
    case("time after not after", "3.5.2", body_of(vouched=delegated(not_after=1_799_999_999)), "time")

    version = (1 << 32) | 7
    good("the same once more", "4.1.1", held, before=[held])
    good("next version, same time", "4.1.1", body_of(version=version + 1), before=[held])
    good("next incarnation, lower serial", "4.1.1", body_of(version=2 << 32), before=[held])
    case("version goes back", "4.1.1", body_of(version=version - 1), "version-back", before=[held])
    case("time goes back", "4.1.1", body_of(version=version + 1, time=1_799_999_999), "time-back", before=[held])
    case("same version, another root", "4.1.2", body_of(root="99" * 32), "equivocation", before=[held])
    case("same version, a reserved bit differs", "3.4.6", body_of(raw=raw), "equivocation", before=[held])
    case("same version, another root, signed by a stranger", "3.4.6", body_of(root="99" * 32, online=STRANGER),
         "unsigned", before=[held])
    later = body_of(version=version + 1, key_epoch=4, online=NEXT, vouched=delegated(epoch=4, online=NEXT.public))
    good("next epoch with another key", "3.5.2", later, before=[held])
    case("epoch goes back", "3.5.2", body_of(version=version + 2), "epoch-back", before=[held, later])
    refused = body_of(version=version + 9, online=STRANGER)
    good("what was refused is not remembered", "4.1.3", body_of(version=version + 1), before=[held, refused])
    return cases


def trust_files():
    roots = [Key(f"many {i}").public for i in range(17)]
    twice = trust(1, ROOT1.public, ROOT1.public)
    canonical, twin = twins()
    good = [("one root", ONE), ("two of three", TWO_OF_THREE), ("sixteen roots", trust(3, *roots[:16])),
            ("canonical twin", trust(1, canonical))]
    bad = [
        ("seventeen roots", trust(1, *roots)), ("threshold 0", trust(0, ROOT1.public)),
        ("threshold 4", trust(4, *roots[:4])), ("fewer roots than the threshold", trust(2, ROOT1.public)),
        ("one root twice", twice), ("unknown format", trust(1, ROOT1.public, format=2)),
        ("service id of 7 bytes", trust(1, ROOT1.public, service=SERVICE[:7])),
        ("root of 31 bytes", trust(1, ROOT1.public[:31])), ("root of small order", trust(1, NEUTRAL)),
        ("root encoded as y + p", trust(1, twin)),
        ("base64 without its end", ONE.replace("=", "")), ("no roots", ONE.replace('"roots"', '"rots"')),
        ("not JSON", ONE[:-1]),
    ]
    return ([dict(name=name, clause="3.5.3", text=text, accept=True) for name, text in good]
            + [dict(name=name, clause="3.5.3", text=text, accept=False) for name, text in bad])


# 3.6

def tlv(kind, value, filling=b"\0", length=None):
    length = len(value) if length is None else length
    return struct.pack("<HH", kind, length) + value + filling * (-len(value) % 4)


def manifest_fields():
    return dict(
        service=SERVICE.hex(), set=1, number=5, time=1_799_990_000, schema=1, retention_days=14, interval_s=900,
        fresh_s=1800, too_old_s=604_800, embargo_s=7200, min_reports=10, max_wait_s=86_400, decoys=True,
        min_protocol=1, max_keys=30, max_keys_per_start=3, min_period=1, max_period=144, max_ahead_s=7201,
        client_wait_s=901, key_epoch=3)


def manifest_body(tlvs=b"", layout=1, length=None, flags=None, reserved=0, tail=bytes(12)):
    f = manifest_fields()
    flags = int(f["decoys"]) if flags is None else flags
    return struct.pack(
        "<HHI8sIIQHHIIIIIIHHHHHHIII12s", layout, reserved, 96 + len(tlvs) if length is None else length, SERVICE,
        f["set"], f["number"], f["time"], f["schema"], f["retention_days"], f["interval_s"], f["fresh_s"],
        f["too_old_s"], f["embargo_s"], f["min_reports"], f["max_wait_s"], flags, f["min_protocol"], f["max_keys"],
        f["max_keys_per_start"], f["min_period"], f["max_period"], f["max_ahead_s"], f["client_wait_s"],
        f["key_epoch"], tail) + tlvs


def manifest(*args, by=ONLINE, **more):
    body = manifest_body(*args, **more)
    return body + signed_by(MANIFEST + body, by)


def manifests():
    cases = []

    def case(name, clause, bytes_, accept=False, **holds):
        row = dict(name=name, clause=clause, bytes=bytes_.hex(), online=ONLINE.public.hex(), accept=accept)
        if accept:
            empty = dict(nodes=[], seal_keys=[], witnesses=[], other=[])
            row.update(digest=H(bytes_).hex(), fields=dict(manifest_fields(), **dict(empty, **holds)))
        cases.append(row)

    def good(name, clause, bytes_, **holds):
        case(name, clause, bytes_, True, **holds)

    udp, tls, quic = (1, "node.example:8353"), (2, "192.0.2.7:8353"), (3, "[2001:db8::7]:8354")
    nodes = b"".join(tlv(1, bytes([transport]) + address.encode()) for transport, address in (udp, tls, quic))
    seal = struct.pack("<HHHHQQ8s", 0x20, 1, 3, 0, 1_799_000_000, 1_800_000_000, b"seal key") + bytes(range(32))
    witness = STRANGER.public + "Zürich".encode()
    rest = tlv(2, seal) + tlv(3, witness) + tlv(0x0a0a, b"grease!") + tlv(0x7fff, b"")
    holds = dict(
        nodes=[dict(transport=transport, address=address) for transport, address in (udp, tls, quic)],
        seal_keys=[dict(kem=0x20, kdf=1, aead=3, not_before=1_799_000_000, not_after=1_800_000_000,
                        id=b"seal key".hex(), public=bytes(range(32)).hex())],
        witnesses=[dict(key=STRANGER.public.hex(), name="Zürich")],
        other=[dict(type=0x0a0a, value=b"grease!".hex()), dict(type=0x7fff, value="")])
    whole = manifest(nodes + rest)

    good("without TLVs", "3.6.1", manifest())
    good("nodes, a seal key, a witness and unknown TLVs", "3.6.2", whole, **holds)
    good("a critical TLV of a known type", "1.2.1", manifest(tlv(0x8001, b"\x09h:1")),
         nodes=[dict(transport=9, address="h:1")])
    sixty_four = [dict(type=9, value="")] * 64
    good("64 TLVs", "3.6.1", manifest(tlv(9, b"") * 64), other=sixty_four)
    case("65 TLVs", "3.6.1", manifest(tlv(9, b"") * 65))
    case("TLVs in descending order", "3.6.1", manifest(tlv(9, b"") + tlv(8, b"")))
    case("order counts without the critical bit", "1.2.1", manifest(tlv(0x8001, b"\x01h:1") + tlv(0, b"")))
    case("a critical TLV after one of a higher type", "1.2.1", manifest(tlv(9, b"") + tlv(0x8001, b"\x01h:1")))
    case("an unknown critical TLV", "1.2.3", manifest(tlv(0x8009, b"")))
    case("a TLV filled up with other than zeros", "1.2.1", manifest(tlv(9, b"x", filling=b"\1")))
    case("a TLV longer than the body", "1.2.2", manifest(tlv(9, b"1234", length=5)))
    case("half a TLV head", "1.2.2", manifest(b"\x09\0"))
    case("a NODE without a transport", "3.6.2", manifest(tlv(1, b"")))
    case("a NODE without a port", "3.6.2", manifest(tlv(1, b"\x01host")))
    case("a NODE not in ASCII", "3.6.2", manifest(tlv(1, b"\x01" + "hö:1".encode())))
    case("a SEAL_KEY without a key", "3.6.2", manifest(tlv(2, seal[:32])))
    case("a WITNESS with half a key", "3.6.2", manifest(tlv(3, bytes(31))))
    case("a WITNESS with a name not in UTF-8", "3.6.2", manifest(tlv(3, bytes(32) + b"\xff")))
    good("reserved fields set", "3.6.1", manifest(reserved=1, flags=0xffff, tail=b"\xff" * 12))
    case("layout 2", "3.6.1", manifest(layout=2))
    case("a body shorter than its head", "3.6.1", manifest(length=92))
    case("a body longer than the bytes", "3.6.1", manifest(length=10_000))
    case("signed by another key", "3.6.1", manifest(by=STRANGER))
    case("signed in another context", "3.6.1", manifest_body() + signed_by(CHECKPOINT + manifest_body(), ONLINE))
    case("one bit flipped", "3.6.1", whole[:40] + bytes([whole[40] ^ 1]) + whole[41:])
    case("one byte too many", "3.6.1", whole + b"\0")
    case("one byte too few", "3.6.1", whole[:-1])
    longest = 65_536 - 96 - 80 - 4
    good("65,536 bytes", "3.6.3", manifest(tlv(9, bytes(longest))), other=[dict(type=9, zeros=longest)])
    case("65,540 bytes", "3.6.3", manifest(tlv(9, bytes(longest)) + tlv(9, b"")))
    for row in cases[-2:]:
        bytes_ = bytes.fromhex(row["bytes"])
        row.update(bytes=(bytes_[:100] + bytes_[100 + longest:]).hex(), zeros_at=100, zeros=longest)
    return cases


def lists():
    cases, message = [], b"context\0body"

    def case(name, bytes_, known, signers=None, clause="3.4.3"):
        cases.append(dict(name=name, clause=clause, context="context\0", body=b"body".hex(), list=bytes_.hex(),
                          known=[key.public.hex() for key in known], accept=signers is not None, signers=signers))

    a, b = entry(ROOT1, ROOT1.sign(message)), entry(ROOT2, ROOT2.sign(message))
    both, all_ = [ROOT1, ROOT2], [ROOT1, ROOT2, ROOT3]
    case("empty", signature_list([]), both, 0)
    case("two of three", signature_list([a, b]), all_, 2)
    case("nobody is known", signature_list([a, b]), [], 0)
    case("the same key twice", signature_list([a, a, b]), both, 2)
    case("a wrong signature of an unknown key", signature_list([entry(ROOT3, bytes(64)), a]), both, 1)
    case("a wrong signature of a known key", signature_list([entry(ROOT2, bytes(64)), a]), both)
    case("an unknown algorithm, 5 bytes", signature_list([entry(ROOT1, b"12345", algorithm=3), b]), both, 1)
    case("a signature under another key's id", signature_list([entry(ROOT1, ROOT2.sign(message))]), both)
    case("eight", signature_list([a] * 8), both, 1)
    case("nine", signature_list([a] * 9), both)
    case("count above the entries", signature_list([a], count=2), both)
    case("cut", signature_list([a])[:-1], both)
    case("no head", b"\1\0\0", both)
    return cases


# 3.4.5, RFC 6962

def leaf_hash(data):
    return H(b"\0" + data)


def split(n):
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def tree(d):
    if not d:
        return H(b"")
    if len(d) == 1:
        return leaf_hash(d[0])
    k = split(len(d))
    return H(b"\1" + tree(d[:k]) + tree(d[k:]))


def path(m, d):
    if len(d) == 1:
        return []
    k = split(len(d))
    return path(m, d[:k]) + [tree(d[k:])] if m < k else path(m - k, d[k:]) + [tree(d[:k])]


def subproof(m, d, whole=True):
    if m == len(d):
        return [] if whole else [tree(d)]
    k = split(len(d))
    if m <= k:
        return subproof(m, d[:k], whole) + [tree(d[k:])]
    return subproof(m - k, d[k:], False) + [tree(d[:k])]


def log():
    leaves = [checkpoint(checkpoint_fields(version=(1 << 32) | i, log_size=i)) for i in range(12)]
    inclusion, consistency = [], []

    def hexes(hashes):
        return [h.hex() for h in hashes]

    for size in range(1, 13):
        for index in range(size):
            inclusion.append(dict(clause="3.4.5", accept=True, index=index, size=size,
                                  proof=hexes(path(index, leaves[:size]))))
    for new in range(13):
        for old in range(new + 1):
            proof = subproof(old, leaves[:new]) if old else []
            consistency.append(dict(clause="3.4.5", accept=True, old=old, new=new, proof=hexes(proof)))

    def refuse(index, size, proof):
        inclusion.append(dict(clause="3.4.5", accept=False, index=index, size=size, proof=hexes(proof)))

    def refuse_older(old, new, proof):
        consistency.append(dict(clause="3.4.5", accept=False, old=old, new=new, proof=hexes(proof)))

    refuse(5, 12, path(4, leaves))
    refuse(5, 12, path(5, leaves)[:-1])
    refuse(5, 12, path(5, leaves) + [bytes(32)])
    refuse(5, 11, path(5, leaves))
    refuse(5, 12, path(5, leaves)[::-1])
    refuse(5, 5, path(4, leaves[:5]))
    refuse_older(5, 12, subproof(6, leaves))
    refuse_older(5, 12, subproof(5, leaves)[1:])
    refuse_older(5, 12, subproof(5, leaves) + [bytes(32)])
    refuse_older(8, 12, [])
    refuse_older(5, 5, [bytes(32)])
    refuse_older(0, 5, [bytes(32)])
    refuse_older(6, 5, [])
    return dict(leaves=hexes(leaves), leaf_hashes=hexes(leaf_hash(d) for d in leaves),
                roots=hexes(tree(leaves[:n]) for n in range(13)), inclusion=inclusion, consistency=consistency)


def ages():
    time, fresh_until = 1_800_000_000, 1_800_001_800
    rows = [  # clause, clock, newest signed time, too_old_s, state, age
        ("4.2.2", time, time, 604_800, "fresh", 0),
        ("4.2.2", fresh_until, time, 604_800, "fresh", 1800),
        ("4.2.2", fresh_until + 1, time, 604_800, "stale", 1801),
        ("4.2.2", time + 604_800, time, 604_800, "stale", 604_800),
        ("4.2.2", time + 604_801, time, 604_800, "too-old", 604_801),
        ("4.2.1", 0, time, 604_800, "fresh", 0),
        ("4.2.1", 0, fresh_until + 1, 604_800, "stale", 1801),
        ("4.2.1", 0, time + 604_801, 604_800, "too-old", 604_801),
        ("4.2.2", time + 61, time, 60, "too-old", 61),
    ]
    checkpoint_ = checkpoint(checkpoint_fields()).hex()
    return [dict(clause=clause, checkpoint=checkpoint_, clock=clock, newest=newest, too_old_s=limit, state=state,
                 age_s=age) for clause, clock, newest, limit, state, age in rows]


def encodings():
    """What an encoder must write, byte for byte: Ed25519 signatures are deterministic."""
    f = checkpoint_fields(bits=28, count=2**40 + 1, version=2**64 - 2, log_size=2**32 - 1)
    bytes_ = checkpoint(f)
    span = dict(epoch=9, not_before=1, not_after=2**64 - 1)
    body = delegation(**span)
    return dict(
        checkpoint=dict(clause="3.4.1", fields=f, bytes=bytes_.hex(), signer="online",
                        signatures=signed_by(CHECKPOINT + bytes_, ONLINE).hex()),
        delegation=dict(clause="3.5.1", fields=dict(span, service=SERVICE.hex(), online=ONLINE.public.hex()),
                        signers=["root 1", "root 3"], bytes=delegated(body, (ROOT1, ROOT3)).hex()))


def main():
    vectors = dict(
        about="Accept and reject vectors of trust (pages 3 and 4). Made by make_trust.py; the keys are public.",
        keys=[dict(name=name, secret=k.secret.hex(), public=k.public.hex(), id=k.id.hex()) for name, k in KEYS.items()],
        encodings=encodings(), lists=lists(), answers=answers(), trust_files=trust_files(), manifests=manifests(),
        log=log(), ages=ages())
    target = os.path.join(os.path.dirname(os.path.abspath(__file__)), "trust.json")
    with open(target, "w", encoding="utf-8", newline="\n") as out:
        json.dump(vectors, out, indent=1, ensure_ascii=False)
        out.write("\n")


if __name__ == "__main__":
    main()
