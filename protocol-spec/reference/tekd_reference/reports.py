"""Chapters 7.1, 7.2 and 7.4 to 7.7: what is sealed, and what comes back. Pure: nothing is asked here.

What only a server does (opening a question, judging keys) is here for the vectors and the tests.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Iterable, List, NamedTuple, Optional, Sequence, Tuple

from . import hpke, trust
from . import frame as fr
from . import operations as op
from .frame import FrameError
from .manifest import Manifest, SealKey
from .release import H, Schema
from .trust import TrustError

INFO = b"tekd/1 sealed\0"  # 2.9.3
DAY = 86_400
INTERVAL = 600

REQUEST_LEN, ANSWER_LEN = 2848, 3984  # 7.1.2, 7.1.3
ENCAPSULATION_LEN = 1152  # 2.9.2
NONCE_LEN = 32
OPEN_AFTER_S = DAY  # 7.1.4
assert 64 + 16 + ENCAPSULATION_LEN + REQUEST_LEN + hpke.TAG_LEN == op.SEALED_LEN
assert 64 + NONCE_LEN + ANSWER_LEN + hpke.TAG_LEN == op.SEALED_LEN

KINDS = ("", "SUBMIT", "AMEND", "STATUS", "CANCEL", "DUMMY")  # 7.2.1
SUBMIT, AMEND, STATUS, CANCEL, DUMMY = range(1, 6)
MOST_KEYS, LONGEST_GRANT = 36, 1024

CODE, CERTIFICATE, JWT = 1, 2, 3  # 7.8
NEGATIVE = 5  # 7.8.1

OUTCOMES = (
    "DONE", "MALFORMED", "NOTHING", "MISTYPED", "UNKNOWN", "EARLY", "EXPIRED", "SPENT", "REVOKED",
    "SUSPENDED", "SET", "TYPE", "KEYS", "SIGNATURE", "AUDIENCE", "KIND", "GRANT", "PUZZLE", "REPORT",
    "LATE", "CHANGE", "CONFLICT", "WITHDRAWN", "BUSY",
)  # fmt: skip
DONE, NOTHING, PUZZLE, BUSY = (OUTCOMES.index(x) for x in ("DONE", "NOTHING", "PUZZLE", "BUSY"))
STATES = ("none", "accepted", "released", "withdrawn")  # 7.6.2
VERDICTS = (
    "accepted", "malformed", "period", "future", "expired", "field", "duplicate", "start", "count", "onset",
)  # fmt: skip
ACCEPTED = 0
DURABILITY = {1: "one disk", 2: "two disks", 3: "several sites"}  # 7.7.1


class Malformed(FrameError):
    """A request that is answered MALFORMED (7.2.4)."""


def name_in(names: Sequence[str], number: int) -> str:
    return names[number] if number < len(names) else str(number)


# --- Sealing (7.1, 2.9) --------------------------------------------------------------------------


def choose_seal_key(keys: Iterable[SealKey], now: int) -> Optional[SealKey]:
    """7.1.1; the ends of the validity belong to it."""
    usable = [
        k for k in keys if (k.kem, k.kdf, k.aead) == hpke.SUITE and k.not_before <= now <= k.not_after
    ]
    return max(usable, key=lambda k: k.not_before) if usable else None


def associated(service: bytes, set_id: int, first: int = fr.FIRST_BYTE) -> bytes:
    """2.9.3"""
    return bytes((first,)) + service + struct.pack("<I", set_id)


class Sealed(NamedTuple):
    """A sealed question, and what its answer is opened with."""

    question: op.Question
    context: hpke.Context
    aad: bytes


def seal_request(
    request: bytes, key: bytes, service: bytes, set_id: int, ephemeral: bytes = b""
) -> Sealed:
    """7.1.2, 2.9.2; `key` is the public key of the seal key."""
    if len(request) != REQUEST_LEN:
        raise ValueError("a request is 2848 bytes (7.1.2)")
    context = hpke.sender(key, INFO, ephemeral)
    aad = associated(service, set_id)
    body = struct.pack("<HHHH", *hpke.SUITE, 0) + trust.key_id(key)
    body += context.enc.ljust(ENCAPSULATION_LEN, b"\0") + context.seal(aad, request)
    return Sealed(op.Question(op.SEALED, set_id, body=body), context, aad)


def _answer_key(context: hpke.Context, nonce: bytes) -> Tuple[bytes, bytes]:
    """7.1.3"""
    exported = context.export(b"tekd/1 answer\0" + nonce, hpke.KEY_LEN + hpke.NONCE_LEN)
    return exported[: hpke.KEY_LEN], exported[hpke.KEY_LEN :]


def open_answer(sealed: Sealed, frame: fr.Frame) -> bytes:
    """The answer inside the frame, or hpke.Unopened: nothing is then to be concluded (7.1.6)."""
    nonce, ciphertext = op.read_sealed(frame)
    key, key_nonce = _answer_key(sealed.context, nonce)
    return hpke.open_(key, key_nonce, sealed.aad, ciphertext)


def seal_answer(context: hpke.Context, aad: bytes, nonce: bytes, answer: bytes) -> bytes:
    """The body of the answer (2.9.4); what a server does."""
    if len(answer) != ANSWER_LEN or len(nonce) != NONCE_LEN:
        raise ValueError("an answer is 3984 bytes, its nonce 32 (7.1.3)")
    key, key_nonce = _answer_key(context, nonce)
    return nonce + hpke.seal(key, key_nonce, aad, answer)


class OwnSealKey(NamedTuple):
    """A seal key with its secret: what a server has."""

    secret: bytes
    not_before: int
    not_after: int

    @property
    def public(self) -> bytes:
        return hpke.public_of(self.secret)


def open_question(frame: fr.Frame, keys: Iterable[OwnSealKey], now: int) -> Tuple[hpke.Context, bytes, bytes]:
    """What a server does: context, associated data and request. Refusal for what is answered with a
    header (7.1.5), hpke.Unopened for what is answered with random bytes (2.9.4)."""
    body = frame.rest
    if struct.unpack_from("<HHH", body) != hpke.SUITE:
        raise fr.Refusal(fr.REFUSED, text="another suite (7.1.5)")
    named = [k for k in keys if trust.key_id(k.public) == body[8:16] and now <= k.not_after + OPEN_AFTER_S]
    if not named:
        raise fr.Refusal(fr.GONE, text="no such seal key (7.1.5)")
    room, ciphertext = body[16 : 16 + ENCAPSULATION_LEN], body[16 + ENCAPSULATION_LEN :]
    if any(room[hpke.ENC_LEN :]):
        raise hpke.Unopened("bytes behind the encapsulation (2.9.2)")
    context = hpke.receiver(named[0].secret, room[: hpke.ENC_LEN], INFO)
    aad = associated(frame.service, frame.set, frame.first)
    return context, aad, context.open(aad, ciphertext)


# --- Request (7.2) -------------------------------------------------------------------------------


class Key(NamedTuple):
    """7.2.2"""

    key: bytes
    start: int
    period: int
    risk: int = 0

    def pack(self) -> bytes:
        return self.key + struct.pack("<IIB3x", self.start, self.period, self.risk)


_KEY_TAIL = struct.Struct("<IIB3s")
_REQUEST = struct.Struct("<BBBBHHI4s16s32s16s8s8s")
assert _REQUEST.size == 96 and _KEY_TAIL.size == 12
assert 96 + LONGEST_GRANT + MOST_KEYS * (32 + _KEY_TAIL.size) <= REQUEST_LEN


class Request(NamedTuple):
    kind: int
    report: bytes
    secret: bytes  # the field: H(secret) of SUBMIT and DUMMY, else the secret
    keys: Tuple[Key, ...] = ()
    grant_type: int = 0
    grant: bytes = b""
    report_type: int = 0
    onset: int = 0
    seed: bytes = bytes(16)
    solution: bytes = bytes(8)

    @property
    def key_len(self) -> int:
        return len(self.keys[0].key) if self.keys else 0

    def _unpadded(self) -> bytes:
        head = _REQUEST.pack(
            self.kind, self.key_len, len(self.keys), self.report_type, self.grant_type, len(self.grant), self.onset,
            bytes(4), self.report, self.secret, self.seed, self.solution, bytes(8),
        )  # fmt: skip
        return head + self.grant + b"".join(k.pack() for k in self.keys)

    def pack(self) -> bytes:
        """7.2.1"""
        if len(self.keys) > MOST_KEYS or len(self.grant) > LONGEST_GRANT:
            raise ValueError("more than fits a request (7.2.1)")
        if any(len(k.key) != self.key_len for k in self.keys):
            raise ValueError("keys of different lengths (7.2.1)")
        return self._unpadded().ljust(REQUEST_LEN, b"\0")

    def content(self, service: bytes, set_id: int) -> bytes:
        """7.2.5"""
        data = self._unpadded()
        return H(b"tekd/1 content\0" + service + struct.pack("<I", set_id) + data[:64] + data[96:])


def parse_request(data: bytes) -> Request:
    """What a server does with what it opened (7.2.4)."""
    if len(data) != REQUEST_LEN:
        raise Malformed("length of a request (7.1.2)")
    (kind, key_len, count, report_type, grant_type, grant_len, onset, reserved, report, secret, seed, solution,
     tail) = _REQUEST.unpack_from(data)  # fmt: skip
    if not SUBMIT <= kind <= DUMMY:
        raise Malformed("kind %d (7.2.4)" % kind)
    if report_type not in (0, 1, 2, 3, NEGATIVE):
        raise Malformed("a report type that no grant has (7.2.4)")
    if any(reserved) or any(tail):
        raise Malformed("reserved bytes (7.2.1)")
    if key_len not in ((16, 32) if count else (0,)):
        raise Malformed("%d keys of %d bytes (7.2.1)" % (count, key_len))
    if count > MOST_KEYS or grant_len > LONGEST_GRANT:
        raise Malformed("too many keys, or too long a grant (7.2.1)")
    if grant_len and not grant_type:
        raise Malformed("a grant of no type (7.2.4)")
    at = _REQUEST.size + grant_len
    end = at + count * (key_len + _KEY_TAIL.size)
    if any(data[end:]):
        raise Malformed("a byte behind the keys (7.2.4)")
    if kind in (SUBMIT, DUMMY) and not grant_type:
        raise Malformed("no grant (7.2.4)")
    if kind in (STATUS, CANCEL) and (grant_type or count):
        raise Malformed("a grant or keys where none belong (7.2.4)")
    keys = []
    for a in range(at, end, (key_len + _KEY_TAIL.size) or 1):
        start, period, risk, filling = _KEY_TAIL.unpack_from(data, a + key_len)
        if any(filling):
            raise Malformed("reserved bytes of a key (7.2.2)")
        keys.append(Key(data[a : a + key_len], start, period, risk))
    return Request(
        kind, report, secret, tuple(keys), grant_type, data[_REQUEST.size : at], report_type, onset, seed, solution
    )


# --- Verdicts (7.4); what a server does -----------------------------------------------------------


def judge(
    keys: Sequence[Key],
    limits: Manifest,
    schema: Schema,
    now: int,
    horizon: int,
    onset: int = 0,
    held: Sequence[Key] = (),
) -> bytes:
    """One verdict per key (7.4.1). `held` are the keys that are in the report already."""
    out: List[int] = []
    accepted = list(held)
    for i, k in enumerate(keys):
        verdict = ACCEPTED
        if len(k.key) != schema.key_len:
            verdict = VERDICTS.index("malformed")
        elif not limits.least_period <= k.period <= limits.greatest_period:
            verdict = VERDICTS.index("period")
        elif k.start * INTERVAL > now + limits.start_ahead_s:
            verdict = VERDICTS.index("future")
        elif k.start + k.period <= horizon:
            verdict = VERDICTS.index("expired")
        elif k.risk > 8:
            verdict = VERDICTS.index("field")
        elif k.key in [other.key for other in (*held, *keys[:i])]:
            verdict = VERDICTS.index("duplicate")
        elif sum(other.start == k.start for other in accepted) >= limits.most_keys_of_a_start:
            verdict = VERDICTS.index("start")
        elif len(accepted) >= limits.most_keys:
            verdict = VERDICTS.index("count")
        elif schema.has_onset and onset and abs(k.start // 144 - onset) > 14:
            verdict = VERDICTS.index("onset")
        else:
            accepted.append(k)
        out.append(verdict)
    return bytes(out)


# --- Puzzle (7.5) --------------------------------------------------------------------------------


def _puzzle(seed: bytes, report: bytes, grant: bytes) -> "hashlib._Hash":
    return hashlib.sha256(b"tekd/1 puzzle\0" + seed + report + H(grant))


def is_solved(seed: bytes, report: bytes, grant: bytes, solution: bytes, bits: int) -> bool:
    digest = _puzzle(seed, report, grant)
    digest.update(solution)
    return int.from_bytes(digest.digest(), "big") >> (256 - bits) == 0


def solve(seed: bytes, report: bytes, grant: bytes, bits: int) -> bytes:
    """7.5.1"""
    begun = _puzzle(seed, report, grant)
    limit = 1 << (256 - bits)
    for n in range(1 << 64):
        solution = struct.pack("<Q", n)
        digest = begun.copy()
        digest.update(solution)
        if int.from_bytes(digest.digest(), "big") < limit:
            return solution
    raise AssertionError("not reached")


# --- Answer (7.6) --------------------------------------------------------------------------------

_ANSWER = struct.Struct("<BBBBHHQ16sIHHHHH18s")
RECEIPT_LEN, SIGNATURES_LEN = 128, 80
DELEGATION_SIGNATURES_LEN = 4 + trust.ANSWER_MOST[1] * 76
_PROOF = struct.Struct("%ds%ds%ds%ds" % (RECEIPT_LEN, SIGNATURES_LEN, trust.DELEGATION_LEN, DELEGATION_SIGNATURES_LEN))
_VERDICTS_AT = _ANSWER.size + _PROOF.size
assert _PROOF.size == 520
assert _ANSWER.size == 64


class Answer(NamedTuple):
    outcome: int
    time: int
    state: int = 0
    bits: int = 0
    wait: int = 0
    seed: bytes = bytes(16)
    serial: int = 0
    keys: int = 0
    live: int = 0
    embargo: int = 0
    waiting: int = 0
    withdrawn: int = 0
    verdicts: bytes = b""
    receipt: bytes = b""  # empty for none
    signatures: bytes = b""
    delegation: bytes = b""  # of the receipt's epoch
    delegation_signatures: bytes = b""

    @property
    def outcome_name(self) -> str:
        return name_in(OUTCOMES, self.outcome)

    @property
    def state_name(self) -> str:
        return name_in(STATES, self.state)

    def pack(self) -> bytes:
        head = _ANSWER.pack(
            self.outcome, self.state, len(self.verdicts), self.bits, self.wait, 0, self.time, self.seed, self.serial,
            self.keys, self.live, self.embargo, self.waiting, self.withdrawn, bytes(18),
        )  # fmt: skip
        # Shorter parts are filled with zeros.
        proof = _PROOF.pack(self.receipt, self.signatures, self.delegation, self.delegation_signatures)
        return (head + proof + self.verdicts).ljust(ANSWER_LEN, b"\0")


def parse_answer(data: bytes) -> Answer:
    """7.6.1; numbers that are not known stay numbers."""
    if len(data) != ANSWER_LEN:
        raise FrameError("length of an answer (7.1.3)")
    (outcome, state, count, bits, wait, _, time, seed, serial, keys, live, embargo, waiting, withdrawn,
     _) = _ANSWER.unpack_from(data)  # fmt: skip
    if count > MOST_KEYS:
        raise FrameError("%d verdicts (7.2.1)" % count)
    proof = (part if any(part) else b"" for part in _PROOF.unpack_from(data, _ANSWER.size))
    return Answer(
        outcome, time, state, bits, wait, seed, serial, keys, live, embargo, waiting, withdrawn,
        data[_VERDICTS_AT : _VERDICTS_AT + count], *proof,
    )  # fmt: skip


# --- Receipt (7.7) -------------------------------------------------------------------------------

RECEIPT_CONTEXT = b"tekd/1 receipt\0"
SUCCESSION_S = 7200  # 7.7.4
_RECEIPT = struct.Struct("<8sII16sQQBBHI32s32s8x")
assert _RECEIPT.size == RECEIPT_LEN


class Receipt(NamedTuple):
    service: bytes
    set: int
    incarnation: int
    report: bytes
    seq: int
    time: int
    durability: int
    kind: int
    accepted: int
    epoch: int
    content: bytes
    verdicts: bytes  # their hash

    def pack(self) -> bytes:
        return _RECEIPT.pack(*self)


def parse_receipt(data: bytes) -> Receipt:
    if len(data) != RECEIPT_LEN:
        raise FrameError("a receipt is 128 bytes (7.7.1)")
    return Receipt(*_RECEIPT.unpack(data))


class Own(NamedTuple):
    """What a receipt is compared with (7.7.2)."""

    service: bytes
    set: int
    report: bytes
    kind: int
    content: bytes
    verdicts: bytes


def verify_receipt(data: bytes, signatures: bytes, delegation: trust.Delegation, own: Own) -> Receipt:
    """7.7.2; the delegation is verified already. TrustError says what is wrong."""
    receipt = parse_receipt(data)
    if (receipt.service, delegation.service) != (own.service, own.service):
        raise TrustError("receipt of another service (7.7.2)", "service")
    if receipt.set != own.set:
        raise TrustError("receipt for another set (7.7.2)", "set")
    if receipt.epoch != delegation.epoch:
        text = "receipt of epoch %d, delegation of epoch %d (7.7.1)" % (receipt.epoch, delegation.epoch)
        raise TrustError(text, "epoch")
    listed, _ = trust.parse_signatures(signatures.ljust(SIGNATURES_LEN, b"\0"))
    if not trust.signers(RECEIPT_CONTEXT + data, listed, [delegation.key]):
        raise TrustError("receipt not signed by the delegated key (7.7.1)", "unsigned")
    if not delegation.not_before <= receipt.time <= delegation.not_after:
        raise TrustError("receipt from outside its delegation's time (3.5.2)", "time")
    if receipt.report != own.report:
        raise TrustError("receipt for another report (7.7.2)", "report")
    if receipt.kind != own.kind:
        raise TrustError("receipt for another kind of request (7.7.1)", "kind")
    if receipt.content != own.content:
        raise TrustError("receipt for other content (7.7.2)", "content")
    if receipt.verdicts != H(own.verdicts) or receipt.accepted != own.verdicts.count(ACCEPTED):
        raise TrustError("receipt for other verdicts (7.7.2)", "verdicts")
    return receipt


def verify_receipt_of(
    data: bytes,
    signatures: bytes,
    delegation: bytes,
    delegation_signatures: bytes,
    trusted: trust.Trust,
    own: Own,
    newest: Optional[trust.Delegation] = None,
) -> Receipt:
    """The same with all that came with it, also later and without a server (7.7.2), whatever epochs came
    since; but not for the time of a later epoch, where one is known (7.7.4). `newest` is verified already."""
    listed, _ = trust.parse_signatures(delegation_signatures)
    # A verifier of its own: the epoch is compared with none and remembered nowhere.
    vouched = trust.Verifier(trusted, own.set).check_delegation(delegation, listed)
    receipt = verify_receipt(data, signatures, vouched, own)
    if newest and receipt.epoch < newest.epoch and receipt.time > newest.not_before + SUCCESSION_S:
        text = "receipt of epoch %d from the time of epoch %d (7.7.4)" % (receipt.epoch, newest.epoch)
        raise TrustError(text, "superseded")
    return receipt
