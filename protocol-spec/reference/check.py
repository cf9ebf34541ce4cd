#!/usr/bin/env python3
"""Checks the vectors of protocol-spec/vectors and then the tests of this client itself.

    python3 check.py [--vectors FOLDER] [--require NAME ...]

Prints how many cases each file has and where it differs. Whatever is not understood, be it a file, a
part of one, or a member of a case, is a difference too: a vector that is skipped proves nothing.
Exit code 1 on any difference.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import struct
import sys
import traceback
import unittest
from typing import Any, Callable, Dict, List, Optional, Tuple

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import check_exchange  # noqa: E402
import check_reports  # noqa: E402
from tekd_reference import delta, log, manifest, release, trust  # noqa: E402
from tekd_reference import frame as fr  # noqa: E402
from tekd_reference import operations as op  # noqa: E402

Case = Dict[str, Any]


class Difference(Exception):
    pass


def same(what: str, got: Any, want: Any) -> None:
    if got != want:
        text = "%s: %.200r, the vector says %.200r" % (what, got, want)
        raise Difference(text)


def members(case: Case, required: str, optional: str = "") -> None:
    """Every member of a case must be one that is looked at."""
    need, may = set(required.split()), set(optional.split())
    if need - set(case):
        raise Difference("the case lacks %s" % ", ".join(sorted(need - set(case))))
    if set(case) - need - may:
        raise Difference("members that are not understood: %s" % ", ".join(sorted(set(case) - need - may)))


def refused(accept: bool, run: Callable[[], Any], errors=(ValueError,)) -> Any:
    """Run what must succeed or be refused."""
    try:
        out = run()
    except errors as e:
        if accept:
            raise Difference("refused: %s" % e)
        return None
    if not accept:
        raise Difference("accepted")
    return out


unhex = bytes.fromhex


def cut(text: str, size: int) -> List[bytes]:
    data = unhex(text)
    if len(data) % size:
        raise Difference("not a whole number of entries")
    return [data[i : i + size] for i in range(0, len(data), size)]


# --- frames.json ---------------------------------------------------------------------------------


def check_frame_question(doc: Case, case: Case) -> None:
    members(case, "name clause transport frame expect", "answer")
    expect = case["expect"]
    service, stream = unhex(doc["service"]), case["transport"] == "stream"
    if case["transport"] not in ("udp", "stream"):
        raise Difference("transport")
    data = unhex(case["frame"])
    try:
        frame, body, _ = op.read_question(data, service, stream)
    except fr.Ignored as e:
        members(expect, "silent")
        same("silence", e.reason, expect["silent"])
        return
    except fr.Refusal as e:
        question = fr.parse(data, service)
        if e.result == fr.BAD_VERSION:
            members(expect, "other_version")
            same("version", question.first & 0x3F, expect["other_version"])
        else:
            members(expect, "refuse info")
            same("result", fr.result_name(e.result), expect["refuse"])
            same("info", int.from_bytes(e.detail[:4], "little"), expect["info"])
        same("answer", op.refusal(question, e).hex(), case["answer"])
        return
    members(expect, "question")
    got: Case = {
        "op": op.NAMES[frame.operation - 1],
        "set": frame.set,
        "txid": frame.transaction,
        "cookie": frame.cookie,
        "max_answer": frame.max_answer,
    }
    if frame.operation == op.LOOKUP:
        size = op.slot_len(frame.flags)
        got["slot_len"] = size
        got["keys"] = [body[at : at + size - 16].hex() for at in range(0, len(body), size)]
    elif frame.operation == op.BUCKET:
        got.update(bits=frame.bits, held=frame.count)
        if frame.bits <= release.MAX_DEPTH:
            got["node"] = release.prefix_of(frame.argument, frame.bits)
    elif frame.operation == op.SYNC:
        got.update(version=frame.version, history=bool(frame.flags & fr.HISTORY))
    elif frame.operation == op.FETCH:
        offset, length, _ = struct.unpack("<IIQ", frame.argument)
        got.update(digest=body.hex(), offset=offset, length=length)
    elif frame.operation == op.PROOF:
        first, second = struct.unpack("<QQ", frame.argument)
        got.update(kind=frame.count, first=first, second=second)
    elif frame.operation == op.SEALED:
        kem, kdf, aead, _ = struct.unpack_from("<HHHH", body)
        got.update(kem=kem, kdf=kdf, aead=aead, key_id=body[8:16].hex())
    elif frame.operation == op.NOTIFY:
        got["version"] = frame.version
    for key, want in expect["question"].items():
        if key not in got:
            raise Difference("not understood: %s of a question" % key)
        same(key, got[key], want)


def asked_question(asked: Case) -> op.Question:
    members(asked, "set txid op", "keys prefix bits held entry_len version history digest offset length")
    name, set_id = asked["op"], asked["set"]
    if name == "LOOKUP":
        return op.lookup(set_id, [unhex(k) for k in asked["keys"]])
    if name == "BUCKET" and "bits" in asked:
        bits = asked["bits"]
        return op.bucket(set_id, bits, release.prefix_of(unhex(asked["prefix"]), bits), asked["held"])
    if name == "SYNC" and "version" in asked:
        return op.sync(set_id, asked["version"], asked["history"])
    if name == "FETCH" and "digest" in asked:
        return op.fetch(set_id, unhex(asked["digest"]), asked["offset"], asked["length"])
    if name not in op.NAMES:
        raise Difference("operation %s" % name)
    return op.Question(op.NAMES.index(name) + 1, set_id)


def read_answer(frame: fr.Frame, question: op.Question, asked: Case) -> Case:
    out: Case = {"op": asked["op"], "version": frame.version, "cookie": frame.cookie}
    out.update(wait=frame.wait, flags=frame.flags)
    if frame.operation == op.INFO:
        out.update(op.read_info(frame)._asdict())
    elif frame.operation == op.CHECKPOINT:
        signed = op.read_checkpoint(frame)
        out.update(
            checkpoint=signed.checkpoint.hex(),
            signatures=trust.pack_signatures(signed.checkpoint_signatures).hex(),
            delegation=signed.delegation.hex(),
            delegation_signatures=trust.pack_signatures(signed.delegation_signatures).hex(),
        )
    elif frame.operation == op.LOOKUP:
        out["fields"] = [s.fields.hex() if s.fields else None for s in op.read_lookup(frame, question)]
    elif frame.operation == op.BUCKET:
        bucket = op.read_bucket(frame, question, asked["entry_len"])
        out.update(
            depth=bucket.b,
            entries=b"".join(bucket.entries).hex(),
            siblings=[s.hex() for s in bucket.siblings],
        )
    elif frame.operation == op.SYNC:
        out["objects"] = [
            {
                "from": d.from_version,
                "to": d.to_version,
                "length": d.length,
                "kind": d.kind,
                "digest": d.digest.hex(),
            }
            for d in op.read_sync(frame, question)
        ]
    elif frame.operation == op.FETCH:
        part = op.read_fetch(frame, question)
        out.update(total=part.total, bytes=part.data.hex())
    elif frame.operation == op.PROOF:
        out["hashes"] = [h.hex() for h in op.read_proof(frame)]
    elif frame.operation == op.MANIFEST:
        out["manifest"] = op.read_manifest(frame).hex()
    elif frame.operation == op.SEALED:
        out["nonce"] = op.read_sealed(frame)[0].hex()
    elif frame.operation == op.NOTIFY:
        op.read_notify(frame)
    return out


def check_frame_answer(doc: Case, case: Case) -> None:
    members(case, "name clause transport asked frame expect")
    asked, expect = case["asked"], case["expect"]
    question = asked_question(asked)
    try:
        frame = op.answers(
            unhex(case["frame"]),
            unhex(doc["service"]),
            question,
            (asked["txid"],),
            case["transport"] == "stream",
        )
        got = read_answer(frame, question, asked) if frame.result == fr.OK else None
    except fr.FrameError as e:
        members(expect, "error ignore")
        same("ignored", isinstance(e, fr.Ignored), expect["ignore"])
        same("clause", e.clause, expect["error"])
        return
    if got is None:
        members(expect, "refused")
        members(expect["refused"], "result info")
        same("result", fr.result_name(frame.result), expect["refused"]["result"])
        info = 0 if frame.result == fr.BAD_VERSION else int.from_bytes(frame.detail[:4], "little")
        same("info", info, expect["refused"]["info"])
        return
    members(expect, "answer")
    for key, want in expect["answer"].items():
        if key not in got:
            raise Difference("not understood: %s of an answer" % key)
        same(key, got[key], want)


# --- release.json --------------------------------------------------------------------------------


def check_coarsening(doc: Case, case: Case) -> None:
    members(case, "schema fields coarsened bytes")
    schema = release.schema_of(case["schema"])
    coarse = release.coarsen(schema, release.Fields(*case["fields"]))
    same("coarsened", list(coarse), case["coarsened"])
    same("bytes", schema.pack(coarse).hex(), case["bytes"])
    same("read again", list(schema.parse(unhex(case["bytes"]))), case["coarsened"])


def check_entry(doc: Case, case: Case) -> None:
    members(case, "schema key fields add_serial del_serial public history")
    schema = release.schema_of(case["schema"])
    public = unhex(case["key"]) + schema.pack(release.Fields(*case["fields"]))
    same("public", public.hex(), case["public"])
    history = unhex(case["history"])
    same("history", history[: schema.entry_len], public)
    same("serials", list(release.serials(schema, history)), [case["add_serial"], case["del_serial"]])
    same("length", (len(public), len(history)), (schema.entry_len, schema.history_len))


def check_refused_fields(doc: Case, case: Case) -> None:
    members(case, "schema bytes clause why")
    schema = release.schema_of(case["schema"])
    refused(False, lambda: schema.parse(unhex(case["bytes"])))


def check_expiry(doc: Case, case: Case) -> None:
    members(case, "schema bytes horizon expired")
    schema = release.schema_of(case["schema"])
    entry = bytes(schema.key_len) + unhex(case["bytes"])
    same("expired", not release.unexpired(schema, [entry], case["horizon"]), case["expired"])


def check_depth(doc: Case, case: List[int]) -> None:
    same("depth", release.depth(case[0]), case[1])


def check_tree(doc: Case, case: Case) -> None:
    members(case, "schema count b root entries")
    entries = cut(case["entries"], release.schema_of(case["schema"]).entry_len)
    b = release.depth(len(entries))
    same("count", len(entries), case["count"])
    same("b", b, case["b"])
    same("root", release.root(entries).hex(), case["root"])
    for bits in {0, b // 2, b}:  # every bucket of it must lead to the same root
        for prefix in range(1 << bits):
            part = release.under(entries, bits, prefix)
            node = release.subtree(part, b, bits, prefix)
            up = release.siblings(entries, bits, prefix, 0)
            same("climbed", release.climb(node, bits, prefix, up).hex(), case["root"])


def check_rice(doc: Case, case: Case) -> None:
    members(case, "k numbers bytes")
    same("bytes", delta.rice_encode(case["numbers"], case["k"]).hex(), case["bytes"])
    numbers = delta.rice_decode(unhex(case["bytes"]), case["k"], len(case["numbers"]))
    same("numbers", numbers, case["numbers"])


def check_removals(doc: Case, case: Case) -> None:
    members(case, "gaps k bytes")
    indices, at = [], -1
    for gap in case["gaps"]:
        at += gap + 1
        indices.append(at)
    k, section = delta.encode_removals(indices)
    same("k", k, case["k"])
    same("bytes", section.hex(), case["bytes"])
    same("read again", delta.rice_decode(section, k, len(indices)), case["gaps"])


def check_frequencies(doc: Case, case: Case) -> None:
    members(case, "counts bits frequencies")
    same("frequencies", delta.frequencies(case["counts"], case["bits"]), case["frequencies"])


def check_rans(doc: Case, case: Case) -> None:
    members(case, "frequencies bits symbols bytes")
    symbols, freqs, bits = case["symbols"], case["frequencies"], case["bits"]
    same("bytes", delta.rans_encode(symbols, freqs, bits).hex(), case["bytes"])
    same("symbols", delta.rans_decode(unhex(case["bytes"]), freqs, len(symbols), bits), symbols)


def check_delta(doc: Case, case: Case) -> None:
    members(case, "name kind schema horizon from to history leaves base delta result count root", "digest")
    schema = release.schema_of(case["schema"])
    service, set_id = unhex(doc["service"]), doc["set"]
    kind, horizon = case["kind"], case["horizon"]
    history = cut(case["history"], schema.history_len)
    size = schema.entry_len if kind == delta.LIVE_KIND else schema.history_len
    base = cut(case["base"], size)
    live = release.live_of(schema, release.unexpired(schema, history, horizon), release.serial_of(case["to"]))
    frame = (schema, service, set_id, case["from"], case["to"], horizon)
    leaves = [unhex(h) for h in case["leaves"]]
    data = unhex(case["delta"])
    if kind == delta.LIVE_KIND:
        made = delta.encode_live(*frame, history)
        result = delta.apply_live(data, base)
    else:
        made = delta.encode_history(*frame, base, release.unexpired(schema, history, horizon), leaves)
        result, got_leaves = delta.apply_history(data, base)
        same("leaves", got_leaves, leaves)
        same("digest", release.history_digest(result).hex(), case["digest"])
        live = release.live_of(schema, result, release.serial_of(case["to"]))
    same("result", b"".join(result).hex(), case["result"])
    same("delta", made.hex(), case["delta"])
    same("count", len(live), case["count"])
    same("root", release.root(live).hex(), case["root"])
    want = delta.Expected(service, set_id, kind, case["from"], case["to"], schema.id, horizon)
    delta.check_header(data, want)


def check_apply(accept: bool) -> Callable[[Case, Case], None]:
    def check(doc: Case, case: Case) -> None:
        members(case, "name kind schema base_version base delta", "clause")
        schema = release.schema_of(case["schema"])
        kind = case["kind"]
        base = cut(case["base"], schema.entry_len if kind == delta.LIVE_KIND else schema.history_len)
        data = unhex(case["delta"])

        def run() -> None:
            h = delta.parse(data).header
            want = delta.Expected(
                unhex(doc["service"]), doc["set"], kind, case["base_version"], h.to_version, schema.id, None
            )
            delta.check_header(data, want)
            (delta.apply_live if kind == delta.LIVE_KIND else delta.apply_history)(data, base)

        refused(accept, run, (delta.DeltaError,))

    return check


# --- trust.json ----------------------------------------------------------------------------------


def check_key(doc: Case, case: Case) -> None:
    members(case, "name secret public id")
    private = trust.Ed25519PrivateKey.from_private_bytes(unhex(case["secret"]))
    public = private.public_key().public_bytes(trust.Encoding.Raw, trust.PublicFormat.Raw)
    same("public", public.hex(), case["public"])
    same("id", trust.key_id(public).hex(), case["id"])


def secret_of(doc: Case, name: str) -> trust.Ed25519PrivateKey:
    (secret,) = [k["secret"] for k in doc["keys"] if k["name"] == name]
    return trust.Ed25519PrivateKey.from_private_bytes(unhex(secret))


def check_checkpoint_encoding(doc: Case, case: Case) -> None:
    members(case, "clause fields bytes signer signatures")
    f = dict(case["fields"])
    names = "set service version time fresh_until horizon schema bits count log_size"
    members(f, names + " root log_root manifest history key_epoch")
    checkpoint = trust.Checkpoint(
        1, 0, f["set"], unhex(f["service"]), f["version"], f["time"], f["fresh_until"], f["horizon"],
        f["schema"], f["bits"], f["count"], f["log_size"], unhex(f["root"]), unhex(f["log_root"]),
        unhex(f["manifest"]), unhex(f["history"]), f["key_epoch"],
    )  # fmt: skip
    same("bytes", checkpoint.pack().hex(), case["bytes"])
    same("read again", trust.parse_checkpoint(unhex(case["bytes"])), checkpoint)
    signed = trust.sign(trust.CHECKPOINT_CONTEXT, checkpoint.pack(), [secret_of(doc, case["signer"])])
    same("signatures", signed.hex(), case["signatures"])


def check_delegation_encoding(doc: Case, case: Case) -> None:
    members(case, "clause fields signers bytes")
    f = dict(case["fields"])
    members(f, "epoch not_before not_after service online")
    delegation = trust.Delegation(
        1, 0, f["epoch"], unhex(f["service"]), f["not_before"], f["not_after"], unhex(f["online"])
    )
    keys = [secret_of(doc, name) for name in case["signers"]]
    packed = delegation.pack()
    same("bytes", (packed + trust.sign(trust.DELEGATION_CONTEXT, packed, keys)).hex(), case["bytes"])
    same("read again", trust.parse_delegation(packed), delegation)


def check_list(doc: Case, case: Case) -> None:
    members(case, "name clause context body list known accept signers")

    def run() -> int:
        signatures, end = trust.parse_signatures(unhex(case["list"]))
        if end != len(unhex(case["list"])):
            raise ValueError("bytes behind the list")
        message = case["context"].encode() + unhex(case["body"])
        return len(trust.signers(message, signatures, [unhex(k) for k in case["known"]]))

    same("signers", refused(case["accept"], run), case["signers"])


def check_trust_answer(doc: Case, case: Case) -> None:
    members(case, "name clause trust set before body accept reason")
    verifier = trust.Verifier(trust.parse_trust(case["trust"]), case["set"])
    for body in case["before"]:
        try:
            verifier.accept(unhex(body))
        except ValueError:
            pass  # some of what came before is there to be refused
    try:
        verifier.accept(unhex(case["body"]))
        accepted, reason = True, None
    except trust.TrustError as e:
        accepted, reason = False, e.reason
    except fr.FrameError:
        accepted, reason = False, "malformed"
    same("reason", reason, case["reason"])
    same("accepted", accepted, case["accept"])


def check_trust_file(doc: Case, case: Case) -> None:
    members(case, "name clause text accept")
    parsed = refused(case["accept"], lambda: trust.parse_trust(case["text"]), (trust.TrustError,))
    if parsed:
        same("written again", trust.parse_trust(json.dumps(trust.trust_json(parsed))), parsed)


MANIFEST_NAMES = {
    "least_version": "min_protocol",
    "most_keys": "max_keys",
    "most_keys_of_a_start": "max_keys_per_start",
    "least_period": "min_period",
    "greatest_period": "max_period",
    "start_ahead_s": "max_ahead_s",
    "epoch": "key_epoch",
}


def check_manifest(doc: Case, case: Case) -> None:
    members(case, "name clause bytes online accept", "digest fields zeros zeros_at")
    data = unhex(case["bytes"])
    if "zeros" in case:
        data = data[: case["zeros_at"]] + bytes(case["zeros"]) + data[case["zeros_at"] :]

    def run() -> manifest.Parsed:
        parsed = manifest.parse(data)
        if not manifest.signed_by(parsed, unhex(case["online"])):
            raise trust.TrustError("not signed")
        return parsed

    parsed = refused(case["accept"], run, (fr.FrameError, trust.TrustError))
    if not parsed:
        return
    same("digest", release.H(data).hex(), case["digest"])
    got: Case = {}
    for name, value in parsed.fields._asdict().items():
        if name not in ("layout", "reserved", "length", "flags"):
            got[MANIFEST_NAMES.get(name, name)] = value.hex() if isinstance(value, bytes) else value
    got["decoys"] = parsed.fields.decoys
    got["nodes"] = [n._asdict() for n in parsed.nodes]
    got["seal_keys"] = []
    for key in parsed.seal_keys:
        item = dict(key._asdict(), id=key.key_id.hex(), public=key.key.hex())
        del item["key_id"], item["key"]
        got["seal_keys"].append(item)
    got["witnesses"] = [{"key": w.key.hex(), "name": w.name} for w in parsed.witnesses]
    got["other"] = [
        (
            {"type": t.kind, "zeros": len(t.value)}
            if "zeros" in case
            else {"type": t.kind, "value": t.value.hex()}
        )
        for t in parsed.other
    ]
    want = case["fields"]
    same("members", sorted(want), sorted(got))
    for name in got:
        same(name, got[name], want[name])


def check_log_leaves(doc: Case, case: Any) -> None:
    leaves = [unhex(x) for x in doc["log"]["leaves"]]
    same("leaf hashes", [log.leaf(x).hex() for x in leaves], doc["log"]["leaf_hashes"])


def check_log_roots(doc: Case, case: Any) -> None:
    hashes = [unhex(x) for x in doc["log"]["leaf_hashes"]]
    same("roots", [log.root(hashes[:n]).hex() for n in range(len(hashes) + 1)], doc["log"]["roots"])


def check_log_inclusion(doc: Case, case: Case) -> None:
    members(case, "clause accept index size proof", "leaf root")
    hashes = [unhex(x) for x in doc["log"]["leaf_hashes"]]
    index, size = case["index"], case["size"]
    path = [unhex(x) for x in case["proof"]]
    if case["accept"]:
        same("proof", log.prove_inclusion(hashes[:size], index), path)
    root = unhex(case["root"]) if "root" in case else unhex(doc["log"]["roots"][size])
    leaf = unhex(case["leaf"]) if "leaf" in case else hashes[index]
    same("holds", log.check_inclusion(leaf, index, size, path, root), case["accept"])


def check_log_consistency(doc: Case, case: Case) -> None:
    members(case, "clause accept old new proof", "old_root new_root")
    hashes, roots = [unhex(x) for x in doc["log"]["leaf_hashes"]], doc["log"]["roots"]
    old, new = case["old"], case["new"]
    path = [unhex(x) for x in case["proof"]]
    if case["accept"]:
        same("proof", log.prove_consistency(hashes[:new], old), path)
    old_root = unhex(case.get("old_root", roots[old]))
    new_root = unhex(case.get("new_root", roots[new]))
    same("holds", log.check_consistency(old, new, path, old_root, new_root), case["accept"])


def check_age(doc: Case, case: Case) -> None:
    members(case, "clause checkpoint clock newest too_old_s state age_s")
    checkpoint = trust.parse_checkpoint(unhex(case["checkpoint"]))
    verifier = trust.Verifier(trust.Trust(b"", 1, (), ()), 0, trust.Accepted(time=case["newest"]))
    got = trust.age_state(checkpoint, verifier.now(case["clock"]), case["too_old_s"])
    same("age", got, (case["age_s"], case["state"]))


# --- All of them ---------------------------------------------------------------------------------

# What is checked how: the path to a part of a file, and its check. A part that is a list is a list of
# cases; anything else is one case. None marks parts that others refer to.
Check = Optional[Callable[[Case, Any], None]]
FILES: Dict[str, Dict[str, Check]] = {
    "frames.json": {
        "format": None,
        "about": None,
        "service": None,
        "questions": check_frame_question,
        "answers": check_frame_answer,
    },
    "release.json": {
        "about": None,
        "service": None,
        "set": None,
        "schema.coarsening": check_coarsening,
        "schema.entries": check_entry,
        "schema.refused": check_refused_fields,
        "schema.expiry": check_expiry,
        "tree.depths": check_depth,
        "tree.trees": check_tree,
        "code.rice": check_rice,
        "code.removals": check_removals,
        "code.frequencies": check_frequencies,
        "code.rans": check_rans,
        "deltas": check_delta,
        "accept": check_apply(True),
        "reject": check_apply(False),
    },
    "trust.json": {
        "about": None,
        "keys": check_key,
        "encodings.checkpoint": check_checkpoint_encoding,
        "encodings.delegation": check_delegation_encoding,
        "lists": check_list,
        "answers": check_trust_answer,
        "trust_files": check_trust_file,
        "manifests": check_manifest,
        "log.leaves": check_log_leaves,
        "log.leaf_hashes": None,
        "log.roots": check_log_roots,
        "log.inclusion": check_log_inclusion,
        "log.consistency": check_log_consistency,
        "ages": check_age,
    },
    "exchange.json": check_exchange.FILE,
    "reports.json": check_reports.FILE,
}
WHOLE = ("log.leaves", "log.roots", "codes.powers")  # lists that are one case


def parts(doc: Case, prefix: str, known: Dict[str, Check]) -> List[Tuple[str, Any]]:
    """The parts of a file under the paths that are known, and those that nobody knows."""
    out = []
    for key, value in doc.items():
        path = prefix + key
        deeper = any(k.startswith(path + ".") for k in known)
        out += parts(value, path + ".", known) if deeper and isinstance(value, dict) else [(path, value)]
    return out


def check_file(path: pathlib.Path) -> Tuple[int, List[str]]:
    """How many cases, and the differences."""
    known = FILES.get(path.name)
    if known is None:
        return 0, ["a file that is not understood"]
    doc = json.loads(path.read_text(encoding="utf-8"))
    count, differences = 0, []
    found = parts(doc, "", known)
    for missing in sorted(set(known) - {p for p, _ in found} - {"about"}):
        differences.append("%s is missing" % missing)
    for part, value in found:
        if part not in known:
            differences.append("%s is not understood" % part)
            continue
        check = known[part]
        if check is None:
            continue
        cases = value if isinstance(value, list) and part not in WHOLE else [value]
        for i, case in enumerate(cases):
            count += 1
            name = case.get("name", "") if isinstance(case, dict) else ""
            try:
                check(doc, case)
            except Difference as e:
                differences.append("%s[%d] %s: %s" % (part, i, name, e))
            except Exception as e:  # whatever an input can provoke is a difference
                where = traceback.extract_tb(e.__traceback__)[-1]
                text = "%s[%d] %s: %s: %s (%s line %s)"
                at = pathlib.Path(where.filename).name
                differences.append(text % (part, i, name, type(e).__name__, e, at, where.lineno))
    return count, differences


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--vectors", type=pathlib.Path, default=HERE.parent / "vectors")
    parser.add_argument("--require", nargs="*", default=[], metavar="NAME", help="files that must be there")
    parser.add_argument("--no-tests", action="store_true", help="vectors only")
    args = parser.parse_args()
    bad = False
    files = sorted(args.vectors.glob("*.json")) if args.vectors.is_dir() else []
    for name in args.require:
        if name not in [f.name for f in files]:
            print("%s: missing" % name)
            bad = True
    for path in files:
        count, differences = check_file(path)
        bad = bad or bool(differences) or not count
        print("%s: %d cases, %d differences" % (path.name, count, len(differences)))
        for text in differences:
            print("  " + text)
    if not files:
        print("no vectors: nothing is checked")
        bad = True
    if not args.no_tests:
        suite = unittest.defaultTestLoader.discover(str(HERE / "tests"), top_level_dir=str(HERE))
        result = unittest.TextTestRunner(stream=sys.stdout, verbosity=0).run(suite)
        bad = bad or not result.wasSuccessful() or not result.testsRun
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
