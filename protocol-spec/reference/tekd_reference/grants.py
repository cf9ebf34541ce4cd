"""Chapter 7.8: codes, certificates and JWTs.

A client needs none of it: a grant is opaque to it. It is what a server does, here for the vectors and
the tests; only the code of a dummy is made by a client (7.1.8).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import struct
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from . import trust
from .release import H
from .reports import CERTIFICATE, DAY, JWT, NEGATIVE, Key

GRACE_S = 300  # 7.8.6, 7.8.7
LONGEST_LIFE_S = 14 * DAY  # 7.8.5, 7.8.7
REPORT_TYPES = (1, 2, 3, NEGATIVE)  # 7.8.1
IDENTITY_LEN = 16


class Refused(ValueError):
    """A grant that authorises nothing. `outcome` is the name of 7.6.3."""

    def __init__(self, outcome: str, text: str):
        super().__init__("%s: %s" % (outcome, text))
        self.outcome = outcome


class Grant(NamedTuple):
    """What a grant says once it has been found good."""

    report_type: int
    onset: int  # day, 0 for none
    identity: bytes = b""


def identity(grant_type: int, signed: bytes) -> bytes:
    """7.8.8"""
    return H(b"tekd/1 grant\0" + struct.pack("<H", grant_type) + signed)[:IDENTITY_LEN]


# --- Codes (7.8.2 to 7.8.4) -----------------------------------------------------------------------

SYMBOLS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LOOK_ALIKES = {"O": "0", "I": "1", "L": "1"}
CODE_SYMBOLS, DATA_SYMBOLS = 12, 11
SHORTEST_TYPED, LONGEST_TYPED = 8, 24


def times(a: int, b: int) -> int:
    """The product in GF(32), x^5 = x^2 + 1 (7.8.3)."""
    out = 0
    for bit in range(5):
        if b >> bit & 1:
            out ^= a << bit
    for bit in range(8, 4, -1):
        if out >> bit & 1:
            out ^= 0b100101 << (bit - 5)
    return out


def powers(count: int = CODE_SYMBOLS) -> List[int]:
    out = [1]
    while len(out) < count:
        out.append(times(out[-1], 2))
    return out


POWERS = powers()


def checksum(symbols: Sequence[int]) -> int:
    out = 0
    for power, d in zip(POWERS, symbols):
        out ^= times(power, d)
    return out


def code_text(data: Sequence[int]) -> str:
    """Eleven symbols with their check symbol, as printed (7.8.2)."""
    check = next(d for d in range(32) if checksum([*data, d]) == 0)
    text = "".join(SYMBOLS[d] for d in (*data, check))
    return "-".join(text[i : i + 4] for i in range(0, CODE_SYMBOLS, 4))


def batch_secret(codes_key: bytes, nonce: bytes) -> bytes:
    """7.8.4"""
    return hmac.new(codes_key, b"tekd/1 batch\0" + nonce, hashlib.sha256).digest()


def batch_code(secret: bytes, index: int) -> str:
    """7.8.4"""
    mac = hmac.new(secret, b"tekd/1 code\0" + struct.pack("<I", index), hashlib.sha256).digest()
    number = int.from_bytes(mac[:7], "big") >> 1  # the first 55 bits
    return code_text([number >> (5 * i) & 31 for i in range(DATA_SYMBOLS - 1, -1, -1)])


def random_code() -> str:
    """A code of the right form, of no batch (7.1.8)."""
    return code_text([secrets.randbelow(32) for _ in range(DATA_SYMBOLS)])


def read_code(typed: bytes) -> str:
    """The twelve symbols of what was typed (7.8.2), or MISTYPED."""
    if not SHORTEST_TYPED <= len(typed) <= LONGEST_TYPED or not typed.isascii():
        raise Refused("MISTYPED", "8 to 24 ASCII characters (7.8.2)")
    text = "".join(c for c in typed.decode("ascii").upper() if c not in " \t-")
    text = "".join(LOOK_ALIKES.get(c, c) for c in text)
    if len(text) != CODE_SYMBOLS or any(c not in SYMBOLS for c in text):
        raise Refused("MISTYPED", "not twelve symbols (7.8.2)")
    if checksum([SYMBOLS.index(c) for c in text]):
        raise Refused("MISTYPED", "the check symbol (7.8.3)")
    return text


# --- What certificates and JWTs have in common -----------------------------------------------------


def check_times(not_before: int, not_after: int, now: int) -> None:
    """7.8.6, 7.8.7"""
    if now + GRACE_S < not_before:
        raise Refused("EARLY", "not valid yet (7.8.6)")
    if now > not_after + GRACE_S:
        raise Refused("EXPIRED", "valid no more (7.8.6)")


def check_type(granted: int, asked: int) -> None:
    if granted == NEGATIVE:
        raise Refused("TYPE", "no report begins with negative (7.8.1)")
    if asked not in (0, granted):
        raise Refused("TYPE", "another report type (7.6.3)")


# --- Certificates (7.8.5, 7.8.6) -------------------------------------------------------------------

CERTIFICATE_CONTEXT = b"tekd/1 certificate\0"
_CERTIFICATE = struct.Struct("<HBBI8sIIQQ8s16s32s64s")
CERTIFICATE_LEN = 160
assert _CERTIFICATE.size == CERTIFICATE_LEN


class Provider(NamedTuple):
    provider: int
    state: str  # active, suspended, revoked
    keys: Tuple[bytes, ...]


class Certificate(NamedTuple):
    layout: int
    report_type: int
    reserved: int
    set: int
    service: bytes
    provider: int
    onset: int
    not_before: int
    not_after: int
    key_id: bytes
    nonce: bytes
    commitment: bytes
    tail: bytes = bytes(64)

    def pack(self) -> bytes:
        return _CERTIFICATE.pack(*self)


def commitment(keys: Iterable[Key]) -> bytes:
    """7.8.6"""
    return H(
        b"tekd/1 keys\0" + b"".join(k.key + struct.pack("<II", k.start, k.period) for k in sorted(keys))
    )


def parse_certificate(value: bytes) -> Certificate:
    if len(value) != CERTIFICATE_LEN + 64:
        raise Refused("GRANT", "length of a certificate (7.8.5)")
    out = Certificate(*_CERTIFICATE.unpack_from(value))
    if out.layout != 1 or out.reserved or any(out.tail) or out.report_type not in REPORT_TYPES:
        raise Refused("GRANT", "layout or reserved bytes of a certificate (7.8.5)")
    if out.not_after - out.not_before > LONGEST_LIFE_S:
        raise Refused("GRANT", "a certificate for more than 14 days (7.8.5)")
    return out


def check_certificate(
    value: bytes,
    keys: Sequence[Key],
    providers: Iterable[Provider],
    service: bytes,
    set_id: int,
    now: int,
    asked: int = 0,
    spent: Iterable[bytes] = (),
) -> Grant:
    c = parse_certificate(value)
    signed, signature = value[:CERTIFICATE_LEN], value[CERTIFICATE_LEN:]
    if c.service != service:
        raise Refused("AUDIENCE", "for another service (7.6.3)")
    if c.set != set_id:
        raise Refused("SET", "for another set (7.6.3)")
    provider = next((p for p in providers if p.provider == c.provider), None)
    key = next((k for k in provider.keys if trust.key_id(k) == c.key_id), None) if provider else None
    if provider is None or key is None:
        raise Refused("UNKNOWN", "no such provider, or no such key of it (7.6.3)")
    if not trust.verify(key, CERTIFICATE_CONTEXT + signed, signature):
        raise Refused("SIGNATURE", "not signed by the key it names (7.6.3)")
    if provider.state != "active":
        raise Refused(provider.state.upper(), "the provider (7.6.3)")
    check_times(c.not_before, c.not_after, now)
    check_type(c.report_type, asked)
    if c.commitment != commitment(keys):
        raise Refused("KEYS", "over other keys (7.8.6)")
    who = identity(CERTIFICATE, CERTIFICATE_CONTEXT + signed)
    if who in spent:
        raise Refused("SPENT", "used for another report (7.8.8)")
    return Grant(c.report_type, c.onset, who)


# --- JWTs (7.8.7) ----------------------------------------------------------------------------------

JWT_TYPES = {"confirmed": 1, "likely": 2, "user-report": 3, "negative": NEGATIVE}


class Issuer(NamedTuple):
    issuer: str
    audience: str
    kid: str
    public: bytes  # uncompressed point


def tekmac_text(keys: Iterable[Key], risks: bool = True) -> str:
    rows = sorted((base64.b64encode(k.key).decode(), k.start, k.period, k.risk) for k in keys)
    return ",".join(".".join(str(x) for x in (row if risks else row[:3])) for row in rows)


def tekmac(hmac_key: bytes, keys: Iterable[Key], risks: bool = True) -> str:
    text = tekmac_text(keys, risks).encode()
    return base64.b64encode(hmac.new(hmac_key, text, hashlib.sha256).digest()).decode()


def _url(text: bytes) -> bytes:
    if any(c not in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" for c in text):
        raise Refused("GRANT", "not base64url (7.8.7)")
    try:
        return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except binascii.Error as e:
        raise Refused("GRANT", "not base64url: %s (7.8.7)" % e)


def _once(members: List[Tuple[str, Any]]) -> Dict[str, Any]:
    if len(dict(members)) != len(members):
        raise ValueError("a member that stands twice")
    return dict(members)


def _object(text: bytes) -> Dict[str, Any]:
    data = _url(text)
    try:
        out = json.loads(data, object_pairs_hook=_once)
    except ValueError as e:
        raise Refused("GRANT", "not JSON: %s (7.8.7)" % e)
    if not isinstance(out, dict):
        raise Refused("GRANT", "no JSON object (7.8.7)")
    return out


def _time(claims: Dict[str, Any], name: str) -> int:
    value = claims.get(name)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise Refused("GRANT", "%s (7.8.7)" % name)
    return int(value)


def _verify_es256(public: bytes, signed: bytes, signature: bytes) -> bool:
    if len(signature) != 64:
        return False
    der = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
    try:
        key.verify(der, signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def check_jwt(
    value: bytes,
    keys: Sequence[Key],
    issuers: Iterable[Issuer],
    now: int,
    asked: int = 0,
    spent: Iterable[bytes] = (),
) -> Grant:
    size = value[0] if value else 0
    if not 16 <= size <= 64 or len(value) <= 1 + size:
        raise Refused("GRANT", "length of the HMAC key (7.8.7)")
    hmac_key, parts = value[1 : 1 + size], value[1 + size :].split(b".")
    if len(parts) != 3:
        raise Refused("GRANT", "no compact JWT (7.8.7)")
    header, claims, signature = _object(parts[0]), _object(parts[1]), _url(parts[2])
    if header.get("alg") != "ES256" or "crit" in header:
        raise Refused("GRANT", "another algorithm, or what must be understood (7.8.7)")
    issued, expires = _time(claims, "iat"), _time(claims, "exp")
    not_before = max(issued, _time(claims, "nbf")) if "nbf" in claims else issued
    if not all(isinstance(x, str) for x in (header.get("kid"), *map(claims.get, ("iss", "tekmac", "reportType")))):
        raise Refused("GRANT", "kid, iss, tekmac or report type (7.8.7)")
    report_type = JWT_TYPES.get(claims["reportType"])
    if report_type is None:
        raise Refused("GRANT", "another report type (7.8.7)")
    if expires - issued > LONGEST_LIFE_S:
        raise Refused("GRANT", "a JWT for more than 14 days (7.8.7)")
    issuer = next(
        (i for i in issuers if i.issuer == claims["iss"] and i.kid == header["kid"]), None
    )
    if issuer is None:
        raise Refused("UNKNOWN", "no such issuer, or no such key of it (7.6.3)")
    signed = parts[0] + b"." + parts[1]
    if not _verify_es256(issuer.public, signed, signature):
        raise Refused("SIGNATURE", "not signed by the key it names (7.6.3)")
    if claims.get("aud") != issuer.audience:
        raise Refused("AUDIENCE", "for another audience (7.6.3)")
    check_times(not_before, expires, now)
    check_type(report_type, asked)
    macs = [tekmac(hmac_key, keys)] + ([tekmac(hmac_key, keys, False)] if not any(k.risk for k in keys) else [])
    if claims["tekmac"] not in macs:
        raise Refused("KEYS", "over other keys (7.8.7)")
    who = identity(JWT, signed)
    if who in spent:
        raise Refused("SPENT", "used for another report (7.8.8)")
    onset: Optional[Any] = claims.get("symptomOnsetInterval")
    return Grant(report_type, onset // 144 if isinstance(onset, int) else 0, who)
