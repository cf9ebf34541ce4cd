#!/usr/bin/env python3
"""Writes reports.json: how reports are sealed, written, authorised, answered and confirmed, and what is refused.

Written from page 7 of the protocol and 2.9 alone. Needs Python 3.9 and the package `cryptography` (43 or newer, for
ES256 without randomness). The keys are fixed and public: never use them. Run it in this folder; equal pages give equal
bytes.

Every case names the clause that decides it. Binary values are hex. A request or an answer is given without the zeros at
its end (7.2.1, 7.6.1). A frame that is `of` an exchange is its question or answer with the bytes of `put` put in place.
"""

import base64
import hashlib
import hmac
import json
import os
import struct

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SERVICE = bytes.fromhex("74656b6400112233")
SET = 1
TIME = 1_800_000_000
NOW = TIME // 600
DAY, HOUR = 86_400, 3_600
TODAY = TIME // DAY
WEEK = 7 * DAY
KINDS = {"SUBMIT": 1, "AMEND": 2, "STATUS": 3, "CANCEL": 4, "DUMMY": 5}
OUTCOMES = (
    "DONE MALFORMED NOTHING MISTYPED UNKNOWN EARLY EXPIRED SPENT REVOKED SUSPENDED SET TYPE KEYS SIGNATURE "
    "AUDIENCE KIND GRANT PUZZLE REPORT LATE CHANGE CONFLICT WITHDRAWN BUSY").split()


def H(data):
    return hashlib.sha256(data).digest()


def mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def noise(name, n):
    out = b""
    while len(out) < n:
        out += H(b"tekd reports " + name.encode() + struct.pack("<I", len(out)))
    return out[:n]


def raw(public):
    return public.public_bytes(Encoding.Raw, PublicFormat.Raw)


def b64(data):
    return base64.b64encode(data).decode()


class Signer:
    """A fixed Ed25519 key."""

    def __init__(self, name):
        self.secret = H(b"tekd test key " + name.encode())
        self.private = Ed25519PrivateKey.from_private_bytes(self.secret)
        self.public = raw(self.private.public_key())
        self.id = H(self.public)[:8]

    def list(self, message, algorithm=1, count=1):
        """3.4.3, with one signature"""
        return (struct.pack("<HHHH", count, 0, algorithm, 64) + self.id + self.private.sign(message))[:4 + 76 * count]


ROOT, ONLINE, STRANGER = Signer("root 1"), Signer("online"), Signer("stranger")
ROOT_2, ROOT_3 = Signer("root 2"), Signer("root 3")
CLINIC, CLINIC_NEXT, CLOSED, GONE = (Signer(x) for x in ("clinic", "clinic next", "suspended clinic", "revoked clinic"))


# 7.2

def key_record(key, start, period, risk=0, reserved=bytes(3)):
    return key + struct.pack("<IIB", start, period, risk) + reserved


def report_keys(n=3, size=16, name="key", risk=0):
    """As a phone has them: one per day, the newest of yesterday."""
    return [(noise(f"{name} {i}", size), (TODAY - 1 - i) * 144, 144, risk) for i in range(n)]


def keys_json(keys):
    return [dict(key=k.hex(), start=start, period=period, risk=risk) for k, start, period, risk in keys]


REPORT, REPORT_2 = noise("report", 16), noise("report 2", 16)
OWN_SECRET = noise("secret", 32)


def request(of_kind, keys=(), grant=b"", grant_type=0, **f):
    """The bytes without the zeros that follow; `fields` overrides any field of the head."""
    size = len(keys[0][0]) if keys else 0
    hidden = H(OWN_SECRET) if of_kind in ("SUBMIT", "DUMMY") else OWN_SECRET
    head = dict(kind=KINDS[of_kind], size=size, count=len(keys), type=0, grant_type=grant_type, grant_len=len(grant),
                onset=0, reserved=0, report=REPORT, secret=hidden, seed=bytes(16), solution=bytes(8), tail=bytes(8))
    head.update(f)
    packed = struct.pack("<BBBBHHII16s32s16s8s8s", *head.values())
    assert len(packed) == 96
    return packed + grant + b"".join(key_record(*k) for k in keys)


def parts_of(bytes_):
    grant_len = struct.unpack_from("<H", bytes_, 6)[0]
    end = 96 + grant_len + bytes_[2] * (bytes_[1] + 12)
    return bytes_[96:96 + grant_len], bytes_[96 + grant_len:end], end


def content(bytes_, set_=SET):
    grant, keys, _ = parts_of(bytes_)
    return H(b"tekd/1 content\0" + SERVICE + struct.pack("<I", set_) + bytes_[:64] + grant + keys)


def trimmed(bytes_):
    """Without zeros at the end; at least one byte."""
    return bytes_.rstrip(b"\0") or b"\0"


CODE_TEXT = None  # set below, once codes can be made


def requests():
    cases = []
    code = CODE_TEXT.encode()

    def good(name, clause, bytes_):
        assert len(bytes_) <= 2848
        kind, size, count, type_, grant_type, _, onset, _, report, hidden, seed, solution, _ = struct.unpack_from(
            "<BBBBHHII16s32s16s8s8s", bytes_)
        grant, records, _ = parts_of(bytes_)
        keys = []
        for at in range(0, len(records), size + 12):
            start, period, risk = struct.unpack_from("<IIB", records, at + size)
            keys.append((records[at:at + size], start, period, risk))
        assert len(keys) == count
        cases.append(dict(
            name=name, clause=clause, bytes=trimmed(bytes_).hex(), accept=True, content=content(bytes_).hex(),
            fields=dict(kind={v: k for k, v in KINDS.items()}[kind], key_len=size, type=type_, grant_type=grant_type,
                        grant=grant.hex(), onset=onset, report=report.hex(), secret=hidden.hex(), seed=seed.hex(),
                        solution=solution.hex(), keys=keys_json(keys))))

    def bad(name, bytes_, clause="7.2.4"):
        cases.append(dict(name=name, clause=clause, bytes=trimmed(bytes_).hex(), accept=False))

    three = report_keys()
    submit = request("SUBMIT", three, code, 1)
    good("a report of three keys under a code", "7.2.1", submit)
    good("a report with risks, report type and onset", "7.2.1",
         request("SUBMIT", report_keys(14, risk=6), code, 1, type=2, onset=TODAY - 3))
    good("a solution, which is no part of the content", "7.2.5",
         request("SUBMIT", three, code, 1, seed=noise("seed", 16), solution=noise("solution", 8)))
    good("another report id is other content", "7.2.5", request("SUBMIT", three, code, 1, report=REPORT_2))
    good("keys of 32 bytes", "7.2.1", request("SUBMIT", report_keys(3, 32), code, 1))
    good("36 keys of 32 bytes and the longest grant", "7.2.1",
         request("SUBMIT", report_keys(36, 32), noise("grant", 1024), 3))
    good("a report type with which no report begins is read", "7.2.4", request("SUBMIT", three, code, 1, type=5))
    good("a report without keys is read", "7.2.4", request("SUBMIT", (), code, 1))
    good("a grant of an unknown type is read", "7.6.3", request("SUBMIT", three, b"what?", 0x4242))
    good("more keys for a report", "7.3.4", request("AMEND", report_keys(1, name="more")))
    good("another report type for a report", "7.3.4", request("AMEND", (), code, 1))
    good("a question for the state", "7.3.6", request("STATUS"))
    good("a report is taken back", "7.3.5", request("CANCEL"))
    good("a dummy", "7.1.8", request("DUMMY", report_keys(14, name="dummy"), code, 1))
    good("all fields of a key at their greatest", "7.2.2",
         request("SUBMIT", [(b"\xff" * 16, 2**32 - 1, 2**32 - 1, 255)], code, 1))

    bad("kind 0", request("SUBMIT", three, code, 1, kind=0))
    bad("kind 6", request("SUBMIT", three, code, 1, kind=6))
    bad("all zeros", bytes(96))
    bad("report type 4, which no grant has", request("SUBMIT", three, code, 1, type=4))
    bad("report type 6", request("SUBMIT", three, code, 1, type=6))
    bad("keys of 17 bytes", request("SUBMIT", [(bytes(17), 0, 144, 0)], code, 1))
    bad("a count without a key length", request("SUBMIT", (), code, 1, count=1))
    bad("a key length without keys", request("SUBMIT", (), code, 1, size=16), "7.2.1")
    bad("37 keys", request("SUBMIT", report_keys(37), code, 1), "7.2.1")
    bad("a grant of 1025 bytes", request("SUBMIT", three, noise("grant", 1025), 3), "7.2.1")
    bad("a grant of no type", request("SUBMIT", three, code, 0))
    bad("a report without a grant", request("SUBMIT", three))
    bad("a dummy without a grant", request("DUMMY", three))
    bad("reserved bytes 12 to 15", request("SUBMIT", three, code, 1, reserved=1), "7.2.1")
    bad("reserved bytes 88 to 95", request("SUBMIT", three, code, 1, tail=bytes(7) + b"\1"), "7.2.1")
    bad("a reserved byte of a key", submit[:-1] + b"\1", "7.2.2")
    bad("a byte behind the keys", submit + b"\1")
    bad("the last byte is not zero", submit.ljust(2847, b"\0") + b"\1")
    bad("one key fewer than there are", request("SUBMIT", three, code, 1, count=2))
    bad("a status with a grant", request("STATUS", (), code, 1))
    bad("a status with keys", request("STATUS", three))
    bad("a cancellation with a grant", request("CANCEL", (), code, 1))
    bad("a cancellation with keys", request("CANCEL", three))
    return cases


# 7.1, RFC 9180

KEM_SUITE = b"KEM" + struct.pack(">H", 0x20)
HPKE_SUITE = b"HPKE" + struct.pack(">HHH", 0x20, 1, 3)


def labeled_extract(suite, salt, label, ikm):
    return mac(salt, b"HPKE-v1" + suite + label + ikm)


def labeled_expand(suite, prk, label, info, length):
    info = struct.pack(">H", length) + b"HPKE-v1" + suite + label + info
    out, block, i = b"", b"", 1
    while len(out) < length:
        block = mac(prk, block + info + bytes([i]))
        out, i = out + block, i + 1
    return out[:length]


class Context:
    """The sender's context of base mode."""

    def __init__(self, receiver, ephemeral, info):
        own = X25519PrivateKey.from_private_bytes(ephemeral)
        self.enc = raw(own.public_key())
        dh = own.exchange(X25519PublicKey.from_public_bytes(receiver))
        eae = labeled_extract(KEM_SUITE, b"", b"eae_prk", dh)
        self.shared = labeled_expand(KEM_SUITE, eae, b"shared_secret", self.enc + receiver, 32)
        schedule = (b"\0" + labeled_extract(HPKE_SUITE, b"", b"psk_id_hash", b"")
                    + labeled_extract(HPKE_SUITE, b"", b"info_hash", info))
        secret = labeled_extract(HPKE_SUITE, self.shared, b"secret", b"")
        self.key = labeled_expand(HPKE_SUITE, secret, b"key", schedule, 32)
        self.nonce = labeled_expand(HPKE_SUITE, secret, b"base_nonce", schedule, 12)
        self.exporter = labeled_expand(HPKE_SUITE, secret, b"exp", schedule, 32)

    def seal(self, aad, plain):
        return ChaCha20Poly1305(self.key).encrypt(self.nonce, plain, aad)

    def export(self, context, length):
        return labeled_expand(HPKE_SUITE, self.exporter, b"sec", context, length)


class SealKey:
    def __init__(self, name, not_before):
        self.secret = noise(name, 32)
        self.public = raw(X25519PrivateKey.from_private_bytes(self.secret).public_key())
        self.id = H(self.public)[:8]
        self.not_before, self.not_after = not_before, not_before + 2 * WEEK


SEAL, SEAL_OLD = SealKey("seal key", TIME - WEEK // 2), SealKey("seal key before", TIME - WEEK - WEEK // 2)
HEADER = struct.Struct("<BBHI8sQQIHBBQ16s")


def aad_of(set_=SET, first=0x81, service=SERVICE):
    return bytes([first]) + service + struct.pack("<I", set_)


def exchange(name, clause, plain, answer, key=SEAL, set_=SET):
    """One question and its answer."""
    ephemeral, nonce = noise(name + " ephemeral", 32), noise(name + " answer", 32)
    transaction = struct.unpack("<Q", noise(name + " transaction", 8))[0]
    context = Context(key.public, ephemeral, b"tekd/1 sealed\0")
    ciphertext = context.seal(aad_of(set_), plain.ljust(2848, b"\0"))
    exported = context.export(b"tekd/1 answer\0" + nonce, 44)
    sealed = ChaCha20Poly1305(exported[:32]).encrypt(exported[32:], answer.ljust(3984, b"\0"), aad_of(set_))
    question = HEADER.pack(0x81, 9, 0, 4096, SERVICE, transaction, 0, set_, 0, 0, 0, 0, bytes(16))
    question += struct.pack("<HHHH", 0x20, 1, 3, 0) + key.id + context.enc.ljust(1152, b"\0") + ciphertext
    frame = HEADER.pack(0x81, 0x89, 0, 4096, SERVICE, transaction, 0, set_, 0, 0, 0, 0, bytes(16)) + nonce + sealed
    assert len(question) == len(frame) == 4096
    return dict(
        name=name, clause=clause, set=set_, seal_key=key.id.hex(), ephemeral=ephemeral.hex(), aad=aad_of(set_).hex(),
        encapsulation=context.enc.hex(), request=trimmed(plain).hex(), question=question.hex(), nonce=nonce.hex(),
        answer_key=exported[:32].hex(), answer_nonce=exported[32:].hex(), answer=trimmed(answer).hex(),
        frame=frame.hex())


def sealing():
    submit = request("SUBMIT", report_keys(), CODE_TEXT.encode(), 1)
    verdicts = bytes(3)
    exchanges = [
        exchange("a report is sealed and answered", "7.1.2", submit,
                 answer(outcome="DONE", state=1, verdicts=verdicts, keys=3, waiting=3,
                        signed=signed(receipt(content=content(submit), verdicts=verdicts)), vouched=delegation())),
        exchange("a status under the key before, of another set", "7.1.3", request("STATUS"), answer(outcome="REPORT"),
                 SEAL_OLD, 7)]
    question, reply = bytes.fromhex(exchanges[0]["question"]), bytes.fromhex(exchanges[0]["frame"])
    questions, replies = [], []

    def ask(name, clause, expect, put=(), of=0, now=TIME):
        questions.append(dict(name=name, clause=clause, of=of, put=[dict(at=at, bytes=b.hex()) for at, b in put],
                              now=now, expect=expect))

    def tell(name, clause, accept, put=(), of=0):
        replies.append(dict(name=name, clause=clause, of=of, put=[dict(at=at, bytes=b.hex()) for at, b in put],
                            accept=accept))

    def flip(bytes_, at, bit=1):
        return [(at, bytes([bytes_[at] ^ bit]))]

    ask("as it was sealed", "7.1.2", "opens")
    ask("under the key before", "7.1.4", "opens", of=1)
    ask("another transaction, cookie and grease, which nothing binds", "2.9.3", "opens",
        [(2, b"\0\xf0"), (16, noise("other transaction", 16))])
    ask("the reserved field is ignored", "2.9.2", "opens", [(70, b"\1\2")])
    ask("at the end of the key's validity", "7.1.4", "opens", now=SEAL.not_after)
    ask("one day after it", "7.1.4", "opens", now=SEAL.not_after + DAY)
    ask("a second later", "7.1.4", "GONE", now=SEAL.not_after + DAY + 1)
    ask("another set", "2.9.3", "random", [(32, b"\2\0\0\0")])
    ask("another KEM", "7.1.5", "REFUSED", [(64, b"\x10\0")])
    ask("another KDF", "7.1.5", "REFUSED", [(66, b"\2\0")])
    ask("another AEAD", "7.1.5", "REFUSED", [(68, b"\1\0")])
    ask("a key that was never there", "7.1.5", "GONE", [(72, noise("no key", 8))])
    ask("the id of another key", "2.9.4", "random", [(72, SEAL_OLD.id)])
    ask("a byte of the encapsulation flipped", "2.9.4", "random", flip(question, 80))
    ask("an encapsulation of small order", "2.9.4", "random", [(80, bytes(32))])
    ask("the byte behind the encapsulation is not zero", "2.9.2", "random", [(112, b"\1")])
    ask("the last byte of the encapsulation's room is not zero", "2.9.2", "random", [(1231, b"\x80")])
    ask("the first byte of the ciphertext flipped", "2.9.4", "random", flip(question, 1232))
    ask("the last byte of the ciphertext flipped", "2.9.4", "random", flip(question, 4095, 0x80))
    tell("as it was sealed", "7.1.3", True)
    tell("of another set", "7.1.3", True, of=1)
    tell("a byte of the nonce flipped", "7.1.3", False, flip(reply, 64))
    tell("the first byte of the ciphertext flipped", "7.1.3", False, flip(reply, 96))
    tell("the last byte of the ciphertext flipped", "7.1.3", False, flip(reply, 4095))
    tell("random bytes", "2.9.4", False, [(64, noise("random answer", 4032))])
    tell("the answer to another question", "7.1.3", False, [(64, bytes.fromhex(exchanges[1]["frame"])[64:])])
    keys = [dict(id=k.id.hex(), secret=k.secret.hex(), public=k.public.hex(), not_before=k.not_before,
                 not_after=k.not_after) for k in (SEAL, SEAL_OLD)]
    return dict(info=b"tekd/1 sealed\0".hex(), seal_keys=keys, exchanges=exchanges, questions=questions,
                answers=replies, choices=choices())


def choices():
    """Which seal key a client takes (7.1.1)."""
    cases = []

    def case(name, chosen, *keys):
        cases.append(dict(name=name, clause="7.1.1", now=TIME, chosen=chosen, keys=[
            dict(zip(("kem", "kdf", "aead", "not_before", "not_after", "public", "id"),
                     (*suite, a, b, SEAL.public.hex(), SEAL.id.hex()))) for suite, a, b in keys]))

    ours = (0x20, 1, 3)

    def key(a, b, suite=ours):
        return suite, TIME + a, TIME + b

    case("one", 0, key(-1, 1))
    case("the one with the greatest beginning", 1, key(-9, 9), key(-5, 5), key(-7, 7))
    case("the newest is not valid yet", 0, key(-9, 9), key(1, 20))
    case("the newest is over", 0, key(-9, 9), key(-5, -1))
    case("from the first second to the last", 1, key(-9, 0), key(0, 9))
    case("another suite", 0, key(-9, 9), key(-5, 5, (0x20, 1, 1)))
    case("none", None)
    case("all over or to come", None, key(-9, -1), key(1, 9))
    case("only another suite", None, key(-9, 9, (0x10, 1, 3)))
    return cases


# 7.4

def verdicts():
    cases = []
    most = dict(most_keys=30, most_keys_of_a_start=3, least_period=1, greatest_period=144, start_ahead_s=7200)
    horizon = NOW - 144 * 14

    def case(name, clause, keys, expect, schema=1, held=(), onset=0, now=TIME, **limits):
        cases.append(dict(name=name, clause=clause, now=now, horizon=horizon, schema=schema, onset=onset,
                          limits=dict(most, **limits), held=keys_json(held), keys=keys_json(keys), verdicts=expect))

    def k(i, start=NOW - 200, period=144, risk=0, size=16):
        return noise(f"judged {i}", size), start, period, risk

    day = NOW // 144 * 144
    case("fourteen days, today's key among them", "7.4.1", [k(i, day - 144 * i) for i in range(14)], [0] * 14)
    case("keys of 32 bytes where 16 are", "7.4.1", [k(1, size=32)], [1])
    case("keys of 16 bytes where 32 are", "7.4.1", [k(1)], [1], schema=3)
    case("periods at and outside the limits", "7.4.1",
         [k(i, period=p) for i, p in enumerate((0, 1, 144, 145, 2**32 - 1))],
         [2, 0, 0, 2, 2])
    case("two hours ahead, and an interval more", "7.4.1", [k(1, NOW + 12), k(2, NOW + 13)], [0, 3])
    case("two hours ahead within an interval", "7.4.1", [k(1, NOW + 12), k(2, NOW + 13)], [0, 3], now=TIME + 599)
    case("at the horizon and an interval before and after", "7.4.1",
         [k(i, horizon - 144 + d) for i, d in enumerate((-1, 0, 1))], [4, 4, 0])
    case("the greatest start", "7.4.1", [k(1, 2**32 - 1)], [3])
    case("risk 8 and 9", "7.4.1", [k(1, risk=8), k(2, risk=9)], [0, 5])
    case("the same key again, with another start too", "7.4.1", [k(1), k(1), k(1, NOW - 400), k(2)], [0, 6, 6, 0])
    case("the same key after one that was refused", "7.4.1", [k(1, period=0), k(1)], [2, 6])
    case("a key that is in the report already", "7.4.1", [k(1), k(2)], [6, 0], held=[k(1)])
    case("four of one start", "7.4.1", [k(i) for i in range(4)], [0, 0, 0, 7])
    case("what was refused does not count for the start", "7.4.1",
         [k(0), k(1), k(2, risk=9), k(3), k(4)], [0, 0, 5, 0, 7])
    case("the report's earlier keys count for the start", "7.4.1", [k(0), k(1)], [0, 7], held=[k(8), k(9)])
    case("31 keys", "7.4.1", [k(i, day - 144 * (i // 3)) for i in range(31)], [0] * 30 + [8])
    case("the report's earlier keys count", "7.4.1", [k(i, day - 144 * i) for i in range(3)], [0, 8, 8],
         held=[k(20, day - 144 * 9)], most_keys=2)
    case("fewer keys where the manifest says so", "7.4.1", [k(0), k(1)], [0, 7], most_keys_of_a_start=1)
    early = [k(0, day - 144 * 12 + 143, 1), k(1, day - 144 * 12), k(2, day - 144 * 12 - 1)]
    case("fourteen and fifteen days before the onset", "7.4.1", early, [0, 0, 9], 2, onset=TODAY + 2)
    case("fourteen days after the onset", "7.4.1", [k(0, day)], [0], 2, onset=TODAY - 14)
    case("fifteen days after the onset", "7.4.1", [k(0, day), k(1, day - 1)], [9, 0], 2, onset=TODAY - 15)
    case("no onset", "7.4.1", [k(0, day)], [0], 2)
    case("the onset does not matter where the schema does not tell it", "7.4.1", early, [0, 0, 0], onset=TODAY + 2)
    case("the first reason counts", "7.4.1",
         [k(0, 2**32 - 1, 0, 9), k(1, 2**32 - 1, 144, 9), k(2, 0, 144, 9), k(3, risk=9), k(3, risk=9)], [2, 3, 4, 5, 5])
    return cases


# 7.5

def puzzles():
    cases = []
    grant, seed = CODE_TEXT.encode(), noise("seed", 16)

    def zeros(solution, seed=seed, report=REPORT, grant=grant):
        digest = H(b"tekd/1 puzzle\0" + seed + report + H(grant) + struct.pack("<Q", solution))
        return 256 - int.from_bytes(digest, "big").bit_length()

    def case(name, solution, bits, solved, **other):
        given = dict(dict(seed=seed, report=REPORT, grant=grant), **other)
        assert (zeros(solution, **given) >= bits) == solved
        cases.append(dict(name=name, clause="7.5.1", bits=bits, solution=struct.pack("<Q", solution).hex(),
                          solved=solved, **{k: v.hex() for k, v in given.items()}))

    found = next(n for n in range(2**30) if zeros(n) == 16)
    case("solved", found, 16, True)
    case("one bit short", found, 17, False)
    case("solved, with one bit to spare", found, 15, True)
    case("another number", found + 1, 16, False)
    case("another report", found, 16, False, report=REPORT_2)
    case("another seed", found, 16, False, seed=noise("other seed", 16))
    case("another grant", found, 16, False, grant=grant[::-1])
    high = next(n for n in range(2**64 - 1, 0, -1) if zeros(n) >= 18)
    case("a large number", high, 18, True)
    return cases


# 7.6

ANSWER = struct.Struct("<BBBBHHQ16sIHHHHH18s")


def answer(outcome="DONE", state=0, verdicts=b"", bits=0, wait=0, time=TIME, seed=bytes(16), serial=0, keys=0, live=0,
           embargo=0, waiting=0, withdrawn=0, signed=bytes(208), vouched=bytes(312), reserved=0, tail=bytes(18)):
    outcome = OUTCOMES.index(outcome) if isinstance(outcome, str) else outcome
    head = ANSWER.pack(outcome, state, len(verdicts), bits, wait, reserved, time, seed, serial, keys, live, embargo,
                       waiting, withdrawn, tail)
    assert len(head) == 64 and len(signed) == 208 and len(vouched) <= 312
    return head + signed + vouched.ljust(312, b"\0") + verdicts


def answers():
    cases = []
    submit = request("SUBMIT", report_keys(), CODE_TEXT.encode(), 1)

    def case(name, clause, **f):
        bytes_ = answer(**f)
        whole = dict(outcome="DONE", state=0, bits=0, wait=0, time=TIME, seed=bytes(16), serial=0, keys=0, live=0,
                     embargo=0, waiting=0, withdrawn=0, verdicts=b"")
        whole.update((k, v) for k, v in f.items() if k in whole)
        whole.update(seed=whole["seed"].hex(), verdicts=list(whole["verdicts"]))
        signed = f.get("signed")
        whole.update(receipt=signed[:128].hex() if signed else None, signatures=signed[128:].hex() if signed else None)
        vouched = f.get("vouched")
        whole.update(delegation=vouched[:80].hex() if vouched else None,
                     delegation_signatures=vouched[80:].ljust(232, b"\0").hex() if vouched else None)
        cases.append(dict(name=name, clause=clause, bytes=trimmed(bytes_).hex(), accept=True, fields=whole))

    def bad(name, clause, bytes_):
        cases.append(dict(name=name, clause=clause, bytes=trimmed(bytes_).hex(), accept=False))

    good = signed(receipt(content=content(submit), verdicts=bytes((0, 4, 0))))
    case("a report is stored", "7.3.1", state=1, verdicts=bytes((0, 4, 0)), keys=2, embargo=1, waiting=1, signed=good,
         vouched=delegation())
    longest = dict(outcome="DONE", state=2, verdicts=bytes([8]) * 35 + b"\0", bits=24, seed=noise("seed", 16), keys=30,
                   signed=signed(receipt(content=content(submit), verdicts=bytes([8]) * 35 + b"\0")),
                   vouched=delegation(by=(ROOT, ROOT_2, ROOT_3)))
    assert len(longest["vouched"]) == 312
    case("all there can be, and signatures of three roots", "7.6.1", **longest)
    case("nothing is stored", "7.3.1", outcome="NOTHING", verdicts=bytes((4, 4, 6)))
    case("every verdict", "7.4.1", outcome="NOTHING", verdicts=bytes(range(1, 10)))
    case("36 verdicts", "7.2.1", outcome="NOTHING", verdicts=bytes([8]) * 36)
    case("the state of a released report", "7.3.6", state=2, serial=9, keys=14, live=12, embargo=1, waiting=1)
    case("the state of a report that is taken back", "7.6.2", state=3, serial=9, keys=14, withdrawn=14)
    case("a report is taken back", "7.3.5", state=3, keys=3, withdrawn=3,
         signed=signed(receipt(kind=4, accepted=0, content=content(request("CANCEL")), verdicts=b"")),
         vouched=delegation())
    case("a puzzle", "7.5.1", outcome="PUZZLE", bits=20, seed=noise("seed", 16))
    case("a grant that will be valid", "7.6.3", outcome="EARLY", wait=7200)
    case("not now", "7.6.3", outcome="BUSY", wait=65_535)
    for outcome in OUTCOMES:
        if outcome not in ("DONE", "NOTHING", "EARLY", "PUZZLE", "BUSY"):
            case(f"outcome {outcome}", "7.6.3", outcome=outcome)
    bad("37 verdicts", "7.2.1", answer(outcome="NOTHING", verdicts=bytes([8]) * 37))
    fields = cases[0]["fields"]
    reserved = answer(state=1, verdicts=bytes((0, 4, 0)), keys=2, embargo=1, waiting=1, signed=good,
                      vouched=delegation(), reserved=0xffff, tail=b"\xff" * 18)
    cases.append(dict(name="reserved fields are ignored", clause="7.6.1", bytes=trimmed(reserved).hex(), accept=True,
                      fields=fields))
    return cases


# 7.7

def receipt(service=SERVICE, set_=SET, incarnation=2, report=REPORT, seq=77, time=TIME, durability=1, kind=1,
            accepted=None, epoch=3, content=bytes(32), verdicts=b"", reserved=bytes(8)):
    accepted = verdicts.count(0) if accepted is None else accepted
    out = struct.pack("<8sII16sQQBBHI32s32s8s", service, set_, incarnation, report, seq, time, durability, kind,
                      accepted, epoch, content, H(verdicts), reserved)
    assert len(out) == 128
    return out


def signed(bytes_, by=ONLINE, context=b"tekd/1 receipt\0", **more):
    return bytes_ + by.list(context + bytes_, **more).ljust(80, b"\0")


def delegation(epoch=3, service=SERVICE, not_before=TIME - 1_000_000, not_after=TIME + 1_000_000, online=ONLINE,
               by=ROOT):
    body = struct.pack("<HHI8sQQ32s16x", 1, 0, epoch, service, not_before, not_after, online.public)
    lists = [root.list(b"tekd/1 delegation\0" + body) for root in (by if isinstance(by, tuple) else (by,))]
    return body + struct.pack("<HH", len(lists), 0) + b"".join(one[4:] for one in lists)


def receipts():
    cases = []
    submit = request("SUBMIT", report_keys(), CODE_TEXT.encode(), 1)
    own = dict(service=SERVICE, set=SET, report=REPORT, kind=1, content=content(submit), verdicts=bytes((0, 4, 0)))
    said = dict(content=own["content"], verdicts=own["verdicts"])

    def case(name, clause, reason, bytes_, vouched=None, newest=None, **other):
        expected = dict(own, **other)
        vouched = delegation() if vouched is None else vouched
        cases.append(dict(
            name=name, clause=clause, own={k: v.hex() if isinstance(v, bytes) else v for k, v in expected.items()},
            receipt=bytes_[:128].hex(), signatures=bytes_[128:].hex(), delegation=vouched[:80].hex(),
            delegation_signatures=vouched[80:].hex(), newest=newest and newest[:80].hex(), accept=reason is None,
            reason=reason))

    whole = signed(receipt(**said))
    flipped = bytes([whole[40] ^ 1])
    cancel = content(request("CANCEL"))
    case("of a report", "7.7.1", None, whole)
    case("of a cancellation", "7.7.1", None, signed(receipt(kind=4, content=cancel)), kind=4, content=cancel,
         verdicts=b"")
    case("of an amendment", "7.7.1", None, signed(receipt(kind=2, **said)), kind=2)
    case("reserved bytes set", "7.7.1", None, signed(receipt(reserved=b"\xff" * 8, **said)))
    case("on several sites", "7.7.1", None, signed(receipt(durability=3, **said)))
    case("in the first second of the delegation", "7.7.2", None, whole, delegation(not_before=TIME))
    case("in the last second of the delegation", "7.7.2", None, whole, delegation(not_after=TIME))
    case("before the delegation", "7.7.2", "time", whole, delegation(not_before=TIME + 1))
    case("after the delegation", "7.7.2", "time", whole, delegation(not_after=TIME - 1))
    case("another epoch", "7.7.1", "epoch", whole, delegation(epoch=4))
    case("another service", "7.7.2", "service", signed(receipt(service=bytes(8), **said)))
    case("a delegation of another service", "7.7.2", "service", whole, delegation(service=bytes(8)))
    case("another set", "7.7.2", "set", signed(receipt(set_=2, **said)))
    case("another report", "7.7.2", "report", signed(receipt(report=REPORT_2, **said)))
    case("other content", "7.7.2", "content", signed(receipt(**dict(said, content=noise("content", 32)))))
    case("other verdicts", "7.7.2", "verdicts", signed(receipt(accepted=2, **dict(said, verdicts=bytes((0, 0, 4))))))
    case("another number of accepted keys", "7.7.1", "verdicts", signed(receipt(accepted=3, **said)))
    case("another kind of request", "7.7.1", "kind", signed(receipt(kind=2, **said)))
    case("one bit of the receipt flipped", "7.7.1", "signature", whole[:40] + flipped + whole[41:])
    case("signed by a stranger", "7.7.1", "unsigned", signed(receipt(**said), STRANGER))
    case("signed by the root", "7.7.1", "unsigned", signed(receipt(**said), ROOT))
    case("not signed", "7.7.1", "unsigned", receipt(**said) + bytes(80))
    case("an unknown algorithm", "3.4.3", "unsigned", signed(receipt(**said), algorithm=2))
    case("signed as a checkpoint", "7.7.1", "signature", signed(receipt(**said), context=b"tekd/1 checkpoint\0"))
    case("a delegation by a stranger", "7.7.2", "threshold", whole, delegation(by=STRANGER))
    case("a delegation of another key", "7.7.2", "unsigned", whole, delegation(online=STRANGER))
    case("no delegation", "7.7.2", "delegation", whole, bytes(80 + 4))
    soon, late = TIME - 7_200, TIME - 7_201
    case("of the epoch before, given before its end", "7.7.2", None, whole,
         newest=delegation(epoch=4, not_before=TIME - 3_600, online=STRANGER))
    case("in the last second of an epoch before", "7.7.4", None, whole,
         newest=delegation(epoch=9, not_before=soon, online=STRANGER))
    case("a second after it", "7.7.4", "superseded", whole,
         newest=delegation(epoch=9, not_before=late, online=STRANGER))
    case("of the newest epoch", "7.7.4", None, whole, newest=delegation(not_before=late))
    case("of an epoch after the newest", "7.7.2", None, whole,
         newest=delegation(epoch=2, not_before=late, online=STRANGER))
    case("of an epoch before, named as that of the newest", "7.7.1", "epoch", signed(receipt(epoch=4, **said)),
         newest=delegation(epoch=4, not_before=late, online=STRANGER))
    tampered = bytearray(delegation())
    tampered[30] ^= 1
    case("one bit of the delegation flipped", "7.7.2", "signature", whole, bytes(tampered))
    return cases


# 7.8.2 to 7.8.4

SYMBOLS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def times(a, b):
    out = 0
    while b:
        if b & 1:
            out ^= a
        a, b = a << 1, b >> 1
        if a & 32:
            a ^= 0b100101
    return out


POWERS = [1]
while len(POWERS) < 31:
    POWERS.append(times(POWERS[-1], 2))


def with_check(data):
    total = 0
    for power, d in zip(POWERS, data):
        total ^= times(power, d)
    (check,) = [d for d in range(32) if times(POWERS[11], d) == total]
    return data + [check]


def text_of(symbols):
    text = "".join(SYMBOLS[d] for d in symbols)
    return "-".join(text[i:i + 4] for i in range(0, 12, 4))


CODES_KEY = noise("codes key", 32)


def batch_secret(nonce):
    return mac(CODES_KEY, b"tekd/1 batch\0" + nonce)


def code(nonce, index):
    bits = int.from_bytes(mac(batch_secret(nonce), b"tekd/1 code\0" + struct.pack("<I", index)), "big") >> (256 - 55)
    return text_of(with_check([bits >> 5 * (10 - i) & 31 for i in range(11)]))


NONCES = [noise("batch 1", 16), noise("batch 2", 16)]
CODE_TEXT = code(NONCES[0], 0)


def codes():
    batches = [dict(clause="7.8.4", nonce=nonce.hex(), secret=batch_secret(nonce).hex(),
                    codes=[dict(index=i, text=code(nonce, i)) for i in (0, 1, 2, 255, 65_536, 2**32 - 1)])
               for nonce in NONCES]
    typed = []

    def case(name, clause, text, read):
        typed.append(dict(name=name, clause=clause, typed=text, symbols=read))

    plain = CODE_TEXT.replace("-", "")
    case("as it is printed", "7.8.2", CODE_TEXT, plain)
    case("without hyphens", "7.8.2", plain, plain)
    case("in small letters", "7.8.2", CODE_TEXT.lower(), plain)
    case("with blanks", "7.8.2", " " + CODE_TEXT.replace("-", " - ") + " ", plain)
    case("with tabs", "7.8.2", "\t" + CODE_TEXT.replace("-", "\t"), plain)
    case("with a line feed, which is no blank", "7.8.2", plain + "\n", None)
    case("a hyphen elsewhere", "7.8.2", plain[:1] + "-" + plain[1:] + "-", plain)
    alike = text_of(with_check([0, 1, 31, 0, 1, 1, 10, 16, 0, 0, 5]))
    case("O for 0, I and L for 1", "7.8.2", alike.replace("0", "O").replace("1", "I", 1).replace("1", "L"),
         alike.replace("-", ""))
    case("the same in small letters", "7.8.2", alike.replace("0", "o").replace("1", "l", 1).replace("1", "i"),
         alike.replace("-", ""))
    case("all zeros, which are a code like any", "7.8.3", "0000-0000-0000", "0" * 12)
    for symbols in ([1] + [0] * 10, [0] * 10 + [1], [31] * 11):
        text = text_of(with_check(symbols))
        case(f"the check of {text[:-1]}", "7.8.3", text, text.replace("-", ""))
    for at in (0, 5, 10, 11):
        other = SYMBOLS[(SYMBOLS.index(plain[at]) + 1 + at) % 32]
        case(f"symbol {at} is another", "7.8.3", plain[:at] + other + plain[at + 1:], None)
    for at in range(11):
        if plain[at] != plain[at + 1]:
            case(f"symbols {at} and {at + 1} exchanged", "7.8.3",
                 plain[:at] + plain[at + 1] + plain[at] + plain[at + 2:], None)
    first, last = plain[0], plain[11]
    assert first != last
    case("the first and the last exchanged", "7.8.3", last + plain[1:11] + first, None)
    case("a U", "7.8.2", "U" + plain[1:], None)
    case("a sign that is no symbol", "7.8.2", plain[:11] + "!", None)
    case("eleven symbols", "7.8.2", plain[:11], None)
    case("thirteen symbols", "7.8.2", plain + "0", None)
    case("eleven zeros, whose sum is 0 too", "7.8.2", "0" * 11, None)
    case("a code among blanks, 25 characters long", "7.8.2", plain + " " * 13, None)
    case("seven characters", "7.8.2", plain[:7], None)
    case("nothing but blanks", "7.8.2", " " * 12, None)
    case("not ASCII", "7.8.2", plain[:11] + "é", None)
    return dict(codes_key=CODES_KEY.hex(), powers=POWERS, batches=batches, typed=typed)


# 7.8.5, 7.8.6, 7.8.8

def commitment(keys):
    return H(b"tekd/1 keys\0" + b"".join(k + struct.pack("<II", start, period) for k, start, period, _ in sorted(keys)))


def identity(type_, what):
    return H(b"tekd/1 grant\0" + struct.pack("<H", type_) + what)[:16]


SIGNED = b"tekd/1 certificate\0"
PROVIDERS = [(7, "active", (CLINIC, CLINIC_NEXT)), (8, "suspended", (CLOSED,)), (9, "revoked", (GONE,))]


def certificates():
    cases = []
    keys = report_keys(3, risk=2)

    def made(by=CLINIC, context=SIGNED, cut=224, **changes):
        f = dict(layout=1, type=1, reserved=0, set=SET, service=SERVICE, provider=7, onset=TODAY - 4,
                 not_before=TIME - HOUR, not_after=TIME + DAY, key_id=by.id, nonce=noise("nonce", 16),
                 commitment=commitment(keys), tail=bytes(64))
        f.update(changes)
        body = struct.pack("<HBBI8sIIQQ8s16s32s64s", *f.values())
        assert len(body) == 160
        return (body + by.private.sign(context + body))[:cut], f

    def case(name, clause, outcome, certificate, now=TIME, asked=0, over=keys, spent=()):
        value, f = certificate
        row = dict(name=name, clause=clause, value=value.hex(), now=now, asked=asked, keys=keys_json(over),
                   spent=[x.hex() for x in spent], outcome=outcome)
        if outcome == "DONE":
            row.update(identity=identity(2, SIGNED + value[:160]).hex(), commitment=f["commitment"].hex(), fields=dict(
                type=f["type"], set=f["set"], provider=f["provider"], onset=f["onset"], not_before=f["not_before"],
                not_after=f["not_after"], key_id=f["key_id"].hex(), nonce=f["nonce"].hex()))
        cases.append(row)

    whole = made()
    case("over these keys", "7.8.5", "DONE", whole)
    case("the keys in another order", "7.8.6", "DONE", whole, over=keys[::-1])
    case("with another risk, which it does not bind", "7.8.6", "DONE", whole, over=[k[:3] + (7,) for k in keys])
    case("the report type it has is asked for", "7.2.1", "DONE", whole, asked=1)
    case("without an onset", "7.8.5", "DONE", made(onset=0))
    case("a clinical diagnosis", "7.8.1", "DONE", made(type=2))
    case("a self report", "7.8.1", "DONE", made(type=3))
    case("the other key of the provider", "7.8.5", "DONE", made(CLINIC_NEXT))
    twice = [keys[0], (keys[0][0], keys[0][1] - 144, 144, 2), (keys[0][0], keys[0][1], 9, 2)]
    case("one key with two starts and two periods", "7.8.6", "DONE", made(commitment=commitment(twice)), over=twice)
    case("keys of 32 bytes", "7.8.6", "DONE", made(commitment=commitment(report_keys(2, 32))), over=report_keys(2, 32))
    case("300 seconds early", "7.8.6", "DONE", made(not_before=TIME + 300))
    case("300 seconds late", "7.8.6", "DONE", made(not_after=TIME - 300))
    case("valid for fourteen days", "7.8.5", "DONE", made(not_after=TIME - HOUR + 14 * DAY))
    case("another was spent", "7.8.8", "DONE", whole, spent=[identity(2, SIGNED + made(nonce=bytes(16))[0][:160])])
    case("301 seconds early", "7.8.6", "EARLY", made(not_before=TIME + 301))
    case("301 seconds late", "7.8.6", "EXPIRED", made(not_after=TIME - 301))
    case("valid for a second more than fourteen days", "7.8.5", "GRANT", made(not_after=TIME - HOUR + 14 * DAY + 1))
    case("spent by another report", "7.8.8", "SPENT", whole, spent=[identity(2, SIGNED + whole[0][:160])])
    case("another report type is asked for", "7.6.3", "TYPE", whole, asked=2)
    case("negative, with which no report begins", "7.8.1", "TYPE", made(type=5))
    case("another set", "7.6.3", "SET", made(set=2))
    case("another service", "7.6.3", "AUDIENCE", made(service=bytes(8)))
    case("a provider there is not", "7.6.3", "UNKNOWN", made(provider=70))
    case("a key there is not", "7.6.3", "UNKNOWN", made(STRANGER))
    case("a key of another provider", "7.6.3", "UNKNOWN", made(GONE))
    case("a suspended provider", "7.6.3", "SUSPENDED", made(CLOSED, provider=8))
    case("a revoked provider", "7.6.3", "REVOKED", made(GONE, provider=9))
    case("one key fewer", "7.8.6", "KEYS", whole, over=keys[:2])
    case("one key more", "7.8.6", "KEYS", whole, over=keys + report_keys(1, name="more"))
    case("another start", "7.8.6", "KEYS", whole, over=[keys[0], keys[1], (keys[2][0], keys[2][1] + 1, 144, 2)])
    case("another period", "7.8.6", "KEYS", whole, over=[keys[0], keys[1], (keys[2][0], keys[2][1], 143, 2)])
    case("another key", "7.8.6", "KEYS", whole, over=keys[:2] + report_keys(1, name="other"))
    case("a signature by another key than it names", "7.6.3", "SIGNATURE", made(STRANGER, key_id=CLINIC.id))
    case("a signature in another context", "7.8.5", "SIGNATURE", made(context=b"tekd/1 receipt\0"))
    case("a signature of zeros", "7.8.5", "SIGNATURE", (whole[0][:160] + bytes(64), None))
    case("layout 2", "7.8.5", "GRANT", made(layout=2))
    case("reserved byte 3", "7.8.5", "GRANT", made(reserved=1))
    case("the last reserved byte", "7.8.5", "GRANT", made(tail=bytes(63) + b"\1"))
    case("a byte too few", "7.8.5", "GRANT", made(cut=223))
    case("a byte too many", "7.8.5", "GRANT", (whole[0] + b"\0", None))
    case("nothing but its signed part", "7.8.5", "GRANT", made(cut=160))
    return dict(
        providers=[dict(provider=p, state=state, keys=[dict(id=k.id.hex(), public=k.public.hex()) for k in keys_])
                   for p, state, keys_ in PROVIDERS],
        cases=cases)


# 7.8.7

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def tekmac_text(keys, risks=True):
    rows = sorted((b64(k), start, period, risk) for k, start, period, risk in keys)
    return ",".join(".".join(str(x) for x in (row if risks else row[:3])) for row in rows)


def tekmacs():
    secret = bytes(range(1, 17))
    a, b = base64.b64decode("z2Cx9hdz2SlxZ8GEgqTYpA=="), base64.b64decode("dPCphLzfG4uzXneNimkPRQ==")
    rows = [
        ("the field's vector with risks", [(a, 1, 144, 3), (b, 144, 144, 5)], True,
         "2u1nHt5WWurJytFLF3xitNzM99oNrad2y4YGOL53AeY="),
        ("the field's vector with risks of 0", [(a, 1, 144, 0), (b, 144, 144, 0)], True,
         "mFNI9zhTA17n4ndd1Vu5tsn4XQX0gPrIKyjeh/9noUE="),
        ("the field's vector without risks", [(a, 1, 144, 0), (b, 144, 144, 0)], False,
         "J9S7xVebH/66dm14wGsIcAnSUR3PHD4NtDQEOGZbDUo="),
        ("one key", [(a, 1, 144, 1)], True, None), ("no key", [], True, None),
        ("signs before letters in base64", [(b"\xfb" * 16, 5, 6, 0), (b"\0" * 16, 7, 8, 0), (b"\xd3" * 16, 1, 2, 0)],
         True, None)]
    cases = []
    for name, keys, risks, known in rows:
        text = tekmac_text(keys, risks)
        value = b64(mac(secret, text.encode()))
        assert known in (None, value)
        cases.append(dict(name=name, clause="7.8.7", hmac_key=secret.hex(), keys=keys_json(keys), risks=risks,
                          text=text, tekmac=value))
    return cases


def jwts():
    cases = []
    keys, secret = report_keys(3, risk=2), noise("hmac key", 32)
    private = ec.derive_private_key(int.from_bytes(H(b"tekd test key ES256"), "big") % ORDER, ec.SECP256R1())
    public = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    stranger = ec.derive_private_key(int.from_bytes(H(b"tekd test key other ES256"), "big") % ORDER, ec.SECP256R1())

    def url(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    def packed(value):
        return url(value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode())

    def made(by=private, header=None, claims=None, drop=(), twin=False, hmac_key=secret, over=keys, risks=True, head=None,
             **changes):
        head = dict(alg="ES256", kid="v1", typ="JWT") if head is None else head
        if isinstance(head, dict):
            head.update(header or {})
        claims = dict(
            iss="health.example", aud="keys.example", iat=TIME - 60, exp=TIME + 900, reportType="confirmed",
            symptomOnsetInterval=NOW - 500,
            tekmac=b64(mac(hmac_key, tekmac_text(over, risks).encode()))) if claims is None else claims
        if isinstance(claims, dict):
            claims.update(changes)
            claims = {k: v for k, v in claims.items() if k not in drop}
        what = packed(head) + b"." + packed(claims)
        r, s = decode_dss_signature(by.sign(what, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)))
        s = ORDER - s if twin else s
        text = what + b"." + url(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
        return bytes([len(hmac_key)]) + hmac_key + text, what

    def case(name, clause, outcome, token, asked=0, over=keys, spent=(), type_=1, onset=(NOW - 500) // 144):
        value, what = token
        assert len(value) <= 1024, name
        row = dict(name=name, clause=clause, value=value.hex(), now=TIME, asked=asked, keys=keys_json(over),
                   spent=[x.hex() for x in spent], outcome=outcome)
        if outcome == "DONE":
            row.update(identity=identity(3, what).hex(), type=type_, onset=onset)
        cases.append(row)

    whole = made()
    claims_json = base64.urlsafe_b64decode(whole[1].split(b".")[1] + b"===")
    zero = [k[:3] + (0,) for k in keys]
    case("over these keys", "7.8.7", "DONE", whole)
    case("the keys in another order", "7.8.7", "DONE", whole, over=keys[::-1])
    case("risks of 0, said", "7.8.7", "DONE", made(over=zero), over=zero)
    case("risks of 0, not said", "7.8.7", "DONE", made(over=zero, risks=False), over=zero)
    case("the other S of the same signature is the same grant", "7.8.8", "DONE", made(twin=True))
    case("the shortest HMAC key", "7.8.7", "DONE", made(hmac_key=noise("short", 16)))
    case("the longest HMAC key", "7.8.7", "DONE", made(hmac_key=noise("long", 64)))
    case("without an onset", "7.8.7", "DONE", made(drop=("symptomOnsetInterval",)), onset=0)
    case("likely", "7.8.7", "DONE", made(reportType="likely"), type_=2)
    case("user-report", "7.8.7", "DONE", made(reportType="user-report"), type_=3)
    case("the report type it has is asked for", "7.2.1", "DONE", whole, asked=1)
    case("nbf in the past", "7.8.7", "DONE", made(nbf=TIME - 60))
    case("nbf within the grace", "7.8.7", "DONE", made(nbf=TIME + 300))
    case("iat within the grace", "7.8.7", "DONE", made(iat=TIME + 300))
    case("exp within the grace", "7.8.7", "DONE", made(exp=TIME - 300, iat=TIME - 900))
    case("valid for fourteen days", "7.8.7", "DONE", made(exp=TIME - 60 + 14 * DAY))
    case("claims that are not known", "7.8.7", "DONE", made(jti="x", more=[1, {}]))
    case("times with fractions", "7.8.7", "DONE", made(iat=TIME + 300.9, exp=TIME + 900.5, nbf=TIME + 300.75))
    case("nbf beyond the grace", "7.8.7", "EARLY", made(nbf=TIME + 301))
    case("iat beyond the grace", "7.8.7", "EARLY", made(iat=TIME + 301))
    case("exp beyond the grace", "7.8.7", "EXPIRED", made(exp=TIME - 301, iat=TIME - 900))
    case("valid for a second more than fourteen days", "7.8.7", "GRANT", made(exp=TIME - 60 + 14 * DAY + 1))
    case("spent by another report", "7.8.8", "SPENT", whole, spent=[identity(3, whole[1])])
    case("spent, with the other S", "7.8.8", "SPENT", made(twin=True), spent=[identity(3, whole[1])])
    case("another report type is asked for", "7.6.3", "TYPE", whole, asked=3)
    case("negative, with which no report begins", "7.8.1", "TYPE", made(reportType="negative"))
    case("a report type there is not", "7.8.7", "GRANT", made(reportType="positive"))
    case("no report type", "7.8.7", "GRANT", made(drop=("reportType",)))
    case("an issuer there is not", "7.6.3", "UNKNOWN", made(iss="other.example"))
    case("a key there is not", "7.6.3", "UNKNOWN", made(header=dict(kid="v2")))
    case("no audience", "7.8.7", "AUDIENCE", made(drop=("aud",)))
    case("another audience", "7.6.3", "AUDIENCE", made(aud="other.example"))
    case("signed by another key", "7.6.3", "SIGNATURE", made(by=stranger))
    later = made(exp=TIME + 901)
    case("claims that were changed after signing", "7.6.3", "SIGNATURE",
         (b"\x20" + secret + later[1] + whole[0][whole[0].rindex(b"."):], None))
    case("over other keys", "7.8.7", "KEYS", whole, over=keys[:2])
    case("over another risk", "7.8.7", "KEYS", whole, over=[k[:3] + (3,) for k in keys])
    case("risks not said that are not 0", "7.8.7", "KEYS", made(risks=False))
    case("another HMAC key", "7.8.7", "KEYS", (whole[0][:1] + noise("other hmac", 32) + whole[0][33:], None))
    case("algorithm none", "7.8.7", "GRANT", made(header=dict(alg="none")))
    case("algorithm HS256", "7.8.7", "GRANT", made(header=dict(alg="HS256")))
    case("an HMAC key of 15 bytes", "7.8.7", "GRANT", made(hmac_key=noise("short", 15)))
    case("an HMAC key of 65 bytes", "7.8.7", "GRANT", made(hmac_key=noise("long", 65)))
    case("an HMAC key that does not end", "7.8.7", "GRANT", (b"\x40" + noise("cut", 30), None))
    case("no JWT", "7.8.7", "GRANT", (b"\x20" + secret, None))
    case("two parts", "7.8.7", "GRANT", (b"\x20" + secret + whole[1], None))
    case("four parts", "7.8.7", "GRANT", (whole[0] + b".", None))
    case("not base64url", "7.8.7", "GRANT", (b"\x20" + secret + b"!" + whole[0][34:], None))
    case("a header that is no JSON", "7.8.7", "GRANT", made(head=b"{alg"))
    case("claims that are no JSON", "7.8.7", "GRANT", made(claims=b"{"))
    case("claims that are no object", "7.8.7", "GRANT", made(claims=b"[]"))
    case("no iat", "7.8.7", "GRANT", made(drop=("iat",)))
    case("no exp", "7.8.7", "GRANT", made(drop=("exp",)))
    case("an exp that is no number", "7.8.7", "GRANT", made(exp="soon"))
    case("no issuer", "7.8.7", "GRANT", made(drop=("iss",)))
    case("no kid", "7.8.7", "GRANT", made(head=dict(alg="ES256")))
    case("crit", "7.8.7", "GRANT", made(header=dict(crit=["exp"])))
    case("a member twice", "7.8.7", "GRANT", made(head=b'{"alg":"ES256","kid":"v1","kid":"v1"}'))
    case("a claim twice", "7.8.7", "GRANT",
         made(claims=claims_json[:-1] + b',"iat":%d}' % (TIME - 60)))
    case("padding in the compact form", "7.8.7", "GRANT", (whole[0] + b"==", None))
    case("no tekmac", "7.8.7", "GRANT", made(drop=("tekmac",)))
    return dict(issuers=[dict(issuer="health.example", audience="keys.example", kid="v1", public=public.hex())],
                tekmac=tekmacs(), cases=cases)


def main():
    vectors = dict(
        about="Reports (page 7). Made by make_reports.py; the keys are public. Requests and answers lack the zeros at their "
        "end.",
        service=SERVICE.hex(), set=SET, time=TIME,
        trust=json.dumps(dict(format=1, service=SERVICE.hex(), threshold=1, roots=[b64(ROOT.public)], sets=[SET])),
        sealing=sealing(), requests=requests(), verdicts=verdicts(), puzzles=puzzles(), answers=answers(),
        receipts=receipts(), codes=codes(), certificates=certificates(), jwts=jwts())
    target = os.path.join(os.path.dirname(os.path.abspath(__file__)), "reports.json")
    with open(target, "w", encoding="utf-8", newline="\n") as out:
        json.dump(vectors, out, indent=1, ensure_ascii=False)
        out.write("\n")


if __name__ == "__main__":
    main()
