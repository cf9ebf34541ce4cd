"""Chapter 3.6: the manifest."""

from __future__ import annotations

import struct
from typing import Any, Dict, List, NamedTuple, Tuple

from . import trust
from .frame import FrameError, Refusal, Tlv, parse_tlvs, refuse_unknown_critical
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


def parse(data: bytes) -> Tuple[Manifest, List[Tlv], List[trust.Signature], bytes]:
    """The fields, the TLVs, the signatures, and the body they are over."""
    if len(data) > MANIFEST_MAX:
        raise FrameError("manifest longer than 65536 bytes (3.6.3)")
    if len(data) < _BODY.size:
        raise FrameError("manifest cut short (3.6.1)")
    manifest = Manifest(*_BODY.unpack_from(data))
    if manifest.layout != 1:
        raise FrameError("manifest of layout %d" % manifest.layout)
    if not _BODY.size <= manifest.length <= len(data):
        raise FrameError("length of the manifest's body (3.6.1)")
    body = data[: manifest.length]
    try:
        tlvs = parse_tlvs(body, _BODY.size, TLV_MAX, repeat=True)
        refuse_unknown_critical(tlvs, (NODE, SEAL_KEY, WITNESS))
    except Refusal as e:
        raise FrameError("TLVs of the manifest: %s" % e)
    signatures, end = trust.parse_signatures(data, manifest.length)
    if end != len(data):
        raise FrameError("bytes behind the manifest (3.6.1)")
    return manifest, tlvs, signatures, body


def verify(data: bytes, digest: bytes, set_id: int, service: bytes) -> Manifest:
    """Accept a manifest because its digest stands in a verified checkpoint (3.6.3)."""
    if H(data) != digest:
        raise trust.TrustError("manifest is not the checkpoint's (3.6.3)")
    manifest = parse(data)[0]
    if manifest.service != service or manifest.set != set_id:
        raise trust.TrustError("manifest of another set (3.6.1)")
    return manifest


def verify_signed(data: bytes, delegation: trust.Delegation, set_id: int, number: int = 0) -> Manifest:
    """Accept a manifest by its own signature, unless a newer one is known (3.6.3)."""
    manifest, _, signatures, body = parse(data)
    if manifest.service != delegation.service or manifest.set != set_id:
        raise trust.TrustError("manifest of another set (3.6.1)")
    if manifest.epoch != delegation.epoch:
        raise trust.TrustError("manifest of another epoch than the delegation")
    if not trust.signers(trust.MANIFEST_CONTEXT + body, signatures, [delegation.key]):
        raise trust.TrustError("manifest not signed by the delegated key (3.6.1)")
    if manifest.number < number:
        raise trust.RollbackError("manifest number %d after %d (3.6.3)" % (manifest.number, number))
    return manifest


def manifest_json(data: bytes) -> Dict[str, Any]:
    manifest, tlvs, _, _ = parse(data)
    out: Dict[str, Any] = {"digest": H(data).hex()}
    for name, value in manifest._asdict().items():
        if name not in ("layout", "reserved", "length", "flags"):
            out[name] = value.hex() if isinstance(value, bytes) else value
    out["decoys"] = manifest.decoys
    out["nodes"], out["seal_keys"], out["witnesses"] = [], [], []
    for tlv in tlvs:
        v = tlv.value
        if tlv.kind == NODE and len(v) > 1:
            transport = TRANSPORTS.get(v[0], str(v[0]))
            out["nodes"].append({"transport": transport, "address": v[1:].decode("ascii", "replace")})
        elif tlv.kind == SEAL_KEY and len(v) >= 32:
            kem, kdf, aead, _, not_before, not_after, key_id = struct.unpack_from("<HHHHQQ8s", v)
            out["seal_keys"].append(
                {
                    "kem": kem,
                    "kdf": kdf,
                    "aead": aead,
                    "not_before": not_before,
                    "not_after": not_after,
                    "key_id": key_id.hex(),
                    "key": v[32:].hex(),
                }
            )
        elif tlv.kind == WITNESS and len(v) >= 32:
            out["witnesses"].append({"key": v[:32].hex(), "name": v[32:].decode("utf-8", "replace")})
    return out
