"""HPKE (RFC 9180) in base mode with the one suite of 7.1.1, built from X25519, HMAC and an AEAD.

One message per context is all that is needed: the sequence number of RFC 9180 section 5.2 is always 0.
"""

from __future__ import annotations

import hashlib
import hmac
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

KEM, KDF, AEAD = SUITE = (0x0020, 0x0001, 0x0003)  # 7.1.1
KEY_LEN, NONCE_LEN, TAG_LEN, HASH_LEN = 32, 12, 16, 32
ENC_LEN = 32

_KEM_SUITE = b"KEM" + struct.pack(">H", KEM)
_SUITE = b"HPKE" + struct.pack(">HHH", *SUITE)
_BASE = b"\0"


class Unopened(ValueError):
    """Bytes that nobody sealed for this key, or not like this."""


def _extract(suite: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
    """LabeledExtract (section 4)"""
    return hmac.new(salt, b"HPKE-v1" + suite + label + ikm, hashlib.sha256).digest()


def _expand(suite: bytes, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    """LabeledExpand (section 4) with the HKDF-Expand of RFC 5869"""
    if length > 255 * HASH_LEN:
        raise ValueError("longer than HKDF gives")
    labeled = struct.pack(">H", length) + b"HPKE-v1" + suite + label + info
    out, block = b"", b""
    for i in range(1, -(-length // HASH_LEN) + 1):
        block = hmac.new(prk, block + labeled + bytes((i,)), hashlib.sha256).digest()
        out += block
    return out[:length]


def public_of(secret: bytes) -> bytes:
    return _raw(X25519PrivateKey.from_private_bytes(secret).public_key())


def _raw(public: X25519PublicKey) -> bytes:
    return public.public_bytes(Encoding.Raw, PublicFormat.Raw)


def _shared(private: X25519PrivateKey, public: bytes, enc: bytes, receiver: bytes) -> bytes:
    """Encap and Decap (section 4.1). A result of zeros is refused (section 7.1.4)."""
    try:
        dh = private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as e:
        raise Unopened("a key of small order: %s" % e)
    prk = _extract(_KEM_SUITE, b"", b"eae_prk", dh)
    return _expand(_KEM_SUITE, prk, b"shared_secret", enc + receiver, HASH_LEN)


class Context:
    """What both sides of one message have (section 5.1)."""

    def __init__(self, enc: bytes, shared: bytes, info: bytes):
        self.enc = enc
        schedule = _BASE + _extract(_SUITE, b"", b"psk_id_hash", b"") + _extract(_SUITE, b"", b"info_hash", info)
        secret = _extract(_SUITE, shared, b"secret", b"")
        self.key = _expand(_SUITE, secret, b"key", schedule, KEY_LEN)
        self.nonce = _expand(_SUITE, secret, b"base_nonce", schedule, NONCE_LEN)
        self.exporter = _expand(_SUITE, secret, b"exp", schedule, HASH_LEN)

    def seal(self, aad: bytes, plain: bytes) -> bytes:
        return seal(self.key, self.nonce, aad, plain)

    def open(self, aad: bytes, ciphertext: bytes) -> bytes:
        return open_(self.key, self.nonce, aad, ciphertext)

    def export(self, context: bytes, length: int) -> bytes:
        """Section 5.3"""
        return _expand(_SUITE, self.exporter, b"sec", context, length)


def sender(receiver: bytes, info: bytes, ephemeral: bytes = b"") -> Context:
    """SetupBaseS. `ephemeral` is for vectors: it is never to be the same twice."""
    private = X25519PrivateKey.from_private_bytes(ephemeral) if ephemeral else X25519PrivateKey.generate()
    enc = _raw(private.public_key())
    return Context(enc, _shared(private, receiver, enc, receiver), info)


def receiver(secret: bytes, enc: bytes, info: bytes) -> Context:
    """SetupBaseR"""
    private = X25519PrivateKey.from_private_bytes(secret)
    return Context(enc, _shared(private, enc, enc, _raw(private.public_key())), info)


def seal(key: bytes, nonce: bytes, aad: bytes, plain: bytes) -> bytes:
    return ChaCha20Poly1305(key).encrypt(nonce, plain, aad)


def open_(key: bytes, nonce: bytes, aad: bytes, ciphertext: bytes) -> bytes:
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, ciphertext, aad)
    except InvalidTag:
        raise Unopened("the ciphertext is not what was sealed")
