"""Chapter 3.6: the manifest."""

from __future__ import annotations

import struct
from typing import Any, Dict, List, NamedTuple

from . import trust
from .frame import FrameError, Tlv, parse_tlvs, refuse_unknown_critical
from .release import H

MANIFEST_MAX = 65_536  # 3.6.3
TLV_MAX = 64  # 3.6.1
NODE, SEAL_KEY, WITNESS = 1, 2, 3  # 3.6.2
TRANSPORTS = {1: "udp", 2: "tls", 3: "quic"}

_BODY = struct.Struct("<HHI8sIIQHHIIIIIIHHHHHHIII12x")
assert _BODY.size == 96


class Manifest(NamedTuple):
    layout: int
    reserved: int
    length: int
    service: bytes
    set: int
    number: int
    time: int
    schema: int
    retention_days: int
    interval_s: int
    fresh_s: int
    too_old_s: int
    embargo_s: int
    min_reports: int
    max_wait_s: int
    flags: int
    least_version: int
    most_keys: int
    most_keys_of_a_start: int
    least_period: int
    greatest_period: int
    start_ahead_s: int
    client_wait_s: int
    epoch: int

    @property
    def decoys(self) -> bool:
        return bool(self.flags & 1)

    def pack(self) -> bytes:
        return _BODY.pack(*self)


class Node(NamedTuple):
    transport: int
    address: str


class SealKey(NamedTuple):
    kem: int
    kdf: int
    aead: int
    not_before: int
    not_after: int
    key_id: bytes
    key: bytes


class Witness(NamedTuple):
    key: bytes
    name: str


class Parsed(NamedTuple):
    """A manifest taken apart; nothing of it is verified."""

    fields: Manifest
    nodes: List[Node]
    seal_keys: List[SealKey]
    witnesses: List[Witness]
    other: List[Tlv]
    body: bytes
    signatures: List[trust.Signature]


def parse(data: bytes) -> Parsed:
    """3.6.1, 3.6.2"""
    if len(data) > MANIFEST_MAX:
        raise FrameError("manifest longer than 65536 bytes (3.6.3)")
    if len(data) < _BODY.size:
        raise FrameError("manifest cut short (3.6.1)")
    fields = Manifest(*_BODY.unpack_from(data))
    if fields.layout != 1:
        raise FrameError("manifest of layout %d (3.6.1)" % fields.layout)
    if not _BODY.size <= fields.length <= len(data):
        raise FrameError("length of the manifest's body (3.6.1)")
    body = data[: fields.length]
    tlvs = parse_tlvs(body, _BODY.size, TLV_MAX, repeat=True)
    refuse_unknown_critical(tlvs, (NODE, SEAL_KEY, WITNESS))
    signatures, end = trust.parse_signatures(data, fields.length)
    if end != len(data):
        raise FrameError("bytes behind the manifest (3.6.1)")
    out = Parsed(fields, [], [], [], [], body, signatures)
    for tlv in tlvs:
        _sort_in(out, tlv)
    return out


def _sort_in(out: Parsed, tlv: Tlv) -> None:
    v = tlv.value
    try:
        if tlv.kind == NODE:
            address = v[1:].decode("ascii")
            host, _, port = address.rpartition(":")
            if not host or not port.isdigit():
                raise ValueError("no host and port")
            out.nodes.append(Node(v[0], address))
        elif tlv.kind == SEAL_KEY:
            kem, kdf, aead, _, not_before, not_after, key_id = struct.unpack_from("<HHHHQQ8s", v)
            if len(v) <= 32:
                raise ValueError("no key")
            out.seal_keys.append(SealKey(kem, kdf, aead, not_before, not_after, key_id, v[32:]))
        elif tlv.kind == WITNESS:
            if len(v) < 32:
                raise ValueError("no key")
            out.witnesses.append(Witness(v[:32], v[32:].decode("utf-8")))
        else:
            out.other.append(tlv)
    except (ValueError, struct.error) as e:
        raise FrameError("TLV %d of a manifest: %s (3.6.2)" % (tlv.kind, e))


def verify(data: bytes, digest: bytes, set_id: int, service: bytes) -> Manifest:
    """Accept a manifest because its digest stands in a verified checkpoint (3.6.3)."""
    if H(data) != digest:
        raise trust.TrustError("manifest is not the checkpoint's (3.6.3)")
    manifest = parse(data).fields
    if manifest.service != service or manifest.set != set_id:
        raise trust.TrustError("manifest of another set (3.6.1)")
    return manifest


def verify_signed(data: bytes, delegation: trust.Delegation, set_id: int, number: int = 0) -> Manifest:
    """Accept a manifest by its own signature, unless a newer one is known (3.6.3)."""
    parsed = parse(data)
    manifest = parsed.fields
    if manifest.service != delegation.service or manifest.set != set_id:
        raise trust.TrustError("manifest of another set (3.6.1)")
    if manifest.epoch != delegation.epoch:
        raise trust.TrustError("manifest of another epoch than the delegation")
    if not signed_by(parsed, delegation.key):
        raise trust.TrustError("manifest not signed by the delegated key (3.6.1)")
    if manifest.number < number:
        raise trust.TrustError(
            "manifest number %d after %d (3.6.3)" % (manifest.number, number), "number-back"
        )
    return manifest


def signed_by(parsed: Parsed, key: bytes) -> bool:
    return bool(trust.signers(trust.MANIFEST_CONTEXT + parsed.body, parsed.signatures, [key]))


def manifest_json(data: bytes) -> Dict[str, Any]:
    parsed = parse(data)
    out: Dict[str, Any] = {"digest": H(data).hex()}
    for name, value in parsed.fields._asdict().items():
        if name not in ("layout", "reserved", "length", "flags"):
            out[name] = value.hex() if isinstance(value, bytes) else value
    out["decoys"] = parsed.fields.decoys
    out["nodes"] = [
        {"transport": TRANSPORTS.get(n.transport, str(n.transport)), "address": n.address}
        for n in parsed.nodes
    ]
    out["seal_keys"] = [dict(k._asdict(), key_id=k.key_id.hex(), key=k.key.hex()) for k in parsed.seal_keys]
    out["witnesses"] = [{"key": w.key.hex(), "name": w.name} for w in parsed.witnesses]
    return out
