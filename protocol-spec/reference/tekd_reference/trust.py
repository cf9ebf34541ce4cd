"""Chapters 3.4 and 3.5: signatures, checkpoint, delegation, trust; and what a client accepts (4.1)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import struct
from dataclasses import dataclass, replace
from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .frame import HEADER_LEN, UDP_MAX, FrameError
from .release import MAX_DEPTH

CHECKPOINT_CONTEXT = b"tekd/1 checkpoint\0"  # 3.4.2
DELEGATION_CONTEXT = b"tekd/1 delegation\0"  # 3.5.1
MANIFEST_CONTEXT = b"tekd/1 manifest\0"  # 3.6.1

CHECKPOINT_LEN = 208
DELEGATION_LEN = 80
ED25519 = 1
LIST_MAX = 8  # 3.4.3
ANSWER_MOST = 8, 3  # signatures on the checkpoint and the delegation of an answer (2.2.2)
TOO_OLD_S = 604_800  # 4.2.2


class TrustError(ValueError):
    """Something is not what it would be if the holder of the keys had made it. `reason` is a word
    for it."""

    def __init__(self, text: str, reason: str = "trust"):
        super().__init__(text)
        self.reason = reason


class EquivocationError(TrustError):
    """Two signed checkpoints of one version (3.4.6). `held` and `shown` are the evidence."""

    def __init__(self, held: bytes, shown: bytes):
        super().__init__("another checkpoint of the same version (4.1.2)", "equivocation")
        self.held = held
        self.shown = shown


# --- Ed25519 (3.4.4) -----------------------------------------------------------------------------

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_SQRT_M1 = pow(2, (_P - 1) // 4, _P)


def _decode_point(data: bytes) -> Optional[Tuple[int, int]]:
    """A point in its canonical encoding (RFC 8032 section 5.1.3), or None."""
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & ((1 << 255) - 1)
    if y >= _P:
        return None
    u, v = (y * y - 1) % _P, (_D * y * y + 1) % _P
    x = u * v**3 * pow(u * v**7, (_P - 5) // 8, _P) % _P
    if (v * x * x - u) % _P:
        x = x * _SQRT_M1 % _P
    if (v * x * x - u) % _P or (x == 0 and sign):
        return None
    return (_P - x if x & 1 != sign else x, y)


def _double(point: Tuple[int, int]) -> Tuple[int, int]:
    x, y = point
    t = _D * x * x * y * y
    return (
        2 * x * y * pow(1 + t, _P - 2, _P) % _P,
        (y * y + x * x) * pow(1 - t, _P - 2, _P) % _P,
    )


def _good_point(data: bytes) -> bool:
    """Canonical, and not of order 1, 2, 4 or 8."""
    point = _decode_point(data)
    if point is None:
        return False
    for _ in range(3):
        point = _double(point)
    return point != (0, 1)


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Strict verification: what the library checks, and before it that the key and R are canonical
    and not of small order and that S is below the order of the group."""
    if len(public_key) != 32 or len(signature) != 64:
        return False
    if int.from_bytes(signature[32:], "little") >= _L:
        return False
    if not _good_point(public_key) or not _good_point(signature[:32]):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def key_id(public_key: bytes) -> bytes:
    return hashlib.sha256(public_key).digest()[:8]


# --- Signature lists (3.4.3) ---------------------------------------------------------------------


class Signature(NamedTuple):
    algorithm: int
    key_id: bytes
    signature: bytes


def parse_signatures(
    data: bytes, at: int = 0, clause: str = "3.4.3", most: int = LIST_MAX, most_clause: str = "3.4.3"
) -> Tuple[List[Signature], int]:
    """The list that begins at `at`, and where it ends. The clauses are those to name in an error."""
    if len(data) - at < 4:
        raise FrameError("signature list cut short (%s)" % clause)
    (count,) = struct.unpack_from("<H", data, at)
    if count > most:
        raise FrameError("%d signatures (%s)" % (count, most_clause))
    at += 4
    out = []
    for _ in range(count):
        if len(data) - at < 12:
            raise FrameError("signature cut short (%s)" % clause)
        algorithm, length = struct.unpack_from("<HH", data, at)
        if len(data) - at - 12 < length:
            raise FrameError("signature cut short (%s)" % clause)
        out.append(Signature(algorithm, data[at + 4 : at + 12], data[at + 12 : at + 12 + length]))
        at += 12 + length
    return out, at


def pack_signatures(signatures: List[Signature]) -> bytes:
    out = struct.pack("<HH", len(signatures), 0)
    for s in signatures:
        out += struct.pack("<HH", s.algorithm, len(s.signature)) + s.key_id + s.signature
    return out


def sign(context: bytes, message: bytes, keys: List[Ed25519PrivateKey]) -> bytes:
    """A signature list; for tests."""
    out = []
    for key in keys:
        public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        out.append(Signature(ED25519, key_id(public), key.sign(context + message)))
    return pack_signatures(out)


def signers(
    message: bytes, signatures: List[Signature], keys: List[bytes], reason: str = "signature"
) -> Set[bytes]:
    """Which of `keys` signed. Unknown keys and algorithms are ignored; a wrong signature of a known
    key spoils the list (3.4.3)."""
    known = {key_id(k): k for k in keys}
    out = set()
    for s in signatures:
        if s.algorithm != ED25519 or s.key_id not in known:
            continue
        if not verify(known[s.key_id], message, s.signature):
            raise TrustError("a known key's signature is wrong (3.4.3)", reason)
        out.add(known[s.key_id])
    return out


# --- Checkpoint (3.4.1) --------------------------------------------------------------------------

_CHECKPOINT = struct.Struct("<HHI8sQQQIHBxQQ32s32s32s32sI12x")
assert _CHECKPOINT.size == CHECKPOINT_LEN


class Checkpoint(NamedTuple):
    layout: int
    flags: int
    set: int
    service: bytes
    version: int
    time: int
    fresh_until: int
    horizon: int
    schema: int
    b: int
    live: int
    log_size: int
    root: bytes
    log_root: bytes
    manifest: bytes
    history: bytes
    epoch: int

    def pack(self) -> bytes:
        return _CHECKPOINT.pack(*self)


def parse_checkpoint(data: bytes) -> Checkpoint:
    if len(data) != CHECKPOINT_LEN:
        raise FrameError("a checkpoint is 208 bytes (3.4.1)")
    checkpoint = Checkpoint(*_CHECKPOINT.unpack(data))
    if checkpoint.layout != 1:
        raise FrameError("checkpoint of layout %d" % checkpoint.layout)
    if checkpoint.b > MAX_DEPTH:
        raise FrameError("a tree of depth %d (3.3.1)" % checkpoint.b)
    return checkpoint


# --- Delegation (3.5.1) --------------------------------------------------------------------------

_DELEGATION = struct.Struct("<HHI8sQQ32s16x")
assert _DELEGATION.size == DELEGATION_LEN


class Delegation(NamedTuple):
    layout: int
    flags: int
    epoch: int
    service: bytes
    not_before: int
    not_after: int
    key: bytes

    def pack(self) -> bytes:
        return _DELEGATION.pack(*self)


def parse_delegation(data: bytes) -> Delegation:
    if len(data) != DELEGATION_LEN:
        raise FrameError("a delegation is 80 bytes (3.5.1)")
    delegation = Delegation(*_DELEGATION.unpack(data))
    if delegation.layout != 1:
        raise FrameError("delegation of layout %d" % delegation.layout)
    return delegation


# --- The answer to CHECKPOINT (2.2.1) ------------------------------------------------------------


class SignedCheckpoint(NamedTuple):
    """The parts of the answer, and the bytes they were read from."""

    checkpoint: bytes
    checkpoint_signatures: List[Signature]
    delegation: bytes
    delegation_signatures: List[Signature]
    raw: bytes


def parse_signed_checkpoint(body: bytes) -> SignedCheckpoint:
    """What stands at the start of `body`; `raw` is as long as it is."""
    checkpoint = body[:CHECKPOINT_LEN]
    first, at = parse_signatures(body, CHECKPOINT_LEN, "2.2.1", ANSWER_MOST[0], "2.2.2")
    delegation = body[at : at + DELEGATION_LEN]
    second, end = parse_signatures(body, at + DELEGATION_LEN, "2.2.1", ANSWER_MOST[1], "2.2.2")
    return SignedCheckpoint(checkpoint, first, delegation, second, body[:end])


# --- Trust (3.5.3) -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trust:
    service: bytes
    threshold: int
    roots: Tuple[bytes, ...]
    sets: Tuple[int, ...]


def _integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def parse_trust(text: str) -> Trust:
    try:
        data = json.loads(text)
    except ValueError as e:
        raise TrustError("trust is not JSON: %s" % e)
    if not isinstance(data, dict) or not _integer(data.get("format")) or data["format"] != 1:
        raise TrustError("trust is not of format 1 (3.5.3)")
    service = data.get("service")
    digits = "0123456789abcdef"
    if not isinstance(service, str) or len(service) != 16 or any(c not in digits for c in service):
        raise TrustError("the service id is not 16 lower-case hex digits (3.5.3)")
    listed = data.get("roots")
    if not isinstance(listed, list) or not 1 <= len(listed) <= 16:
        raise TrustError("there must be 1 to 16 roots (3.5.3)")
    roots = []
    for item in listed:
        try:
            root = base64.b64decode(item, validate=True) if isinstance(item, str) else b""
        except binascii.Error:
            root = b""
        if len(root) != 32 or base64.b64encode(root).decode() != item:
            raise TrustError("a root is not the base64 of 32 bytes (3.5.3)")
        if not _good_point(root):
            raise TrustError("a root is no key to verify with (3.4.4)")
        roots.append(root)
    if len(set(roots)) != len(roots):
        raise TrustError("the same root twice (3.5.3)")
    threshold = data.get("threshold")
    if not _integer(threshold) or not 1 <= threshold <= min(len(roots), ANSWER_MOST[1]):
        raise TrustError("the threshold is not 1 to 3, or above the number of roots (3.5.3)")
    sets = data.get("sets")
    if not isinstance(sets, list) or not all(_integer(s) and 0 <= s < 1 << 32 for s in sets):
        raise TrustError("sets is not a list of set numbers (3.5.3)")
    return Trust(bytes.fromhex(service), threshold, tuple(roots), tuple(sets))


def read_trust(path: str) -> Trust:
    with open(path, encoding="utf-8") as f:
        return parse_trust(f.read())


# --- What a client accepts (4.1) -----------------------------------------------------------------


@dataclass(frozen=True)
class Accepted:
    """What a verifier remembers of one set (4.3.3)."""

    epoch: int = 0  # the highest accepted
    time: int = 0  # the newest signed time (4.2.1)
    answer: bytes = b""  # the last checkpoint with its signatures and delegation, as received

    @property
    def checkpoint(self) -> Optional[Checkpoint]:
        return parse_checkpoint(self.answer[:CHECKPOINT_LEN]) if self.answer else None


class Verifier:
    """Decides for one set which checkpoints count. `accepted` changes only when one does."""

    def __init__(self, trust: Trust, set_id: int, accepted: Accepted = Accepted()):
        self.trust = trust
        self.set = set_id
        self.accepted = accepted
        self.delegation: Optional[Delegation] = None

    def check_delegation(self, data: bytes, signatures: List[Signature]) -> Delegation:
        """3.5.1, 3.5.2"""
        delegation = parse_delegation(data)
        if delegation.service != self.trust.service:
            raise TrustError("delegation of another service (4.1.1)", "service")
        signed = signers(
            DELEGATION_CONTEXT + data, signatures, list(self.trust.roots), "delegation-signature"
        )
        if len(signed) < self.trust.threshold:
            raise TrustError("delegation not signed by enough roots (3.5.1)", "threshold")
        if delegation.epoch < self.accepted.epoch:
            text = "delegation of epoch %d after %d (3.5.2)" % (delegation.epoch, self.accepted.epoch)
            raise TrustError(text, "epoch-back")
        return delegation

    def accept(self, body: bytes) -> Checkpoint:
        """Take the body of an answer to CHECKPOINT, or raise (4.1.1, 4.1.2)."""
        signed = parse_signed_checkpoint(body)
        if signed.raw != body or len(body) > UDP_MAX - HEADER_LEN:
            raise FrameError("length of the answer (2.2.1)")
        checkpoint = parse_checkpoint(signed.checkpoint)
        if checkpoint.service != self.trust.service:
            raise TrustError("checkpoint of another service (4.1.1)", "service")
        if checkpoint.set != self.set or self.set not in self.trust.sets:
            raise TrustError("checkpoint of a set that is not trusted (4.1.1)", "set")
        delegation = self.check_delegation(signed.delegation, signed.delegation_signatures)
        if checkpoint.epoch != delegation.epoch:
            raise TrustError("checkpoint of another epoch than its delegation (3.4.2)", "epoch")
        message = CHECKPOINT_CONTEXT + signed.checkpoint
        if not signers(message, signed.checkpoint_signatures, [delegation.key], "checkpoint-signature"):
            raise TrustError("checkpoint not signed by the delegated key (3.4.2)", "unsigned")
        if not delegation.not_before <= checkpoint.time <= delegation.not_after:
            raise TrustError("checkpoint from outside its delegation's time (3.5.2)", "time")
        last = self.accepted.checkpoint
        if last is not None:
            held = self.accepted.answer[:CHECKPOINT_LEN]
            if checkpoint.version == last.version and signed.checkpoint != held:
                raise EquivocationError(self.accepted.answer, signed.raw)
            if checkpoint.version < last.version:
                raise TrustError("checkpoint of an older version (4.1.1)", "version-back")
            if checkpoint.time < last.time:
                raise TrustError("checkpoint of an earlier time (4.1.1)", "time-back")
        self.accepted = replace(
            self.accepted,
            epoch=delegation.epoch,
            time=max(self.accepted.time, checkpoint.time),
            answer=signed.raw,
        )
        self.delegation = delegation
        return checkpoint

    def now(self, clock: int) -> int:
        """4.2.1"""
        return max(clock, self.accepted.time)


def age_state(checkpoint: Checkpoint, now: int, too_old_s: int = TOO_OLD_S) -> Tuple[int, str]:
    """Age and state of a checkpoint (4.2.2)."""
    age = now - checkpoint.time
    if age > too_old_s:
        return age, "too-old"
    return age, "fresh" if now <= checkpoint.fresh_until else "stale"


def trust_json(trust: Trust) -> Dict[str, Any]:
    return {
        "format": 1,
        "service": trust.service.hex(),
        "threshold": trust.threshold,
        "roots": [base64.b64encode(r).decode() for r in trust.roots],
        "sets": list(trust.sets),
    }
