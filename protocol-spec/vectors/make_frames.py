#!/usr/bin/env python3
"""Writes frames.json: frames of version 1 and what a receiver makes of each.

Frames are put together here from the tables of 1-frame.md and 2-operations.md by
hand, with struct alone, so that they owe nothing to any implementation. Run it from
anywhere; it replaces the file beside it. What is random in a real frame is taken
from a counted hash here, so that the file is the same every time.

questions: what a server with the service id of the file makes of a frame.
  {"silent": reason}                    no answer (1.1.4)
  {"refuse": result, "info": n}         and `answer`, the refusal with cookie, wait, flags and version zero
  {"other_version": n}                  and `answer`, exactly (1.1.6)
  {"question": {"op": name, ...}}       what is asked, before any set is looked at
answers: what a client that asked `asked` makes of a frame.
  {"error": clause, "ignore": bool}     the clause that is broken; ignore: the question stays open (4.5.4)
  {"refused": {"result", "info"}}       a hint
  {"answer": {"op": name, ...}}         what it says, unproved
"""

import hashlib
import json
import pathlib
import struct

SERVICE = bytes.fromhex("74656b6431a0b1c2")
OTHER = bytes.fromhex("74656b6431a0b1c3")
TXID = 0x0807060504030201
OPS = ["INFO", "CHECKPOINT", "LOOKUP", "BUCKET", "SYNC", "FETCH", "PROOF", "MANIFEST", "SEALED", "NOTIFY"]
CODE = {name: number for number, name in enumerate(OPS, 1)}
RESULTS = ["OK", "MALFORMED", "VERSION", "OPERATION", "CRITICAL", "COOKIE", "TRUNCATED", "SET", "GONE",
           "TRANSPORT", "BUSY", "PENDING", "UNAVAILABLE", "RANGE", "REFUSED"]


def noise(label, length):
    """Bytes that look random and are always the same."""
    out = b""
    while len(out) < length:
        out += hashlib.sha256(f"{label} {len(out)}".encode()).digest()
    return out[:length]


def header(op, length, *, first=0x81, flags=0, service=SERVICE, txid=TXID, cookie=0, set_=1, at36=0, at38=0,
           at39=0, version=0, arg=b""):
    """64 bytes of 1.1.2; at36, at38, at39 differ between question and answer."""
    return struct.pack("<BBHI8sQQIHBBQ16s", first, op, flags, length, service, txid, cookie, set_, at36, at38, at39,
                       version, arg)


def question(op, body=b"", tlvs=b"", *, length=None, count=0, bits=0, max_answer=0, **fields):
    code = CODE.get(op, op)
    total = 64 + len(body) + len(tlvs) if length is None else length
    return header(code, total, at36=max_answer, at38=count, at39=bits, **fields) + body + tlvs


def answer(op, body=b"", tlvs=b"", *, length=None, result="OK", wait=0, detail=b"", code=None, **fields):
    code = CODE[op] | 0x80 if code is None else code
    number = RESULTS.index(result) if isinstance(result, str) else result
    total = 64 + len(body) + len(tlvs) if length is None else length
    return header(code, total, at36=number, at38=wait & 0xFF, at39=wait >> 8, arg=detail, **fields) + body + tlvs


def tlv(kind, value=b"", *, length=None, fill=0):
    filling = bytes([fill]) * (-len(value) % 4)
    return struct.pack("<HH", kind, len(value) if length is None else length) + value + filling


def pad_to(total, bare):
    return tlv(1, bytes(total - bare - 4))


questions = []
answers = []


def asks(name, clause, frame, expect, transport="udp"):
    vector = {"name": name, "clause": clause, "transport": transport, "frame": frame.hex(), "expect": expect}
    if "refuse" in expect:
        detail = struct.pack("<I", expect["info"])
        vector["answer"] = header(frame[1] | 0x80, 64, set_=struct.unpack_from("<I", frame, 32)[0],
                                  txid=struct.unpack_from("<Q", frame, 16)[0],
                                  at36=RESULTS.index(expect["refuse"]), arg=detail).hex()
    if "other_version" in expect:
        vector["answer"] = header(frame[1] | 0x80, 64, first=0x80, set_=0, at36=2, arg=b"\x01").hex()
    questions.append(vector)


def both(name, clause, frame, expect):
    asks(name, clause, frame, expect, "udp")
    asks(name + ", on a stream", clause, frame, expect, "stream")


def silent(reason):
    return {"silent": reason}


def refuse(result, info=0):
    return {"refuse": result, "info": info}


def says(op, **fields):
    return {"question": {"op": op, **fields}}


# Headers, INFO and CHECKPOINT: 1.1, 2.1, 2.2

info = question("INFO")
both("INFO, header only", "2.1.1", info, says("INFO", set=1))
asks("INFO about set 4294967295", "1.1.2", question("INFO", set_=0xFFFFFFFF), says("INFO", set=0xFFFFFFFF))
asks("INFO with cookie and max_answer", "1.1.2", question("INFO", cookie=0x1122334455667788, max_answer=512),
     says("INFO", cookie=0x1122334455667788, max_answer=512))
asks("a transaction id of zero is as good as any", "1.1.2", question("INFO", txid=0), says("INFO", txid=0))
asks("flags without meaning are ignored", "1.1.7", question("INFO", flags=0xFFFC), says("INFO"))
asks("fields that INFO does not mention are ignored", "2.0.2",
     question("INFO", count=255, bits=255, version=99, arg=noise("argument", 16)), says("INFO"))
asks("CHECKPOINT padded to 1232 bytes", "2.2.1", question("CHECKPOINT", tlvs=pad_to(1232, 64)), says("CHECKPOINT"))
asks("CHECKPOINT with a cookie", "2.2.1", question("CHECKPOINT", cookie=7), says("CHECKPOINT", cookie=7))

# Silence: 1.1.4, 1.3

asks("nothing", "1.1.4", b"", silent("length"))
asks("63 bytes", "1.1.4", question("INFO", length=63)[:63], silent("length"))
asks("a length field below the bytes received", "1.1.4", question("INFO", tlvs=tlv(1), length=64), silent("length"))
asks("a length field above the bytes received", "1.1.4", question("INFO", length=68), silent("length"))
asks("a length field of zero", "1.1.4", question("INFO", length=0), silent("length"))
asks("a LOOKUP cut off by the network", "1.1.4",
     question("LOOKUP", noise("cut", 16) + bytes(16), count=1)[:95], silent("length"))
asks("1236 bytes on UDP", "1.3.1", question("INFO", tlvs=pad_to(1236, 64)), silent("length"))
asks("1236 bytes on a stream", "1.3.2", question("INFO", tlvs=pad_to(1236, 64)), says("INFO"), "stream")
asks("4096 bytes on a stream", "1.3.2", question("INFO", tlvs=pad_to(4096, 64)), says("INFO"), "stream")
asks("4100 bytes on a stream", "1.3.2", question("INFO", tlvs=pad_to(4100, 64)), silent("length"), "stream")
for first in (0x00, 0x01, 0x7F, 0xC0, 0xFF):
    asks(f"first byte {first:#04x}", "1.1.3", question("INFO", first=first), silent("first_byte"))
both("another service", "1.1.4", question("INFO", service=OTHER), silent("service"))
both("an answer", "1.1.5", question(0x81), silent("reply"))
asks("an answer of another version", "1.1.6", question(0x81, first=0x80), silent("reply"))
asks("an answer of an operation that nobody knows", "1.1.4", question(0xFF), silent("reply"))
asks("another version and another service", "1.1.6", question("INFO", first=0x82, service=OTHER), silent("service"))

# Version and operation: 1.1.6, 2.0.1

asks("version 2", "1.1.6", question("SYNC", first=0x82, cookie=9, version=5), {"other_version": 2})
asks("version 63 with a body that version 1 cannot read", "1.1.6",
     question(0x7E, noise("future", 37), first=0xBF), {"other_version": 63})
asks("version 0", "1.1.6", question("INFO", first=0x80), {"other_version": 0})
asks("version 2 goes before an unknown operation", "1.4.3", question(0x0F, first=0x82), {"other_version": 2})
for code in (0x00, 0x0B, 0x0F, 0x1F, 0x7F):
    asks(f"operation {code:#04x}", "2.0.1", question(code), refuse("OPERATION"))
asks("an unknown operation goes before TLVs that cannot be read", "1.4.3", question(0x0F, b"\xff" * 7),
     refuse("OPERATION"), "stream")

# TLVs: 1.2

asks("PAD of no bytes", "1.2.4", question("INFO", tlvs=tlv(1)), says("INFO"))
asks("PAD of any bytes", "1.2.4", question("INFO", tlvs=tlv(1, noise("pad", 33))), says("INFO"))
asks("a critical PAD is known", "1.2.1", question("INFO", tlvs=tlv(0x8001, b"\x01\x02")), says("INFO"))
asks("ERROR_TEXT in a question means nothing", "1.2.4", question("INFO", tlvs=tlv(2, b"hello")), says("INFO"))
asks("a greased TLV after PAD", "1.2.4", question("INFO", tlvs=tlv(1, b"\0") + tlv(0x1A2A, b"grease")), says("INFO"))
asks("a TLV of type 0", "1.2.3", question("INFO", tlvs=tlv(0, b"zero")), says("INFO"))
asks("an unknown TLV", "1.2.3", question("INFO", tlvs=tlv(0x0BAD, b"?")), says("INFO"))
both("an unknown critical TLV", "1.2.3", question("INFO", tlvs=tlv(0x8BAD, b"?")), refuse("CRITICAL", 0x8BAD))
asks("grease marked critical", "1.2.4", question("INFO", tlvs=tlv(0x8A0A)), refuse("CRITICAL", 0x8A0A))
asks("the first of two unknown critical TLVs is named", "1.2.3",
     question("INFO", tlvs=tlv(1) + tlv(0x8003) + tlv(0x8004)), refuse("CRITICAL", 0x8003))
asks("the last type", "1.2.2", question("INFO", tlvs=tlv(0x7FFF)), says("INFO"))
asks("sixteen TLVs", "1.2.2", question("INFO", tlvs=b"".join(tlv(0x100 + n) for n in range(16))), says("INFO"))
asks("seventeen TLVs", "1.2.2", question("INFO", tlvs=b"".join(tlv(0x100 + n) for n in range(17))),
     refuse("MALFORMED"))
asks("two PADs", "1.2.2", question("INFO", tlvs=tlv(1) + tlv(1)), refuse("MALFORMED"))
asks("types that descend", "1.2.2", question("INFO", tlvs=tlv(0x1A2A) + tlv(1)), refuse("MALFORMED"))
asks("one type with and without the critical bit", "1.2.2", question("INFO", tlvs=tlv(1) + tlv(0x8001)),
     refuse("MALFORMED"))
asks("the critical bit does not count in the order", "1.2.2", question("INFO", tlvs=tlv(0x8001) + tlv(2)),
     says("INFO"))
asks("one byte after the header", "1.2.2", question("INFO", b"\0"), refuse("MALFORMED"))
asks("three bytes after the header", "1.2.2", question("INFO", b"\1\0\0"), refuse("MALFORMED"))
asks("a value longer than the frame", "1.2.2", question("INFO", tlvs=tlv(1, b"1234", length=5)), refuse("MALFORMED"))
asks("a value of 65535 bytes that are not there", "1.2.2", question("INFO", tlvs=tlv(1, length=0xFFFF)),
     refuse("MALFORMED"))
asks("a value that is not filled up", "1.2.1", question("INFO", tlvs=tlv(1, b"12345")[:-3]), refuse("MALFORMED"))
asks("a filling byte that is not zero", "1.2.2", question("INFO", tlvs=tlv(1, b"12345", fill=1)), refuse("MALFORMED"))
asks("MALFORMED goes before CRITICAL", "1.2.2", question("INFO", tlvs=tlv(0x8BAD) + b"\0"), refuse("MALFORMED"))

# LOOKUP: 2.3

keys16 = [noise(f"key {n}", 16) for n in range(33)]
keys32 = [noise(f"long key {n}", 32) for n in range(25)]


def slots(keys):
    return b"".join(key + bytes(16) for key in keys)


def lookup(keys, **fields):
    return question("LOOKUP", slots(keys), count=fields.pop("count", len(keys)), **fields)


def keys_hex(keys):
    return [key.hex() for key in keys]


both("LOOKUP of one key", "2.3.1", lookup(keys16[:1]), says("LOOKUP", slot_len=32, keys=keys_hex(keys16[:1])))
asks("LOOKUP of 32 keys", "2.3.1", lookup(keys16[:32]), says("LOOKUP", slot_len=32, keys=keys_hex(keys16[:32])))
asks("LOOKUP of one long key", "2.3.1", lookup(keys32[:1], flags=2),
     says("LOOKUP", slot_len=48, keys=keys_hex(keys32[:1])))
asks("LOOKUP of 24 long keys", "2.3.1", lookup(keys32[:24], flags=2),
     says("LOOKUP", slot_len=48, keys=keys_hex(keys32[:24])))
asks("LOOKUP of one key twice", "2.3.1", lookup(keys16[:1] * 2),
     says("LOOKUP", slot_len=32, keys=keys_hex(keys16[:1] * 2)))
asks("the other bytes of a slot are ignored", "2.3.1", question("LOOKUP", keys16[0] + noise("slot", 16), count=1),
     says("LOOKUP", slot_len=32, keys=keys_hex(keys16[:1])))
asks("LOOKUP with PAD", "1.2.1", question("LOOKUP", slots(keys16[:1]), pad_to(256, 96), count=1),
     says("LOOKUP", slot_len=32, keys=keys_hex(keys16[:1])))
asks("LOOKUP of no key", "2.3.1", lookup([]), refuse("MALFORMED"))
asks("LOOKUP of 33 keys", "2.3.1", lookup(keys16[:33]), refuse("MALFORMED"))
asks("LOOKUP of 25 long keys", "2.3.1", lookup(keys32[:25], flags=2), refuse("MALFORMED"), "stream")
asks("LOOKUP with fewer slots than it says", "2.3.1", lookup(keys16[:1], count=2), refuse("MALFORMED"))
asks("LOOKUP with more slots than it says", "1.2.2",
     question("LOOKUP", slots([b"\xff" * 16] * 2), count=1), refuse("MALFORMED"))
asks("LOOKUP of long keys in short slots", "2.3.1", lookup(keys16[:1], flags=2), refuse("MALFORMED"))
asks("LOOKUP with an unknown critical TLV", "1.2.3", question("LOOKUP", slots(keys16[:1]), tlv(0x8BAD), count=1),
     refuse("CRITICAL", 0x8BAD))

# BUCKET: 2.4

prefix = bytes.fromhex("abcde000000000000000000000000000")
both("BUCKET of 20 bits with 8 levels held", "2.4.1", question("BUCKET", bits=20, count=8, arg=prefix),
     says("BUCKET", bits=20, held=8, node=0xABCDE))
asks("BUCKET of the whole tree", "2.4.1", question("BUCKET"), says("BUCKET", bits=0, held=0, node=0))
asks("bits beyond the prefix are ignored", "2.4.1",
     question("BUCKET", bits=12, arg=b"\xff" * 16), says("BUCKET", bits=12, held=0, node=0xFFF))
asks("BUCKET with every level held", "2.4.1", question("BUCKET", bits=28, count=28, arg=prefix),
     says("BUCKET", bits=28, held=28, node=0xABCDE00))
asks("BUCKET with more levels held than bits", "2.4.2", question("BUCKET", bits=8, count=9), refuse("MALFORMED"))
asks("whether 255 bits are too many is a matter of the set", "2.4.2", question("BUCKET", bits=255, arg=prefix),
     says("BUCKET", bits=255, held=0))

# SYNC, FETCH, PROOF: 2.5, 2.6, 2.7

both("SYNC from nothing", "2.5.1", question("SYNC"), says("SYNC", version=0, history=False))
asks("SYNC from incarnation 3, serial 1000", "2.5.1", question("SYNC", version=3 << 32 | 1000),
     says("SYNC", version=3 << 32 | 1000, history=False))
asks("SYNC of a node", "2.5.1", question("SYNC", flags=1, version=7), says("SYNC", version=7, history=True))
asks("SYNC with grease in its flags", "1.1.7", question("SYNC", flags=0xF001), says("SYNC", version=0, history=True))
digest = noise("digest", 32)
both("FETCH of the first 1168 bytes", "2.6.1",
     question("FETCH", digest, arg=struct.pack("<IIQ", 0, 1168, 0)),
     says("FETCH", digest=digest.hex(), offset=0, length=1168))
asks("FETCH with the reserved part of its argument set", "2.6.1",
     question("FETCH", digest, arg=struct.pack("<IIQ", 0xFFFFFFFF, 0xFFFFFFFF, 5)),
     says("FETCH", digest=digest.hex(), offset=0xFFFFFFFF, length=0xFFFFFFFF))
asks("FETCH padded to 1232 bytes", "2.6.1",
     question("FETCH", digest, pad_to(1232, 96), arg=struct.pack("<IIQ", 2336, 1168, 0)),
     says("FETCH", digest=digest.hex(), offset=2336, length=1168))
asks("FETCH without a digest", "2.6.1", question("FETCH"), refuse("MALFORMED"))
asks("FETCH with 31 bytes of a digest", "2.6.1", question("FETCH", digest[:31]), refuse("MALFORMED"))
both("PROOF of inclusion", "2.7.1", question("PROOF", arg=struct.pack("<QQ", 5, 9)),
     says("PROOF", kind=0, first=5, second=9))
asks("PROOF of consistency", "2.7.1", question("PROOF", count=1, arg=struct.pack("<QQ", 9, 1 << 40)),
     says("PROOF", kind=1, first=9, second=1 << 40))
asks("PROOF of a third kind", "2.7.1", question("PROOF", count=2), refuse("MALFORMED"))
asks("whether the sizes of a PROOF exist is a matter of the set", "2.7.1",
     question("PROOF", count=1, arg=struct.pack("<QQ", 9, 5)), says("PROOF", kind=1, first=9, second=5))

# Streams only: 1.5.5, 2.8, 2.9, 2.10

suite = struct.pack("<HHHH", 0x0020, 0x0001, 0x0001, 0)
key_id = noise("seal key", 8)
sealed = suite + key_id + noise("encapsulation", 32) + bytes(1120) + noise("ciphertext", 2864)
asks("MANIFEST", "2.8.1", question("MANIFEST"), says("MANIFEST"), "stream")
asks("MANIFEST on UDP", "1.5.5", question("MANIFEST"), refuse("TRANSPORT"))
asks("SEALED", "2.9.1", question("SEALED", sealed),
     says("SEALED", kem=0x20, kdf=1, aead=1, key_id=key_id.hex()), "stream")
asks("SEALED on UDP", "1.5.5", question("SEALED", sealed[:1168]), refuse("TRANSPORT"))
asks("SEALED of 64 bytes on UDP", "1.4.3", question("SEALED"), refuse("TRANSPORT"))
asks("SEALED of 4092 bytes", "2.9.1", question("SEALED", sealed[:-4]), refuse("MALFORMED"), "stream")
asks("SEALED of 64 bytes", "2.9.1", question("SEALED"), refuse("MALFORMED"), "stream")
asks("NOTIFY", "2.10.1", question("NOTIFY", version=1 << 32 | 77), says("NOTIFY", version=1 << 32 | 77), "stream")
asks("NOTIFY on UDP", "1.5.5", question("NOTIFY", version=1), refuse("TRANSPORT"))
asks("TRANSPORT goes before TLVs that cannot be read", "1.4.3", question("MANIFEST", b"\xff"), refuse("TRANSPORT"))


# Answers

def hears(name, clause, asked, frame, expect, transport="udp"):
    answers.append({"name": name, "clause": clause, "transport": transport, "asked": {"set": 1, "txid": TXID, **asked},
                    "frame": frame.hex(), "expect": expect})


def error(clause, ignore=False):
    return {"error": clause, "ignore": ignore}


def refused(result, info=0):
    return {"refused": {"result": result, "info": info}}


def told(op, **fields):
    return {"answer": {"op": op, **fields}}


ASK_INFO = {"op": "INFO"}
detail = struct.pack("<IBBHQ", 12, 1, 1, 0, 1592913600)
hears("INFO", "2.1.1", ASK_INFO, answer("INFO", detail=detail, version=1 << 32 | 3, cookie=0xC0FFEE, wait=900),
      told("INFO", node=12, least=1, newest=1, time=1592913600, version=1 << 32 | 3, cookie=0xC0FFEE, wait=900, flags=0))
hears("INFO of a server that is stale and about to leave", "1.1.7", ASK_INFO,
      answer("INFO", detail=detail, flags=0x9003), told("INFO", node=12, flags=0x9003))
hears("INFO with a TLV that nobody knows", "1.2.3", ASK_INFO, answer("INFO", tlvs=tlv(0x0BAD, b"?"), detail=detail),
      told("INFO", node=12))
hears("an unknown critical TLV in an answer", "1.2.3", ASK_INFO, answer("INFO", tlvs=tlv(0x8BAD), detail=detail),
      error("1.2.3"))
hears("TLVs that cannot be read in an answer", "1.2.2", ASK_INFO, answer("INFO", b"\0\0", detail=detail), error("1.2.2"))
hears("63 bytes", "1.1.4", ASK_INFO, answer("INFO", length=63)[:63], error("1.1.4", True))
hears("a length field that lies", "1.1.4", ASK_INFO, answer("INFO", length=68), error("1.1.4", True))
hears("a first byte outside the range", "1.1.3", ASK_INFO, answer("INFO", first=0x41), error("1.1.3", True))
hears("another service", "1.1.4", ASK_INFO, answer("INFO", service=OTHER), error("1.1.4", True))
hears("a question", "1.1.2", ASK_INFO, question("INFO"), error("1.1.2", True))
hears("another transaction", "4.5.4", ASK_INFO, answer("INFO", txid=TXID + 1), error("4.5.4", True))
hears("another operation", "4.5.4", ASK_INFO, answer("SYNC"), error("4.5.4", True))
hears("another set", "4.5.4", ASK_INFO, answer("INFO", set_=2), error("4.5.4", True))
hears("1236 bytes on UDP", "1.3.1", ASK_INFO, answer("INFO", tlvs=pad_to(1236, 64)), error("1.3.1", True))
hears("the answer of a server that speaks version 2 only", "1.1.6", ASK_INFO,
      answer("INFO", first=0x80, set_=0, result="VERSION", detail=b"\x02"), refused("VERSION"))
hears("first byte 0x80 and another result", "1.1.6", ASK_INFO, answer("INFO", first=0x80, set_=0), error("1.1.6"))
hears("an answer of version 2", "1.1.6", ASK_INFO, answer("INFO", first=0x82), error("1.1.6"))
hears("result 15", "1.4", ASK_INFO, answer("INFO", result=15), error("1.4"))
for number, (result, info_) in enumerate([("MALFORMED", 0), ("OPERATION", 0), ("CRITICAL", 0x8BAD), ("COOKIE", 0),
                                          ("TRUNCATED", 1196), ("SET", 0), ("GONE", 0), ("TRANSPORT", 0), ("BUSY", 0),
                                          ("PENDING", 0), ("UNAVAILABLE", 0), ("RANGE", 28), ("REFUSED", 0)]):
    op = OPS[number % 7]
    hears(f"{result} for {op}", "1.4", {"op": op, "keys": keys_hex(keys16[:1])},
          answer(op, result=result, detail=struct.pack("<I", info_), wait=30), refused(result, info_))
hears("a refusal of 68 bytes on UDP", "1.3.3", ASK_INFO, answer("INFO", tlvs=tlv(1), result="BUSY"), error("1.3.3"))
hears("a refusal with ERROR_TEXT on a stream", "1.2.4", {"op": "MANIFEST"},
      answer("MANIFEST", tlvs=tlv(2, b"no release yet"), result="UNAVAILABLE"), refused("UNAVAILABLE"), "stream")


def signatures(count, label, algorithm=1, length=64):
    entries = (struct.pack("<HH8s", algorithm, length, noise(f"{label} id {n}", 8)) + noise(f"{label} {n}", length)
               for n in range(count))
    return struct.pack("<HH", count, 0) + b"".join(entries)


def checkpoint_vector(name, clause, first, second, expect=None, tlvs=b"", cut=0, transport="udp"):
    point, delegation = noise("checkpoint", 208), noise("delegation", 80)
    body = point + first + delegation + second
    body = body[:len(body) - cut]
    expect = expect or told("CHECKPOINT", checkpoint=point.hex(), signatures=first.hex(), delegation=delegation.hex(),
                            delegation_signatures=second.hex())
    hears(name, clause, {"op": "CHECKPOINT"}, answer("CHECKPOINT", body, tlvs, version=9), expect, transport)


one, two = signatures(1, "online"), signatures(1, "root")
checkpoint_vector("CHECKPOINT with one signature on each", "2.2.1", one, two)
checkpoint_vector("CHECKPOINT of 1196 bytes with 8 and 3 signatures", "2.2.2", signatures(8, "online"),
                  signatures(3, "root"))
checkpoint_vector("CHECKPOINT with a signature of an unknown algorithm", "3.4.3",
                  struct.pack("<HH", 2, 0) + one[4:] + signatures(1, "other", 9, 41)[4:], two)
checkpoint_vector("CHECKPOINT with PAD", "1.2.1", one, two, tlvs=pad_to(1232, 64 + 208 + 80 + 160))
checkpoint_vector("CHECKPOINT with 9 signatures", "2.2.2", signatures(9, "online"), signatures(0, "root"),
                  error("2.2.2"))
checkpoint_vector("CHECKPOINT with 4 signatures on the delegation", "2.2.2", one, signatures(4, "root"), error("2.2.2"))
checkpoint_vector("CHECKPOINT of 1236 bytes on a stream", "2.2.2", one, two, error("2.2.2"),
                  tlvs=pad_to(1236, 64 + 208 + 80 + 160), transport="stream")
checkpoint_vector("CHECKPOINT that ends in a signature", "2.2.1", one, two, error("2.2.1"), cut=1)
checkpoint_vector("CHECKPOINT that ends before the delegation", "2.2.1", one, two, error("2.2.1"), cut=160)


def slot(key, fields=None, state=None):
    state = (fields is not None) if state is None else state
    return key + (fields or b"").ljust(12, b"\0") + bytes([state, 0, 0, 0])


fields = struct.pack("<IHBB", 2654856, 144, 1, 2)
ask = {"op": "LOOKUP", "keys": keys_hex(keys16[:2])}
hears("LOOKUP of a live key and another", "2.3.2", ask, answer("LOOKUP", slot(keys16[0], fields) + slot(keys16[1])),
      told("LOOKUP", fields=[fields.ljust(12, b"\0").hex(), None]))
hears("LOOKUP of a long key", "2.3.2", {"op": "LOOKUP", "keys": keys_hex(keys32[:1])},
      answer("LOOKUP", slot(keys32[0], fields)), told("LOOKUP", fields=[fields.ljust(12, b"\0").hex()]))
hears("reserved bytes of a slot are ignored", "2.3.2", {"op": "LOOKUP", "keys": keys_hex(keys16[:1])},
      answer("LOOKUP", slot(keys16[0])[:-3] + b"\1\2\3"), told("LOOKUP", fields=[None]))
hears("LOOKUP with slots in another order", "2.3.2", ask, answer("LOOKUP", slot(keys16[1]) + slot(keys16[0])),
      error("2.3.2"))
hears("LOOKUP with a state of 2", "2.3.2", ask, answer("LOOKUP", slot(keys16[0], fields, 2) + slot(keys16[1])),
      error("2.3.2"))
hears("LOOKUP with fields of a key that is not live", "2.3.2", ask,
      answer("LOOKUP", slot(keys16[0], fields, 0) + slot(keys16[1])), error("2.3.2"))
hears("LOOKUP with a slot missing", "2.3.3", ask, answer("LOOKUP", slot(keys16[0])), error("2.3.3"))
hears("LOOKUP with PAD", "2.3.3", ask, answer("LOOKUP", slot(keys16[0]) + slot(keys16[1]), tlv(1)), error("2.3.3"))

entries = b"".join(b"\xab\xcd" + noise(f"entry {n}", 22) for n in range(6))
siblings = [noise(f"sibling {n}", 32) for n in range(4)]
ask = {"op": "BUCKET", "prefix": "abc0" + "0" * 28, "bits": 12, "held": 8, "entry_len": 24}
tree = told("BUCKET", depth=12, entries=entries.hex(), siblings=[s.hex() for s in siblings])


def bucket(depth=12, bits=12, held=8, count=6, body=entries + b"".join(siblings), tlvs=b""):
    return answer("BUCKET", struct.pack("<BBBBI", depth, bits, held, 0, count) + body, tlvs, version=9)


hears("BUCKET of one leaf", "2.4.3", ask, bucket(), tree)
wide = dict(tree["answer"], depth=14)
hears("BUCKET of four leaves on a stream, padded", "2.4.5", ask,
      bucket(depth=14, tlvs=pad_to(8192, 64 + 8 + 144 + 128)), {"answer": wide}, "stream")
hears("BUCKET without entries", "2.4.3", dict(ask, held=12), bucket(held=12, count=0, body=b""),
      told("BUCKET", depth=12, entries="", siblings=[]))
hears("BUCKET of another prefix length", "2.4.3", ask, bucket(bits=11, held=8), error("2.4.3"))
hears("BUCKET with more levels than are held", "2.4.3", ask, bucket(held=7), error("2.4.3"))
hears("BUCKET with an entry missing", "2.4.3", ask, bucket(count=8), error("2.4.3"))
hears("BUCKET with 4294967295 entries", "2.4.3", ask, bucket(count=0xFFFFFFFF), error("2.4.3"))
hears("BUCKET in a tree of depth 11", "2.4.2", ask, bucket(depth=11), error("2.4.2"))
hears("BUCKET in a tree of depth 25", "2.4.2", ask, bucket(depth=25), error("2.4.2"))
hears("BUCKET of no byte", "2.4.3", ask, answer("BUCKET"), error("2.4.3"))


def descriptor(start, end, length=1000, kind=1):
    return struct.pack("<QQIB3x32s", start, end, length, kind, noise(f"object {start} {end}", 32))


def sync(*objects, version=50, count=None, tlvs=b""):
    return answer("SYNC", b"".join(objects), tlvs, version=version,
                  detail=bytes([len(objects) if count is None else count]))


def path(*steps):
    return told("SYNC", objects=[{"from": a, "to": b, "length": 1000, "kind": kind,
                                  "digest": noise(f"object {a} {b}", 32).hex()} for a, b, kind in steps])


held = {"op": "SYNC", "version": 40, "history": False}
hears("SYNC when current", "2.5.3", dict(held, version=50), sync(), path())
hears("SYNC by one delta", "2.5.2", held, sync(descriptor(40, 50)), path((40, 50, 1)))
hears("SYNC by two deltas", "2.5.3", held, sync(descriptor(40, 45), descriptor(45, 50)), path((40, 45, 1), (45, 50, 1)))
hears("SYNC by the full set and a delta", "2.5.3", held, sync(descriptor(0, 45), descriptor(45, 50)),
      path((0, 45, 1), (45, 50, 1)))
hears("SYNC of a version the server does not know", "2.5.5", dict(held, version=99), sync(descriptor(0, 50)),
      path((0, 50, 1)))
hears("SYNC of a node", "2.5.2", dict(held, history=True), sync(descriptor(40, 50, kind=2)), path((40, 50, 2)))
hears("SYNC with PAD", "1.2.1", held, sync(descriptor(40, 50), tlvs=tlv(1, b"123")), path((40, 50, 1)))
hears("SYNC that says nothing to a client behind", "2.5.3", held, sync(), error("2.5.3"))
hears("SYNC from another version", "2.5.3", held, sync(descriptor(41, 50)), error("2.5.3"))
hears("SYNC with a gap", "2.5.3", held, sync(descriptor(40, 44), descriptor(45, 50)), error("2.5.3"))
hears("SYNC that ends too early", "2.5.3", held, sync(descriptor(40, 49)), error("2.5.3"))
hears("SYNC with a history for a client", "2.5.2", held, sync(descriptor(40, 50, kind=2)), error("2.5.2"))
hears("SYNC with an object of kind 3", "2.5.2", held, sync(descriptor(40, 50, kind=3)), error("2.5.2"))
hears("SYNC with 9 objects", "2.5.2", held, sync(*(descriptor(40 + n, 41 + n) for n in range(9)), version=49),
      error("2.5.2"))
hears("SYNC with an object missing", "2.5.2", held, sync(descriptor(40, 50), count=2), error("2.5.2"))

ask = {"op": "FETCH", "digest": digest.hex(), "offset": 100, "length": 1168}


def fetch(offset=100, total=5000, length=None, data=noise("object", 1168), tlvs=b""):
    length = len(data) if length is None else length
    return answer("FETCH", data, tlvs, detail=struct.pack("<III", offset, total, length))


hears("FETCH of 1168 bytes", "2.6.1", ask, fetch(), told("FETCH", total=5000, bytes=noise("object", 1168).hex()))
hears("FETCH of fewer bytes than wanted", "2.6.2", ask, fetch(data=b"abc", total=103),
      told("FETCH", total=103, bytes=b"abc".hex()))
hears("FETCH at another offset", "2.6.1", ask, fetch(offset=99), error("2.6.1"))
hears("FETCH of more than wanted", "2.6.1", dict(ask, length=1000), fetch(), error("2.6.1"))
hears("FETCH beyond the object's end", "2.6.1", ask, fetch(total=1267), error("2.6.1"))
hears("FETCH with fewer bytes than it says", "2.6.1", ask, fetch(length=1169), error("2.6.1"))
hears("FETCH with TLVs", "2.6.1", ask, fetch(data=b"abcd", tlvs=tlv(1)), error("2.6.1"))

ask = {"op": "PROOF"}
hashes = [noise(f"hash {n}", 32) for n in range(3)]
hears("PROOF of three hashes", "2.7.2", ask, answer("PROOF", b"".join(hashes), detail=b"\x03", version=9),
      told("PROOF", hashes=[h.hex() for h in hashes]))
hears("PROOF of none", "2.7.2", ask, answer("PROOF"), told("PROOF", hashes=[]))
hears("PROOF with a hash missing", "2.7.2", ask, answer("PROOF", b"".join(hashes), detail=b"\x04"), error("2.7.2"))

manifest = noise("manifest", 173)
hears("MANIFEST, all its bytes", "2.8.1", {"op": "MANIFEST"}, answer("MANIFEST", manifest, version=9),
      told("MANIFEST", manifest=manifest.hex()), "stream")
inner = noise("answer nonce", 32) + noise("answer ciphertext", 4000)
hears("SEALED", "2.9.4", {"op": "SEALED"}, answer("SEALED", inner), told("SEALED", nonce=inner[:32].hex()), "stream")
hears("SEALED of 4092 bytes", "2.9.1", {"op": "SEALED"}, answer("SEALED", inner[:-4]), error("2.9.1"), "stream")
hears("SEALED of 4100 bytes", "2.9.1", {"op": "SEALED"}, answer("SEALED", inner, tlv(1)), error("2.9.1"), "stream")
hears("SEALED is refused until the origin opens it", "2.9.5", {"op": "SEALED"}, answer("SEALED", result="REFUSED"),
      refused("REFUSED"), "stream")
hears("NOTIFY", "2.10.1", {"op": "NOTIFY"}, answer("NOTIFY"), told("NOTIFY"), "stream")

for group in (questions, answers):
    names = [vector["name"] for vector in group]
    assert len(names) == len(set(names)), "a name stands twice"

document = {"format": 1, "service": SERVICE.hex(), "questions": questions, "answers": answers}
target = pathlib.Path(__file__).with_name("frames.json")
target.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
print(f"{len(questions)} questions, {len(answers)} answers, {target.stat().st_size} bytes")
