"""Chapter 2: how each question is built, and how its answer is read."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import List, NamedTuple, Optional, Tuple

from . import frame as fr
from .frame import Frame, FrameError, Ignored, Refusal
from .release import MAX_DEPTH, Schema
from .trust import SignedCheckpoint, parse_signed_checkpoint

INFO, CHECKPOINT, LOOKUP, BUCKET, SYNC, FETCH, PROOF, MANIFEST, SEALED, NOTIFY = range(1, 11)
NAMES = ("INFO", "CHECKPOINT", "LOOKUP", "BUCKET", "SYNC", "FETCH", "PROOF", "MANIFEST", "SEALED", "NOTIFY")
STREAM_ONLY = (MANIFEST, SEALED, NOTIFY)  # 1.5.5

INCLUSION, CONSISTENCY = 0, 1  # 2.7.1
SEALED_LEN = 4096  # 2.9.1
DESCRIPTORS_MAX = 8  # 2.5.2
DEEPEST_SUBTREE = 12  # 2.4.2
UDP_OBJECT_MAX = 262_144  # 2.6.3


def slot_len(flags: int) -> int:
    """2.3.1"""
    return 48 if flags & fr.LONG_KEYS else 32


def most_slots(flags: int) -> int:
    return 24 if flags & fr.LONG_KEYS else 32


# --- Questions -----------------------------------------------------------------------------------


@dataclass
class Question:
    """What is asked, without what belongs to one datagram: transaction, cookie, padding."""

    operation: int
    set: int = 0
    flags: int = 0
    count: int = 0
    bits: int = 0
    version: int = 0
    argument: bytes = b""
    body: bytes = b""

    def pack(
        self,
        service: bytes,
        transaction: int,
        cookie: int = 0,
        max_answer: int = 0,
        pad_to: int = 0,
        grease: int = 0,
    ) -> bytes:
        """The frame. With `pad_to` a PAD makes it that long (1.2.4); `grease` are random bits for
        flags 12-15 (1.1.7)."""
        rest = self.body
        if pad_to:
            rest += fr.padding(fr.HEADER_LEN + len(rest), pad_to)
        return Frame(
            operation=self.operation,
            answer=False,
            service=service,
            transaction=transaction,
            set=self.set,
            flags=self.flags | (grease & fr.GREASE_FLAGS),
            cookie=cookie,
            f36=max_answer,
            f38=self.count,
            f39=self.bits,
            version=self.version,
            argument=self.argument,
            rest=rest,
        ).pack()


def info(set_id: int) -> Question:
    return Question(INFO, set_id)


def checkpoint(set_id: int) -> Question:
    return Question(CHECKPOINT, set_id)


def lookup(set_id: int, keys: List[bytes]) -> Question:
    """2.3.1"""
    flags = fr.LONG_KEYS if len(keys[0]) == 32 else 0
    if not 1 <= len(keys) <= most_slots(flags):
        raise ValueError("too many keys for one LOOKUP (2.3.1)")
    if any(len(k) != len(keys[0]) for k in keys) or len(keys[0]) not in (16, 32):
        raise ValueError("keys are 16 or 32 bytes, all alike (3.1.1)")
    body = b"".join(k.ljust(slot_len(flags), b"\0") for k in keys)
    return Question(LOOKUP, set_id, flags, count=len(keys), body=body)


def bucket(set_id: int, bits: int, prefix: int, held: int = 0) -> Question:
    """2.4.1; `prefix` is the number its `bits` bits spell."""
    argument = (prefix << (128 - bits)).to_bytes(16, "big")
    return Question(BUCKET, set_id, count=held, bits=bits, argument=argument)


def sync(set_id: int, version: int, history: bool = False) -> Question:
    return Question(SYNC, set_id, fr.HISTORY if history else 0, version=version)


def fetch(set_id: int, digest: bytes, offset: int, length: int) -> Question:
    return Question(FETCH, set_id, argument=struct.pack("<IIQ", offset, length, 0), body=digest)


def proof(set_id: int, kind: int, first: int, second: int) -> Question:
    return Question(PROOF, set_id, count=kind, argument=struct.pack("<QQ", first, second))


def manifest(set_id: int) -> Question:
    return Question(MANIFEST, set_id)


def read_question(data: bytes, service: bytes, stream: bool) -> Tuple[Frame, bytes, List[fr.Tlv]]:
    """What a server can say of a question without a set, in the order of 1.4.3: Ignored for silence,
    Refusal for a result. Gives the frame, its body and its TLVs. A client has no use for this: it
    is here for the vectors, and for the server in the tests."""
    frame = fr.parse(data, service, fr.STREAM_QUESTION_MAX if stream else fr.UDP_MAX)
    if frame.answer:
        raise Ignored("an answer (1.1.5)", "reply")
    if frame.first != fr.FIRST_BYTE:
        raise Refusal(fr.BAD_VERSION, bytes((fr.VERSION,)), "(1.1.6)")
    if not INFO <= frame.operation <= NOTIFY:
        raise Refusal(fr.BAD_OPERATION, text="(2.0.1)")
    if not stream and frame.operation in STREAM_ONLY:
        raise Refusal(fr.BAD_TRANSPORT, text="(1.5.5)")
    body_len = 0
    if frame.operation == LOOKUP:
        if not 1 <= frame.count <= most_slots(frame.flags):
            raise Refusal(fr.MALFORMED, text="count (2.3.1)")
        body_len = frame.count * slot_len(frame.flags)
    elif frame.operation == FETCH:
        body_len = 32
    elif frame.operation == SEALED:
        body_len = SEALED_LEN - fr.HEADER_LEN
        if len(data) != SEALED_LEN:
            raise Refusal(fr.MALFORMED, text="length (2.9.1)")
    elif frame.operation == PROOF and frame.count > CONSISTENCY:
        raise Refusal(fr.MALFORMED, text="neither inclusion nor consistency (2.7.1)")
    elif frame.operation == BUCKET and frame.count > frame.bits:
        raise Refusal(fr.MALFORMED, text="held > bits (2.4.2)")
    tlvs = fr.parse_tlvs(frame.rest, body_len)
    fr.refuse_unknown_critical(tlvs)
    return frame, frame.rest[:body_len], tlvs


def refusal(question: Frame, refused: Refusal, cookie: int = 0, wait: int = 0, version: int = 0) -> bytes:
    """The 64 bytes of a refusal (1.3.3, 1.4.1); for the tests and the vectors."""
    if refused.result == fr.BAD_VERSION:  # 1.1.6
        return Frame(question.operation, True, question.service, question.transaction,
                     f36=refused.result, argument=refused.detail, first=0x80).pack()  # fmt: skip
    return Frame(
        operation=question.operation,
        answer=True,
        service=question.service,
        transaction=question.transaction,
        set=question.set,
        cookie=cookie,
        f36=refused.result,
        f38=wait & 0xFF,
        f39=wait >> 8,
        version=version,
        argument=refused.detail,
    ).pack()


# --- Answers -------------------------------------------------------------------------------------


def answers(data: bytes, service: bytes, question: Question, transactions, stream: bool = False) -> Frame:
    """The frame, if it answers the question under one of `transactions`. Ignored, if it may have
    come from anybody: the question stays open (4.5.4). Any other FrameError ends it."""
    frame = fr.parse(data, service, fr.STREAM_ANSWER_MAX if stream else fr.UDP_MAX)
    if not frame.answer:
        raise Ignored("not an answer (1.1.2)")
    if frame.transaction not in transactions:
        raise Ignored("another transaction (4.5.4)")
    if frame.operation != question.operation:
        raise Ignored("another operation (4.5.4)")
    if frame.first == 0x80:  # 1.1.6: everything else is zero, the set too
        if frame.result != fr.BAD_VERSION or len(data) != fr.HEADER_LEN:
            raise FrameError("version 0 says nothing but VERSION (1.1.6)")
        return frame
    if frame.first != fr.FIRST_BYTE:
        raise FrameError("another version (1.1.6)")
    if frame.set != question.set:
        raise Ignored("another set (4.5.4)")
    if frame.result >= len(fr.RESULTS):
        raise FrameError("result %d (1.4)" % frame.result)
    if frame.result != fr.OK:
        if not stream and len(data) != fr.HEADER_LEN:
            raise FrameError("a refusal longer than 64 bytes (1.3.3)")
        _body(frame, 0, "1.4.1")
    return frame


def _body(frame: Frame, length: int, clause: str, tlvs: bool = True) -> bytes:
    """The body of a known length; what follows must be TLVs one may ignore (1.2)."""
    if len(frame.rest) < length or (not tlvs and len(frame.rest) != length):
        raise FrameError("length of the answer (%s)" % clause)
    fr.refuse_unknown_critical(fr.parse_tlvs(frame.rest, length))
    return frame.rest[:length]


class Info(NamedTuple):
    node: int
    least: int
    newest: int
    time: int


def read_info(frame: Frame) -> Info:
    """2.1.1"""
    _body(frame, 0, "2.1.1")
    node, least, newest, _, time = struct.unpack("<IBBHQ", frame.detail)
    return Info(node, least, newest, time)


def read_checkpoint(frame: Frame) -> SignedCheckpoint:
    """2.2.1, 2.2.2"""
    if fr.HEADER_LEN + len(frame.rest) > fr.UDP_MAX:
        raise FrameError("longer than 1232 bytes (2.2.2)")
    signed = parse_signed_checkpoint(frame.rest)
    _body(frame, len(signed.raw), "2.2.1")
    return signed


class Slot(NamedTuple):
    key: bytes
    fields: Optional[bytes]  # 12 bytes if the key is live; what they mean the schema says

    def entry(self, schema: Schema) -> bytes:
        """The public entry of a live key."""
        return (self.key + (self.fields or b""))[: schema.entry_len]


def read_lookup(frame: Frame, question: Question) -> List[Slot]:
    """2.3.2, 2.3.3"""
    size = slot_len(question.flags)
    body = _body(frame, question.count * size, "2.3.3", tlvs=False)
    out = []
    for at in range(0, len(body), size):
        slot = body[at : at + size]
        key, fields, state = slot[: size - 16], slot[size - 16 : size - 4], slot[size - 4]
        if key != question.body[at : at + size - 16]:
            raise FrameError("slots of other keys (2.3.2)")
        if state > 1 or (state == 0 and any(fields)):
            raise FrameError("state of a slot (2.3.2)")
        out.append(Slot(key, fields if state else None))
    return out


class Bucket(NamedTuple):
    b: int
    bits: int
    held: int
    entries: List[bytes]
    siblings: List[bytes]


def read_bucket(frame: Frame, question: Question, entry_len: int) -> Bucket:
    """2.4.3"""
    if len(frame.rest) < 8:
        raise FrameError("bucket cut short (2.4.3)")
    b, bits, held, _, count = struct.unpack_from("<BBBBI", frame.rest)
    if (bits, held) != (question.bits, question.count):
        raise FrameError("another bucket than asked for (2.4.3)")
    if not bits <= b <= min(bits + DEEPEST_SUBTREE, MAX_DEPTH):
        raise FrameError("depth of the tree (2.4.2)")
    end = 8 + count * entry_len
    body = _body(frame, end + 32 * (bits - held), "2.4.3")
    entries = [body[at : at + entry_len] for at in range(8, end, entry_len)]
    hashes = [body[at : at + 32] for at in range(end, len(body), 32)]
    return Bucket(b, bits, held, entries, hashes)


class Descriptor(NamedTuple):
    """2.5.2"""

    from_version: int
    to_version: int
    length: int
    kind: int
    digest: bytes

    def pack(self) -> bytes:
        return _DESCRIPTOR.pack(*self)


_DESCRIPTOR = struct.Struct("<QQIB3x32s")


def read_sync(frame: Frame, question: Question) -> List[Descriptor]:
    """2.5.2, 2.5.3"""
    count = frame.detail[0]
    if count > DESCRIPTORS_MAX:
        raise FrameError("too many objects (2.5.2)")
    body = _body(frame, count * _DESCRIPTOR.size, "2.5.2")
    out = [Descriptor(*d) for d in _DESCRIPTOR.iter_unpack(body)]
    if any(d.kind != (2 if question.flags & fr.HISTORY else 1) for d in out):
        raise FrameError("an object of another kind (2.5.2)")
    at = question.version
    for i, d in enumerate(out):
        if (d.from_version != at and (i or d.from_version)) or d.to_version <= d.from_version:
            raise FrameError("objects that do not join (2.5.3)")
        at = d.to_version
    if frame.version != at:
        raise FrameError("objects that lead to another version (2.5.3)")
    return out


class Part(NamedTuple):
    offset: int
    total: int
    data: bytes


def read_fetch(frame: Frame, question: Question) -> Part:
    """2.6.1: never more than was wanted, from where it was wanted. The length of the data is bounded
    before the data is looked at."""
    wanted_offset, wanted, _ = struct.unpack("<IIQ", question.argument)
    offset, total, length, _ = struct.unpack("<IIII", frame.detail)
    if offset != wanted_offset or length > wanted or offset + length > total:
        raise FrameError("another part than asked for (2.6.1)")
    return Part(offset, total, _body(frame, length, "2.6.1", tlvs=False))


def read_proof(frame: Frame) -> List[bytes]:
    """2.7.2"""
    body = _body(frame, 32 * frame.detail[0], "2.7.2")
    return [body[at : at + 32] for at in range(0, len(body), 32)]


def read_manifest(frame: Frame) -> bytes:
    """2.8.1"""
    return frame.rest


def read_sealed(frame: Frame) -> Tuple[bytes, bytes]:
    """2.9.4: nonce and ciphertext."""
    body = _body(frame, SEALED_LEN - fr.HEADER_LEN, "2.9.1", tlvs=False)
    return body[:32], body[32:]


def read_notify(frame: Frame) -> None:
    """2.10.1"""
    _body(frame, 0, "2.10.1")
