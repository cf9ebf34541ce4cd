"""Checks vectors/exchange.json: every answer is one to its question and the one that a server with this set must
give, and whatever it proves is proved. `check.py` calls `FILE`, part by part."""

from __future__ import annotations

import functools
import json
import struct
from typing import Any, Dict, List, NamedTuple, Tuple

from tekd_reference import delta, log, manifest, release, trust
from tekd_reference import frame as fr
from tekd_reference import operations as op

Case = Dict[str, Any]
ADDRESS = bytes((192, 0, 2, 1))
SECRET = bytes([7]) * 32
CHECKPOINT_BODY = 208 + 80 + 80 + 80  # checkpoint and delegation, each with a list of one signature (2.2.1)
unhex = bytes.fromhex


def want(holds: bool, text: str) -> None:
    if not holds:
        raise ValueError(text)


class Set(NamedTuple):
    """The set of the document, verified."""

    service: bytes
    checkpoint: trust.Checkpoint
    schema: release.Schema
    live: List[bytes]
    history: List[bytes]
    leaves: List[bytes]
    objects: Dict[bytes, bytes]


def verified(doc: Case) -> Set:
    return _verified(json.dumps(doc))


@functools.lru_cache(maxsize=1)
def _verified(text: str) -> Set:
    doc = json.loads(text)
    trusted = trust.parse_trust(json.dumps(doc["trust"]))
    checkpoint = trust.Verifier(trusted, doc["set"]).accept(unhex(doc["checkpoint"]))
    schema = release.schema_of(checkpoint.schema)
    want(schema.name == doc["schema"], "another schema")
    live, history = [[unhex(e) for e in doc[part]] for part in ("live", "history")]
    want(release.live_of(schema, history, release.serial_of(checkpoint.version)) == live, "live set of the history")
    want(len(live) == checkpoint.live and release.root(live) == checkpoint.root, "the root")
    want(release.history_digest(history) == checkpoint.history, "the history digest")
    objects = {release.H(unhex(o["bytes"])): unhex(o["bytes"]) for o in doc["objects"]}
    whole = [o for o in objects.values() if _span(o) == (delta.HISTORY_KIND, 0)]
    _, leaves = delta.apply_history(whole[0], [])
    want(len(leaves) == checkpoint.log_size and log.root(leaves) == checkpoint.log_root, "the log")
    return Set(trusted.service, checkpoint, schema, live, history, leaves, objects)


def _span(data: bytes) -> Tuple[int, int]:
    h = delta.parse(data).header
    return h.kind, h.from_version


def check_checkpoint(doc: Case, _: Any) -> None:
    s = verified(doc)
    want(doc["now"] <= s.checkpoint.fresh_until, "the exchanges are of a fresh set")


def check_manifest(doc: Case, data: str) -> None:
    s = verified(doc)
    manifest.verify(unhex(data), s.checkpoint.manifest, doc["set"], s.service)


def check_cookie(doc: Case, cookie: str) -> None:
    made = fr.cookie(SECRET, verified(doc).service, doc["now"] // 3600, ADDRESS)
    want(struct.pack("<Q", made).hex() == cookie, "the cookie (1.6.3)")


def check_object(doc: Case, case: Case) -> None:
    """It leads to the set, and it is the one object that does."""
    want(set(case) == {"from", "to", "kind", "digest", "bytes"}, "members")
    s, data = verified(doc), unhex(case["bytes"])
    want(release.H(data).hex() == case["digest"], "the digest")
    between = (s.schema, s.service, doc["set"], case["from"], case["to"], s.checkpoint.horizon)
    want(case["to"] == s.checkpoint.version, "where it leads")
    serial = release.serial_of(case["from"])
    if case["kind"] == delta.LIVE_KIND:
        base = release.live_of(s.schema, s.history, serial)
        want(delta.apply_live(data, base) == s.live, "what it leads to")
        want(delta.encode_live(*between, s.history) == data, "its bytes")
        return
    known = max(serial - 1, 0)
    base = at_serial(s, serial)
    want(delta.apply_history(data, base) == (s.history, s.leaves[known:]), "what it leads to")
    want(delta.encode_history(*between, base, s.history, s.leaves[known:]) == data, "its bytes")


def at_serial(s: Set, serial: int) -> List[bytes]:
    """The history of an earlier version: the serials that came later are taken back."""
    out = []
    for e in s.history:
        added, deleted = struct.unpack_from("<II", e, s.schema.entry_len)
        if added <= serial:
            out.append(e[:-4] + struct.pack("<I", deleted if deleted <= serial else 0xFFFFFFFF))
    return out


def check_exchange(doc: Case, case: Case) -> None:
    want(set(case) == {"name", "clauses", "transport", "question", "answer"}, "members")
    s, stream = verified(doc), case["transport"] == "stream"
    data, answer = unhex(case["question"]), unhex(case["answer"])
    cookie = struct.unpack("<Q", unhex(doc["cookie"]))[0]
    try:
        asked, body, _ = op.read_question(data, s.service, stream)
        if asked.set != doc["set"]:
            raise fr.Refusal(fr.BAD_SET)
    except fr.Refusal as e:
        want(answer == op.refusal(fr.parse(data, s.service), e), "the refusal")
        return
    question = op.Question(asked.operation, asked.set, asked.flags, asked.count, asked.bits, asked.version,
                           asked.argument, body)  # fmt: skip
    frame = op.answers(answer, s.service, question, [asked.transaction], stream)
    if not stream:
        proved = asked.cookie == cookie
        want(len(answer) <= (fr.UDP_MAX if proved else len(data)), "longer than the question (1.3.4)")
    fresh = not stream and (asked.operation == op.INFO or frame.result == fr.TRUNCATED)
    want(frame.cookie == (cookie if fresh else 0), "a cookie where there should be none, or none (1.6.4)")
    if frame.result != fr.OK:
        want(not frame.rest and frame.version == 0, "a refusal with a body (1.4.1)")
        check_refusal(s, asked, body, frame, stream)
        return
    want(frame.version == (0 if asked.operation == op.FETCH else s.checkpoint.version), "the version")
    check_ok(doc, s, question, frame, stream)


def check_refusal(s: Set, asked: fr.Frame, body: bytes, frame: fr.Frame, stream: bool) -> None:
    """The results that need the set."""
    info = struct.unpack_from("<I", frame.detail)[0]
    operation, result = asked.operation, frame.result
    if result == fr.TRUNCATED:
        want(operation == op.CHECKPOINT and info == 64 + CHECKPOINT_BODY, "TRUNCATED")
    elif result == fr.BAD_SET:
        want(operation == op.LOOKUP and bool(asked.flags & fr.LONG_KEYS), "SET")
    elif result == fr.RANGE and operation == op.BUCKET:
        want(asked.bits > s.checkpoint.b == info, "RANGE")
    elif result == fr.RANGE and operation == op.FETCH:
        offset = struct.unpack_from("<I", asked.argument)[0]
        want(offset >= len(s.objects[body]) == info, "RANGE")
    elif result == fr.RANGE and operation == op.PROOF:
        want(struct.unpack("<QQ", asked.argument)[1] > s.checkpoint.log_size == info, "RANGE")
    elif result == fr.GONE:
        want(operation == op.FETCH and body not in s.objects, "GONE")
    elif result == fr.PENDING:
        want(operation == op.SYNC and frame.wait > 0, "PENDING")
    else:
        want(result == fr.REFUSED and stream and operation in (op.SEALED, op.NOTIFY), fr.result_name(result))


def check_ok(doc: Case, s: Set, question: op.Question, frame: fr.Frame, stream: bool) -> None:
    operation = question.operation
    if operation == op.INFO:
        want(op.read_info(frame).time == s.checkpoint.time, "the time")
    elif operation == op.CHECKPOINT:
        want(op.read_checkpoint(frame).raw == unhex(doc["checkpoint"]), "the checkpoint")
    elif operation == op.LOOKUP:
        for slot in op.read_lookup(frame, question):
            found = release.find(s.live, slot.key)
            want((slot.entry(s.schema) if slot.fields else None) == found, "a slot")
    elif operation == op.BUCKET:
        check_bucket(s, question, frame, stream)
    elif operation == op.SYNC:
        check_sync(s, question, frame)
    elif operation == op.FETCH:
        part = op.read_fetch(frame, question)
        whole = s.objects[question.body]
        want(part.total == len(whole), "the length of the object")
        want(whole[part.offset :].startswith(part.data) and len(part.data) > 0, "the bytes")
    elif operation == op.PROOF:
        kind, (first, second) = question.count, struct.unpack("<QQ", question.argument)
        path, top = op.read_proof(frame), log.root(s.leaves[:second])
        if kind == op.INCLUSION:
            want(log.check_inclusion(s.leaves[first], first, second, path, top), "inclusion")
        else:
            old = log.root(s.leaves[:first])
            want(log.check_consistency(first, second, path, old, top), "consistency")
    elif operation == op.MANIFEST:
        want(op.read_manifest(frame) == unhex(doc["manifest"]), "the manifest")
    else:
        raise ValueError("an answer to %s" % op.NAMES[operation - 1])


def check_bucket(s: Set, question: op.Question, frame: fr.Frame, stream: bool) -> None:
    got = op.read_bucket(frame, question, s.schema.entry_len)
    prefix = release.prefix_of(question.argument, got.bits)
    want(got.b == s.checkpoint.b and got.entries == release.under(s.live, got.bits, prefix), "the entries")
    want(got.siblings == release.siblings(s.live, got.bits, prefix, got.held), "the siblings")
    top = prefix >> (got.bits - got.held)
    held = release.subtree(release.under(s.live, got.held, top), got.b, got.held, top)
    node = release.subtree(got.entries, got.b, got.bits, prefix)
    want(release.climb(node, got.bits, prefix, got.siblings) == held, "the node that is held (2.4.4)")
    want(bool(got.held) or held == s.checkpoint.root, "the root")
    padded = stream and got.bits < got.b
    want(not padded or (64 + len(frame.rest)) % 8192 == 0, "the padding (2.4.5)")


def check_sync(s: Set, question: op.Question, frame: fr.Frame) -> None:
    offered = op.read_sync(frame, question)
    if question.version == s.checkpoint.version:
        want(not offered, "current")
        return
    kind = delta.HISTORY_KIND if question.flags & fr.HISTORY else delta.LIVE_KIND
    known = question.version if question.version < s.checkpoint.version else 0
    want(len(offered) == 1 and offered[0].kind == kind, "one object")
    data = s.objects[offered[0].digest]
    want(offered[0].length == len(data) and _span(data) == (kind, offered[0].from_version), "what is named")
    want(offered[0].from_version in (0, known), "what it starts from")


FILE = {
    "about": None,
    "format": None,
    "trust": None,  # with checkpoint
    "set": None,
    "schema": None,
    "now": None,
    "live": None,
    "history": None,
    "checkpoint": check_checkpoint,
    "manifest": check_manifest,
    "cookie": check_cookie,
    "objects": check_object,
    "exchanges": check_exchange,
}
