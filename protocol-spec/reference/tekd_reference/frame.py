"""Chapter 1: the frame, its TLVs, the result codes, and cookies."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from typing import List, NamedTuple, Optional

HEADER = struct.Struct("<BBHI8sQQIHBBQ16s")  # 1.1.2
HEADER_LEN = 64
assert HEADER.size == HEADER_LEN

VERSION = 1
FIRST_BYTE = 0x80 | VERSION
ANSWER_BIT = 0x80

UDP_MAX = 1232  # 1.3.1
STREAM_QUESTION_MAX = 4096  # 1.3.2
STREAM_ANSWER_MAX = 1_048_576

# 1.1.7
HISTORY, LONG_KEYS = 1, 2
STALE, DRAINING = 1, 2
GREASE_FLAGS = 0xF000

PAD, ERROR_TEXT = 1, 2  # 1.2.4
TLV_MAX = 16  # 1.2.2

# 1.4
RESULTS = (
    "OK", "MALFORMED", "VERSION", "OPERATION", "CRITICAL", "COOKIE", "TRUNCATED", "SET",
    "GONE", "TRANSPORT", "BUSY", "PENDING", "UNAVAILABLE", "RANGE", "REFUSED",
)  # fmt: skip
(OK, MALFORMED, BAD_VERSION, BAD_OPERATION, CRITICAL, COOKIE, TRUNCATED, BAD_SET,
 GONE, BAD_TRANSPORT, BUSY, PENDING, UNAVAILABLE, RANGE, REFUSED) = range(len(RESULTS))  # fmt: skip


def result_name(code: int) -> str:
    return RESULTS[code] if code < len(RESULTS) else "result %d" % code


class FrameError(ValueError):
    """Bytes that are not what the protocol says they must be. The text ends in the clause."""

    @property
    def clause(self) -> str:
        return str(self).rpartition("(")[2].rstrip(")")


class Ignored(FrameError):
    """Bytes that are passed over in silence (1.1.4, 4.5.4). For a server `reason` says why."""

    def __init__(self, text: str, reason: str = ""):
        super().__init__(text)
        self.reason = reason


class Refusal(FrameError):
    """A question that a server answers with a result other than OK (1.4.3)."""

    def __init__(self, result: int, detail: bytes = b"", text: str = ""):
        super().__init__("%s: %s" % (result_name(result), text))
        self.result = result
        self.detail = detail.ljust(16, b"\0")


class Tlv(NamedTuple):
    kind: int  # without bit 15
    critical: bool
    value: bytes


@dataclass
class Frame:
    """A header (1.1.2) and what follows it. `f36` and `f38` are the fields whose meaning differs
    between question and answer: see the properties."""

    operation: int  # without bit 7
    answer: bool
    service: bytes
    transaction: int = 0
    set: int = 0
    flags: int = 0
    cookie: int = 0
    f36: int = 0
    f38: int = 0
    f39: int = 0
    version: int = 0
    argument: bytes = bytes(16)
    rest: bytes = b""  # body and TLVs
    first: int = FIRST_BYTE
    length: int = field(default=0, compare=False)

    # a question
    max_answer = property(lambda self: self.f36)
    count = property(lambda self: self.f38)
    bits = property(lambda self: self.f39)
    # an answer
    result = property(lambda self: self.f36)
    wait = property(lambda self: self.f38 | self.f39 << 8)
    detail = property(lambda self: self.argument)

    def pack(self) -> bytes:
        return (
            HEADER.pack(
                self.first,
                self.operation | (ANSWER_BIT if self.answer else 0),
                self.flags,
                HEADER_LEN + len(self.rest),
                self.service,
                self.transaction,
                self.cookie,
                self.set,
                self.f36,
                self.f38,
                self.f39,
                self.version,
                self.argument.ljust(16, b"\0"),
            )
            + self.rest
        )


def parse(data: bytes, service: Optional[bytes] = None, longest: int = STREAM_ANSWER_MAX) -> Frame:
    """Read a whole frame, or raise Ignored (1.1.4)."""
    if len(data) < HEADER_LEN:
        raise Ignored("shorter than 64 bytes (1.1.4)", "length")
    (first, operation, flags, length, got_service, transaction, cookie, set_id, f36, f38, f39,
     version, argument) = HEADER.unpack_from(data)  # fmt: skip
    if not 0x80 <= first <= 0xBF:
        raise Ignored("first byte 0x%02x (1.1.3)" % first, "first_byte")
    if length != len(data):
        raise Ignored("length field %d, %d bytes received (1.1.4)" % (length, len(data)), "length")
    if length > longest:
        raise Ignored(
            "longer than the transport allows (%s)" % ("1.3.1" if longest == UDP_MAX else "1.3.2"), "length"
        )
    if service is not None and got_service != service:
        raise Ignored("another service (1.1.4)", "service")
    return Frame(
        operation=operation & 0x7F,
        answer=bool(operation & ANSWER_BIT),
        service=got_service,
        transaction=transaction,
        set=set_id,
        flags=flags,
        cookie=cookie,
        f36=f36,
        f38=f38,
        f39=f39,
        version=version,
        argument=argument,
        rest=bytes(data[HEADER_LEN:]),
        first=first,
        length=length,
    )


def round4(n: int) -> int:
    return (n + 3) & ~3


def pack_tlv(kind: int, value: bytes, critical: bool = False) -> bytes:
    """One TLV (1.2.1)."""
    head = struct.pack("<HH", kind | (0x8000 if critical else 0), len(value))
    return head + value + bytes(round4(len(value)) - len(value))


def parse_tlvs(data: bytes, body_len: int, most: int = TLV_MAX, repeat: bool = False) -> List[Tlv]:
    """The TLVs behind a body of `body_len` bytes at the start of `data`, which they must use up
    (1.2.1, 1.2.2). With `repeat` the rules of a manifest: non-descending order (3.6.1)."""
    if len(data) < body_len:
        raise Refusal(MALFORMED, text="body cut short (1.1.1)")
    at = body_len
    if at < len(data):
        at = round4(body_len)
        if at > len(data) or any(data[body_len:at]):
            raise Refusal(MALFORMED, text="filling behind the body (1.2.2)")
    tlvs: List[Tlv] = []
    while at < len(data):
        if len(tlvs) == most:
            raise Refusal(MALFORMED, text="too many TLVs (1.2.2)")
        if len(data) - at < 4:
            raise Refusal(MALFORMED, text="TLV cut short (1.2.2)")
        kind, length = struct.unpack_from("<HH", data, at)
        end = at + 4 + length
        if round4(end) > len(data):
            raise Refusal(MALFORMED, text="TLV past the end (1.2.2)")
        if any(data[end : round4(end)]):
            raise Refusal(MALFORMED, text="filling of a TLV not zero (1.2.2)")
        tlv = Tlv(kind & 0x7FFF, bool(kind & 0x8000), data[at + 4 : end])
        if tlvs and (tlv.kind < tlvs[-1].kind or (tlv.kind == tlvs[-1].kind and not repeat)):
            raise Refusal(MALFORMED, text="TLVs out of order (1.2.2)")
        tlvs.append(tlv)
        at = round4(end)
    return tlvs


def refuse_unknown_critical(tlvs: List[Tlv], known=(PAD, ERROR_TEXT)) -> None:
    """1.2.3"""
    for tlv in tlvs:
        if tlv.critical and tlv.kind not in known:
            raise Refusal(CRITICAL, struct.pack("<H", tlv.kind | 0x8000), "TLV %d (1.2.3)" % tlv.kind)


def padding(length: int, target: int) -> bytes:
    """A PAD that makes a frame of `length` bytes `target` bytes long; nothing if it is already
    (1.2.4). Both are multiples of 4."""
    if target - length < 4:
        return b""
    return pack_tlv(PAD, bytes(target - length - 4))


# 1.6 Cookies: what a server does; here for the vectors and the tests.

_MASK = (1 << 64) - 1


def siphash24(key: bytes, data: bytes) -> int:
    """SipHash-2-4 with a 64-bit result."""
    k0, k1 = struct.unpack("<QQ", key)
    v0, v1 = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D
    v2, v3 = k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573

    def rotl(x: int, n: int) -> int:
        return ((x << n) | (x >> (64 - n))) & _MASK

    def rounds(n: int) -> None:
        nonlocal v0, v1, v2, v3
        for _ in range(n):
            v0 = (v0 + v1) & _MASK
            v1 = rotl(v1, 13) ^ v0
            v0 = rotl(v0, 32)
            v2 = (v2 + v3) & _MASK
            v3 = rotl(v3, 16) ^ v2
            v0 = (v0 + v3) & _MASK
            v3 = rotl(v3, 21) ^ v0
            v2 = (v2 + v1) & _MASK
            v1 = rotl(v1, 17) ^ v2
            v2 = rotl(v2, 32)

    last = data[len(data) & ~7 :]
    for (word,) in struct.iter_unpack("<Q", data[: len(data) & ~7]):
        v3 ^= word
        rounds(2)
        v0 ^= word
    word = int.from_bytes(last, "little") | (len(data) & 0xFF) << 56
    v3 ^= word
    rounds(2)
    v0 ^= word
    v2 ^= 0xFF
    rounds(4)
    return v0 ^ v1 ^ v2 ^ v3


def cookie(secret: bytes, service: bytes, hour: int, address: bytes, zone: int = 0) -> int:
    """The cookie 1.6.3 recommends. `address` is 4 or 16 bytes."""
    if len(address) == 16 and address[:12] == bytes(10) + b"\xff\xff":
        address = address[12:]  # an IPv4-mapped address counts as IPv4
    seed = b"tekd/1 cookie\0" + secret + service + struct.pack("<Q", hour)
    key = hashlib.sha256(seed).digest()[:16]
    family = 4 if len(address) == 4 else 6
    return siphash24(key, bytes((zone, family)) + address) or 1
