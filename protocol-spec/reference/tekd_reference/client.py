"""Chapter 4: what a client does with a server it does not trust."""

from __future__ import annotations

import base64
import json
import os
import time
from dataclasses import dataclass, field, replace
from typing import Any, Callable, List, NamedTuple, Optional, Sequence, Tuple, Union

from . import delta, log, manifest, release, trust
from . import frame as fr
from . import operations as op
from .frame import Frame, FrameError
from .operations import Descriptor, Question
from .release import H, Schema, incarnation_of, schema_of, serial_of
from .transport import NeedsStream, Tls, Udp, Unreachable
from .trust import Accepted, Checkpoint, Trust, TrustError, Verifier

ROUNDS = 3  # 4.3.2
PENDING_TRIES = 5
Transport = Union[Udp, Tls]


class Refused(Exception):
    """A result other than OK."""

    def __init__(self, frame: Frame):
        super().__init__("%s: %s" % (op.NAMES[frame.operation - 1], fr.result_name(frame.result)))
        self.result = frame.result
        self.detail = frame.detail
        self.wait = frame.wait


class Failed(Exception):
    """What came is not what was signed, or the server does not agree with itself."""


# Everything that bytes from outside can be wrong by.
WRONG = (FrameError, TrustError, delta.DeltaError, Failed)


# --- What is kept between syncs (4.3.3) ----------------------------------------------------------


@dataclass(frozen=True)
class State:
    service: bytes
    set: int
    kind: int = delta.LIVE_KIND
    version: int = 0
    schema: int = 0
    entries: Tuple[bytes, ...] = field(default=(), repr=False)
    leaves: Tuple[bytes, ...] = field(default=(), repr=False)  # of the log; for a history
    accepted: Accepted = Accepted()
    manifest: bytes = b""

    def save(self, path: str) -> None:
        document = {
            "format": 1,
            "service": self.service.hex(),
            "set": self.set,
            "kind": self.kind,
            "version": "%016x" % self.version,
            "schema": self.schema,
            "epoch": self.accepted.epoch,
            "time": self.accepted.time,
            "checkpoint": _b64(self.accepted.answer),
            "manifest": _b64(self.manifest),
            "digest": self._digest().hex(),
            "entries": _b64(b"".join(self.entries)),
            "leaves": _b64(b"".join(self.leaves)),
        }
        replace_file(path, json.dumps(document, indent=1) + "\n")

    def _digest(self) -> bytes:
        """Finds damage of the file. It is no proof: nothing in it is believed more than its owner."""
        numbers = (self.set, self.kind, self.version, self.schema, self.accepted.epoch, self.accepted.time)
        return H(
            repr(numbers).encode()
            + b"".join(self.entries)
            + b"".join(self.leaves)
            + self.accepted.answer
            + self.manifest
        )

    @staticmethod
    def load(path: str, service: bytes, set_id: int, kind: int) -> "State":
        """The state in the file; the empty state if there is none. A damaged file is an error and
        not a fresh start, which would forget what must not go back (4.1.1)."""
        try:
            with open(path, encoding="utf-8") as f:
                text = f.read()
        except FileNotFoundError:
            return State(service, set_id, kind)
        try:
            d = json.loads(text)
            if d["format"] != 1 or d["service"] != service.hex() or d["set"] != set_id or d["kind"] != kind:
                raise Failed("the state is of another service, set or kind")
            entries, schema = _unb64(d["entries"]), d["schema"]
            size = 1
            if schema:
                size = (
                    schema_of(schema).entry_len if kind == delta.LIVE_KIND else schema_of(schema).history_len
                )
            leaves = _unb64(d["leaves"])
            state = State(
                service=service,
                set=set_id,
                kind=kind,
                version=int(d["version"], 16),
                schema=schema,
                entries=_cut(entries, size),
                leaves=_cut(leaves, 32),
                accepted=Accepted(d["epoch"], d["time"], _unb64(d["checkpoint"])),
                manifest=_unb64(d["manifest"]),
            )
            if state._digest().hex() != d["digest"]:
                raise Failed("the state is damaged")
            return state
        except (ValueError, KeyError, TypeError) as e:
            raise Failed("the state cannot be read: %s" % e)


def _cut(data: bytes, size: int) -> Tuple[bytes, ...]:
    return tuple(data[i : i + size] for i in range(0, len(data), size))


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _unb64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def replace_file(path: str, text: str) -> None:
    """All of it or nothing: an interruption leaves the old file or the new one (4.3.3)."""
    new = "%s.%d.new" % (path, os.getpid())
    try:
        with open(new, "w", encoding="utf-8") as f:
            f.write(text)
            f.flush()
            os.fsync(f.fileno())
        os.replace(new, path)
    except BaseException:
        if os.path.exists(new):
            os.unlink(new)
        raise
    if os.name == "posix":
        directory = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


# --- The client ----------------------------------------------------------------------------------


class InfoResult(NamedTuple):
    info: op.Info
    version: int
    wait: int


class LookupResult(NamedTuple):
    slots: List[op.Slot]
    version: int
    schema: Schema


class BucketResult(NamedTuple):
    entries: List[bytes]
    checkpoint: Checkpoint
    schema: Schema


class SyncResult(NamedTuple):
    mode: str  # current, delta, full
    state: State
    from_version: int
    checkpoint: Checkpoint
    added: int
    removed: int
    bytes: int
    root: bytes


class ProofResult(NamedTuple):
    hashes: List[bytes]
    verified: bool
    checkpoint: Checkpoint


class Client:
    """One set at one server. `datagrams` and `stream` are the transports there are, either of them
    None; what does not go over the first goes over the second (1.3.5, 4.5.5)."""

    def __init__(
        self,
        trusted: Trust,
        set_id: int,
        datagrams: Optional[Transport],
        stream: Optional[Transport],
        accepted: Accepted = Accepted(),
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ):
        self.trust = trusted
        self.set = set_id
        self.verifier = Verifier(trusted, set_id, accepted)
        self.too_old_s = trust.TOO_OLD_S
        self.interval_s = 60
        self._datagrams = datagrams
        self._stream = stream
        self._used: Optional[Transport] = None
        self._silent = False
        self.clock = clock
        self.sleep = sleep

    def close(self) -> None:
        for transport in (self._datagrams, self._stream):
            if transport is not None:
                transport.close()

    # Asking

    def ask(self, question: Question, stream: bool = False) -> Frame:
        """The answer, if it is OK. With `stream` it is no use to try UDP first."""
        frame = self._carry(question, stream)
        if frame.result != fr.OK:
            raise Refused(frame)
        return frame

    def ask_alone(self, question: Question) -> Frame:
        """The same on a connection of its own. Nothing sealed is sent twice in the same bytes, as a
        connection that is found closed would make it."""
        if self._stream is None:
            raise Unreachable("this needs a stream (1.5.5)")
        self._stream.forget()
        try:
            return self.ask(question, stream=True)
        finally:
            self._stream.forget()

    def _carry(self, question: Question, stream: bool = False) -> Frame:
        """Over UDP unless a stream is needed, or UDP has been silent and there is a stream (4.5.5)."""
        if self._datagrams is not None and not (self._stream and (stream or self._silent)):
            self._used = self._datagrams
            try:
                return self._datagrams.ask(question)
            except (NeedsStream, Unreachable) as e:
                self._silent = self._silent or isinstance(e, Unreachable)
                if self._stream is None:
                    if isinstance(e, NeedsStream):
                        raise Unreachable("this needs a stream (%s)" % e)
                    raise
        if self._stream is None:
            raise Unreachable("no transport")
        self._used = self._stream
        return self._stream.ask(question)

    def _ask_patiently(self, question: Question, stream: bool = False) -> Frame:
        """Comes again after PENDING (2.5.4), never later than 4.5.1 allows."""
        for tries_left in range(PENDING_TRIES, -1, -1):
            try:
                return self.ask(question, stream)
            except Refused as e:
                if e.result != fr.PENDING or not tries_left:
                    raise
                self.sleep(min(max(1, e.wait), max(60, self.interval_s)))
        raise AssertionError("not reached")

    # The operations

    def info(self) -> InfoResult:
        frame = self.ask(op.info(self.set))
        return InfoResult(op.read_info(frame), frame.version, frame.wait)

    def checkpoint(self) -> Checkpoint:
        """The newest checkpoint, verified (4.1.1)."""
        frame = self.ask(op.checkpoint(self.set))
        accepted = self.verifier.accept(op.read_checkpoint(frame).raw)
        if self._used is not None:
            self._used.verified()
        return accepted

    def age(self, checkpoint: Checkpoint) -> Tuple[int, str]:
        """4.2"""
        return trust.age_state(checkpoint, self.verifier.now(int(self.clock())), self.too_old_s)

    def manifest(self) -> bytes:
        """The manifest of a verified checkpoint (3.6.3)."""
        for _ in range(ROUNDS):
            checkpoint = self.checkpoint()
            data = op.read_manifest(self.ask(op.manifest(self.set)))
            if H(data) != checkpoint.manifest:
                # A newer one was issued since: that of the checkpoint is an object like others (2.6.4).
                data = self._manifest_of(checkpoint.manifest)
            if H(data) == checkpoint.manifest:
                self.use_manifest(manifest.verify(data, checkpoint.manifest, self.set, self.trust.service))
                return data
        raise Failed("the manifest is not the checkpoint's (3.6.3)")

    def _manifest_of(self, digest: bytes) -> bytes:
        """What there is under that digest, as far as a manifest can be long; nothing if it is gone."""
        out, total = bytearray(), manifest.MANIFEST_MAX
        while len(out) < total:
            question = op.fetch(self.set, digest, len(out), total - len(out))
            try:
                part = op.read_fetch(self._ask_patiently(question), question)
            except Refused as e:
                if e.result != fr.GONE:
                    raise
                return b""
            if part.total > manifest.MANIFEST_MAX or not part.data:
                raise Failed("a part of a manifest that does not fit (2.6.1, 3.6.3)")
            out, total = out + part.data, part.total
        return bytes(out)

    def use_manifest(self, known: manifest.Manifest) -> None:
        self.too_old_s = known.too_old_s
        self.interval_s = known.interval_s

    def lookup(self, keys: Sequence[bytes]) -> LookupResult:
        """A hint (1.4.2). The checkpoint is asked for first because the answer does not say of which
        schema its fields are."""
        schema = schema_of(self.checkpoint().schema)
        question = op.lookup(self.set, list(keys))
        frame = self.ask(question)
        return LookupResult(op.read_lookup(frame, question), frame.version, schema)

    def bucket(self, bits: int, prefix: int) -> BucketResult:
        """Every live entry under a prefix, proved (2.4.4)."""
        question = op.bucket(self.set, bits, prefix)
        for _ in range(ROUNDS):
            checkpoint = self.checkpoint()
            schema = schema_of(checkpoint.schema)
            frame = self.ask(question)
            if frame.version != checkpoint.version:
                continue
            bucket = op.read_bucket(frame, question, schema.entry_len)
            if bucket.b != checkpoint.b:
                raise Failed("a tree of another depth than the checkpoint's")
            if any(
                a[: schema.key_len] >= b[: schema.key_len] for a, b in zip(bucket.entries, bucket.entries[1:])
            ):
                raise Failed("entries of a bucket out of order (2.4.3)")
            if any(release.prefix_of(e, bits) != prefix for e in bucket.entries):
                raise Failed("an entry outside of the prefix (2.4.3)")
            node = release.subtree(bucket.entries, bucket.b, bits, prefix)
            if release.climb(node, bits, prefix, bucket.siblings) != checkpoint.root:
                raise Failed("the bucket does not lead to the root (2.4.4)")
            return BucketResult(bucket.entries, checkpoint, schema)
        raise Failed("bucket and checkpoint of one version were not to be had")

    def proof(
        self,
        kind: int,
        first: int,
        second: int,
        leaf: Optional[bytes] = None,
        old_root: Optional[bytes] = None,
    ) -> ProofResult:
        """A proof from the log. It is checked against the newest checkpoint if it ends at that one's
        `log_size` and what it starts from is known."""
        checkpoint = self.checkpoint()
        frame = self.ask(op.proof(self.set, kind, first, second))
        hashes = op.read_proof(frame)
        top = checkpoint.log_root if second == checkpoint.log_size else None
        start = leaf if kind == op.INCLUSION else old_root
        if top is None or start is None:
            return ProofResult(hashes, False, checkpoint)
        if kind == op.INCLUSION:
            good = log.check_inclusion(start, first, second, hashes, top)
        else:
            good = log.check_consistency(first, second, hashes, start, top)
        if not good:
            raise Failed("the proof does not hold (3.4.5)")
        return ProofResult(hashes, True, checkpoint)

    def fetch(self, descriptor: Descriptor) -> bytes:
        """An object, in as many parts as it takes (2.6); its length and digest are checked."""
        out = bytearray()
        while len(out) < descriptor.length:
            left = descriptor.length - len(out)
            wanted = min(left, fr.STREAM_ANSWER_MAX - fr.HEADER_LEN)
            question = op.fetch(self.set, descriptor.digest, len(out), wanted)
            frame = self._ask_patiently(question, descriptor.length > op.UDP_OBJECT_MAX)
            part = op.read_fetch(frame, question)
            if part.total != descriptor.length or not part.data:
                raise Failed("a part of an object that does not fit (2.6.1)")
            out += part.data
        if H(bytes(out)) != descriptor.digest:
            raise Failed("an object of another digest (4.3.1)")
        return bytes(out)

    # Syncing (4.3)

    def sync(self, state: State, full: bool = False) -> SyncResult:
        """Bring a live set or a history to the newest version. On any error the state given is still
        the one to keep; what the verifier accepted is in `self.verifier.accepted`."""
        start = replace(state, version=0, entries=(), leaves=()) if full else state
        try:
            return self._sync(start)
        except WRONG:
            # 4.1.4: once more from nothing, but not where even the checkpoint was wrong
            if not start.version or self.verifier.accepted == state.accepted:
                raise
            return self._sync(replace(state, version=0, entries=(), leaves=()))

    def _sync(self, state: State) -> SyncResult:
        for _ in range(ROUNDS):
            checkpoint = self.checkpoint()
            if state.version == checkpoint.version:
                return self._result("current", state, state, checkpoint, 0)
            question = op.sync(self.set, state.version, state.kind == delta.HISTORY_KIND)
            frame = self._ask_patiently(question)
            if frame.version != checkpoint.version:
                continue  # 4.3.2
            descriptors = op.read_sync(frame, question)
            base = state
            if descriptors[0].from_version == 0:
                base = replace(state, version=0, entries=(), leaves=())
            new, received = self._apply(base, descriptors, checkpoint)
            mode = "delta" if base.version else "full"
            return self._result(mode, base, new, checkpoint, received)
        raise Failed("checkpoint and objects of one version were not to be had (4.3.2)")

    def _apply(
        self, base: State, descriptors: Sequence[Descriptor], checkpoint: Checkpoint
    ) -> Tuple[State, int]:
        schema = schema_of(checkpoint.schema)
        entries, leaves = list(base.entries), list(base.leaves)
        received = 0
        for d in descriptors:
            limit = delta.length_limit(
                checkpoint.live, schema.key_len, len(entries), d.kind, checkpoint.log_size
            )
            if d.length > limit:
                raise Failed("an object longer than an honest one (3.8.12)")
            data = self.fetch(d)
            received += len(data)
            last = d.to_version == checkpoint.version
            delta.check_header(
                data,
                delta.Expected(
                    self.trust.service,
                    self.set,
                    d.kind,
                    d.from_version,
                    d.to_version,
                    checkpoint.schema,
                    checkpoint.horizon if last else None,
                ),
            )
            if d.kind == delta.LIVE_KIND:
                entries = delta.apply_live(data, entries)
            else:
                entries, more = delta.apply_history(data, entries)
                if incarnation_of(d.from_version) != incarnation_of(d.to_version):
                    leaves = []  # a log begins anew with its incarnation (3.4.5)
                leaves += more
        new = replace(
            base,
            version=checkpoint.version,
            schema=checkpoint.schema,
            entries=tuple(entries),
            leaves=tuple(leaves),
        )
        match(new, checkpoint)
        return new, received

    def _result(self, mode: str, old: State, new: State, checkpoint: Checkpoint, received: int) -> SyncResult:
        before, after = set(old.entries), set(new.entries)
        accepted = self.verifier.accepted
        return SyncResult(
            mode=mode,
            state=replace(new, accepted=accepted),
            from_version=old.version,
            checkpoint=checkpoint,
            added=len(after - before),
            removed=len(before - after),
            bytes=received,
            root=checkpoint.root,
        )


def match(state: State, checkpoint: Checkpoint) -> None:
    """3.7.1"""
    schema = schema_of(checkpoint.schema)
    live: Sequence[bytes] = state.entries
    if state.kind == delta.HISTORY_KIND:
        live = release.live_of(schema, state.entries, serial_of(checkpoint.version))
        if release.history_digest(state.entries) != checkpoint.history:
            raise Failed("the history is not the checkpoint's (3.7.1)")
        if len(state.leaves) != checkpoint.log_size or log.root(state.leaves) != checkpoint.log_root:
            raise Failed("the log is not the checkpoint's (3.7.1)")
    if len(live) != checkpoint.live or release.root(live) != checkpoint.root:
        raise Failed("the set is not the checkpoint's (3.7.1)")


def keys_json(schema: Schema, entries: Sequence[bytes]) -> str:
    """JSON Lines in key order."""
    return "".join(json.dumps(release.entry_json(schema, e)) + "\n" for e in entries)


def error_json(e: BaseException) -> Any:
    out = {"error": str(e) or type(e).__name__}
    if isinstance(e, Refused):
        out["result"] = fr.result_name(e.result)
        out["wait_s"] = e.wait
    return out
