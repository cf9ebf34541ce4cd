"""An origin in a few lines: keys, releases, and the answers of a server that holds them."""

from __future__ import annotations

import random
import struct
from typing import Callable, Dict, List, Optional, Tuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tekd_reference import delta, hpke, log, manifest, release, reports, trust
from tekd_reference import frame as fr
from tekd_reference import operations as op
from tekd_reference.release import H, LIVE, Fields, schema_of, serial_of

SERVICE = bytes.fromhex("74656b6431a0b1c2")
INCARNATION = 3
TIME = 1_800_000_000
SECRET = b"s" * 32


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def seal_key(number: int, not_before: int) -> reports.OwnSealKey:
    return reports.OwnSealKey(H(b"seal key %d" % number), not_before, not_before + 14 * 86_400)


def seal_tlv(key: reports.OwnSealKey) -> bytes:
    """3.6.2"""
    head = struct.pack("<HHHHQQ", *hpke.SUITE, 0, key.not_before, key.not_after)
    return fr.pack_tlv(manifest.SEAL_KEY, head + trust.key_id(key.public) + key.public)


class World:
    """An origin with one set, and everything it ever released."""

    def __init__(self, schema: int = 1, seed: int = 1, set_id: int = 1, retention: int = 14):
        self.random = random.Random(seed)
        self.schema = schema_of(schema)
        self.set = set_id
        self.retention = retention
        self.roots = [Ed25519PrivateKey.from_private_bytes(self.bytes(32)) for _ in range(2)]
        self.online = Ed25519PrivateKey.from_private_bytes(self.bytes(32))
        self.epoch = 1
        self.trust = trust.Trust(SERVICE, 2, tuple(public(k) for k in self.roots), (set_id,))
        self.time = TIME
        self.serial = 0
        self.entries: Dict[Tuple[bytes, int], Tuple[Fields, int]] = {}
        self.checkpoints: List[bytes] = []
        self.histories: Dict[int, List[bytes]] = {}  # by version
        self.seal_keys = [seal_key(1, TIME - 1000)]
        self.manifest = self.make_manifest()
        self.wait = 0
        self.delegate()

    def bytes(self, n: int) -> bytes:
        return bytes(self.random.randrange(256) for _ in range(n))

    def delegate(self) -> None:
        self.delegation = trust.Delegation(
            1, 0, self.epoch, SERVICE, self.time - 1000, self.time + 10**7, public(self.online)
        ).pack()

    def make_manifest(self, number: int = 1) -> bytes:
        nodes = fr.pack_tlv(manifest.NODE, b"\x01node.example:8353") + b"".join(seal_tlv(k) for k in self.seal_keys)
        nodes += fr.pack_tlv(0x0A0A, b"grease")
        fields = manifest.Manifest(
            1, 0, 96 + len(nodes), SERVICE, self.set, number, TIME, self.schema.id, self.retention, 900, 1800,
            86_400, 7200, 10, 86_400, 1, 1, 30, 3, 1, 144, 0, 900, self.epoch,
        )  # fmt: skip
        body = fields.pack() + nodes
        return body + trust.sign(trust.MANIFEST_CONTEXT, body, [self.online])

    # Releases

    @property
    def version(self) -> int:
        return INCARNATION << 32 | self.serial if self.serial else 0

    def live_keys(self) -> List[Tuple[bytes, int]]:
        return sorted(k for k, (_, deleted) in self.entries.items() if deleted == LIVE)

    def release(
        self, add: int = 0, withdraw: int = 0, reinstate: int = 0, days: int = 0, seconds: int = 900
    ) -> None:
        """One release: so many new keys, so many withdrawn, so many of those withdrawn before back."""
        self.time += seconds + days * 86_400
        self.serial += 1
        gone = sorted({k for k, _ in self.entries} - {k for k, _ in self.live_keys()})
        for key in self.live_keys()[:withdraw]:
            self.entries[key] = (self.entries[key][0], self.serial)
        for key in gone[:reinstate]:
            last = max(k for k in self.entries if k[0] == key)
            self.entries[(key, self.serial)] = (self.entries[last][0], LIVE)
        day = self.time // 600 // 144 * 144
        for _ in range(add):
            fields = Fields(day - 144 * self.random.randrange(1, 8), 144, self.random.choice((1, 1, 1, 2)))
            if self.schema.has_risk:
                fields = fields._replace(risk=self.random.randrange(4))
            if self.schema.has_onset:
                fields = fields._replace(onset=self.random.choice((release.NO_ONSET, -3, 5)))
            self.entries[(self.bytes(self.schema.key_len), self.serial)] = (fields, LIVE)
        horizon = release.horizon(self.time, self.retention)
        history = release.unexpired(self.schema, self.history(), horizon)
        live = release.live_of(self.schema, history, self.serial)
        self.histories[self.version] = history
        leaves = self.leaves()
        self.checkpoint = trust.Checkpoint(
            1, 0, self.set, SERVICE, self.version, self.time, self.time + 1800, horizon, self.schema.id,
            release.depth(len(live)), len(live), len(leaves), release.root(live), log.root(leaves),
            H(self.manifest), release.history_digest(history), self.epoch,
        )  # fmt: skip
        self.checkpoints.append(self.checkpoint.pack())

    def history(self) -> List[bytes]:
        out = []
        for (key, added), (fields, deleted) in sorted(self.entries.items()):
            out.append(key + self.schema.pack(fields) + struct.pack("<II", added, deleted))
        return out

    def live(self) -> List[bytes]:
        return release.live_of(self.schema, self.histories[self.version], self.serial)

    def leaves(self) -> List[bytes]:
        return [log.leaf(c) for c in self.checkpoints]

    def answer_body(self, checkpoint: Optional[bytes] = None) -> bytes:
        """The body of the answer to CHECKPOINT."""
        checkpoint = checkpoint or self.checkpoints[-1]
        return (
            checkpoint
            + trust.sign(trust.CHECKPOINT_CONTEXT, checkpoint, [self.online])
            + self.delegation
            + trust.sign(trust.DELEGATION_CONTEXT, self.delegation, self.roots)
        )

    def delta(self, start: int, history: bool = False) -> bytes:
        newest = self.histories[self.version]
        about = (self.schema, SERVICE, self.set, start, self.version, self.checkpoint.horizon)
        if not history:
            return delta.encode_live(*about, newest)
        base = self.histories.get(start, [])
        # The log the checkpoint covers ends before the checkpoint itself.
        return delta.encode_history(
            *about, base, newest, self.leaves()[serial_of(start) - 1 if start else 0 : -1]
        )


class Responder:
    """What a server says: 64 bytes to 1 MiB for a question, or None for silence."""

    def __init__(self, world: World):
        self.world = world
        self.objects: Dict[bytes, bytes] = {}
        self.asked: List[str] = []  # the operations, in order
        self.refuse: Dict[str, List[int]] = {}  # results to give first, by operation
        self.garble: Optional[str] = None  # what to get wrong
        self.need_cookie = False
        self.stream_only: Tuple[str, ...] = ()
        # What opens SEALED and gives the body of its answer.
        self.open: Optional[Callable[[fr.Frame], bytes]] = None
        self.part = 0  # longest part of FETCH; 0 for no limit

    def cookie(self, address: str) -> int:
        return fr.cookie(SECRET, SERVICE, TIME // 3600, bytes(int(x) for x in address.split(".")))

    def answer(self, data: bytes, stream: bool, address: str = "127.0.0.1") -> Optional[bytes]:
        cookie = 0 if stream else self.cookie(address)
        try:
            question, body, _ = op.read_question(data, SERVICE, stream)
        except fr.Ignored:
            return None
        except fr.Refusal as e:
            return op.refusal(fr.parse(data), e)
        self.asked.append(op.NAMES[question.operation - 1])
        proved = stream or question.cookie == cookie
        try:
            frame = self.respond(question, body, stream, proved)
        except fr.Refusal as e:
            enclosed = cookie if e.result in (fr.COOKIE, fr.TRUNCATED) else 0
            return op.refusal(question, e, enclosed, self.world.wait, self.world.version)
        frame.f38, frame.f39 = self.world.wait & 0xFF, self.world.wait >> 8
        if question.operation == op.INFO:
            frame.cookie = cookie
        out = frame.pack()
        if not stream:
            limit = max(64, min(question.max_answer or fr.UDP_MAX, fr.UDP_MAX))
            if not proved:
                limit = min(limit, len(data))
            if len(out) > limit:
                refused = fr.Refusal(fr.TRUNCATED, struct.pack("<I", len(out)))
                return op.refusal(question, refused, cookie, self.world.wait, self.world.version)
        return out

    def respond(self, question: fr.Frame, body: bytes, stream: bool, proved: bool) -> fr.Frame:
        world = self.world
        name = op.NAMES[question.operation - 1]
        if self.refuse.get(name):
            raise fr.Refusal(self.refuse[name].pop(0))
        if self.need_cookie and not proved:
            raise fr.Refusal(fr.COOKIE)
        if name in self.stream_only and not stream:
            raise fr.Refusal(fr.BAD_TRANSPORT)
        if question.set != world.set:
            raise fr.Refusal(fr.BAD_SET)
        out = fr.Frame(
            question.operation, True, SERVICE, question.transaction, world.set, version=world.version
        )
        if question.operation == op.INFO:
            out.argument = struct.pack("<IBBHQ", 12, 1, 1, 0, world.time)
        elif question.operation == op.SEALED:
            if self.open is None:
                raise fr.Refusal(fr.REFUSED)  # 2.9.5
            out.rest = self.open(question)
        elif not world.serial:
            raise fr.Refusal(fr.UNAVAILABLE)
        elif question.operation == op.CHECKPOINT:
            out.rest = world.answer_body()
            if self.garble == "checkpoint":
                out.rest = out.rest[:70] + bytes((out.rest[70] ^ 1,)) + out.rest[71:]
        elif question.operation == op.LOOKUP:
            out.rest = self.lookup(question, body)
        elif question.operation == op.BUCKET:
            out.rest = self.bucket(question, stream)
        elif question.operation == op.SYNC:
            self.sync(question, out)
        elif question.operation == op.FETCH:
            self.fetch(question, body, stream, proved, out)
        elif question.operation == op.PROOF:
            self.proof(question, out)
        elif question.operation == op.MANIFEST:
            out.rest = world.manifest
        else:
            raise fr.Refusal(fr.REFUSED)
        return out

    def lookup(self, question: fr.Frame, body: bytes) -> bytes:
        schema, live = self.world.schema, self.world.live()
        if bool(question.flags & fr.LONG_KEYS) != (schema.key_len == 32):
            raise fr.Refusal(fr.BAD_SET)
        size = op.slot_len(question.flags)
        out = b""
        for at in range(0, len(body), size):
            key = body[at : at + schema.key_len]
            entry = release.find(live, key)
            fields = entry[schema.key_len :] if entry else b""
            out += key + fields.ljust(12, b"\0") + bytes((1 if entry else 0, 0, 0, 0))
        return out

    def bucket(self, question: fr.Frame, stream: bool) -> bytes:
        live = self.world.live()
        b, bits, held = release.depth(len(live)), question.bits, question.count
        if bits > b or bits + 12 < b:
            raise fr.Refusal(fr.RANGE, struct.pack("<I", b))
        prefix = release.prefix_of(question.argument, bits)
        entries = release.under(live, bits, prefix)
        if self.garble == "bucket":
            entries = entries[1:]
        out = struct.pack("<BBBBI", b, bits, held, 0, len(entries)) + b"".join(entries)
        out += b"".join(release.siblings(live, bits, prefix, held))
        if stream and bits < b:
            out += fr.padding(64 + len(out), -(-(64 + len(out)) // 8192) * 8192)
        return out

    def sync(self, question: fr.Frame, out: fr.Frame) -> None:
        world = self.world
        history = bool(question.flags & fr.HISTORY)
        start = question.version
        if start == world.version:
            return
        if start and start not in world.histories:
            start = 0
        data = world.delta(start, history)
        if start and (self.garble == "delta" or len(data) >= len(world.delta(0, history)) * 4 / 5):
            if self.garble != "delta":
                start = 0
                data = world.delta(0, history)
        if self.garble == "object" or (start and self.garble == "delta"):
            data = data[:-1] + bytes((data[-1] ^ 1,))
        length = 2**31 if self.garble == "length" else len(data)
        self.objects[H(data)] = data
        kind = 2 if history else 1
        out.rest = op.Descriptor(start, world.version, length, kind, H(data)).pack()
        out.argument = b"\x01"

    def fetch(self, question: fr.Frame, body: bytes, stream: bool, proved: bool, out: fr.Frame) -> None:
        if body not in self.objects:
            raise fr.Refusal(fr.GONE)
        data = self.objects[body]
        offset, wanted, _ = struct.unpack("<IIQ", question.argument)
        if offset >= len(data):
            raise fr.Refusal(fr.RANGE, struct.pack("<I", len(data)))
        if not stream and len(data) > op.UDP_OBJECT_MAX:
            raise fr.Refusal(fr.BAD_TRANSPORT)
        room = (fr.STREAM_ANSWER_MAX if stream else fr.UDP_MAX if proved else question.length) - 64
        part = data[offset : offset + min(wanted, room, self.part or room)]
        if self.garble == "part":
            part = part[:-1] + bytes((part[-1] ^ 1,))
        out.version = 0
        out.argument = struct.pack("<IIII", offset, len(data), len(part), 0)
        out.rest = part

    def proof(self, question: fr.Frame, out: fr.Frame) -> None:
        first, second = struct.unpack("<QQ", question.argument)
        leaves = self.world.leaves()[:-1]
        inclusion = question.count == op.INCLUSION
        if second > len(leaves) or first > second or (inclusion and first >= second):
            raise fr.Refusal(fr.RANGE, struct.pack("<I", len(leaves)))
        prove = log.prove_inclusion if inclusion else log.prove_consistency
        hashes = prove(leaves[:second], first)
        out.argument = bytes((len(hashes),))
        out.rest = b"".join(hashes)
