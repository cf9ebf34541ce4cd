"""Checks reports.json: sealing, requests, verdicts, puzzles, answers, receipts, grants (page 7)."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional

from tekd_reference import frame as fr
from tekd_reference import grants, hpke, manifest, release, reports, trust

Case = Dict[str, Any]
unhex = bytes.fromhex


class Difference(Exception):
    pass


def same(what: str, got: Any, want: Any) -> None:
    if got != want:
        raise Difference("%s: %.200r, the vector says %.200r" % (what, got, want))


def members(case: Case, required: str, optional: str = "") -> None:
    """Every member of a case must be one that is looked at."""
    need, may = set(required.split()), set(optional.split())
    if need - set(case) or set(case) - need - may:
        raise Difference("members: %s" % ", ".join(sorted(case)))


def padded(text: str, length: int) -> bytes:
    """Requests and answers are written without the zeros at their end."""
    return unhex(text).ljust(length, b"\0")


def keys_of(listed: List[Case]) -> List[reports.Key]:
    return [reports.Key(unhex(k["key"]), k["start"], k["period"], k["risk"]) for k in listed]


# --- sealing -------------------------------------------------------------------------------------


def own_keys(doc: Case) -> List[reports.OwnSealKey]:
    return [
        reports.OwnSealKey(unhex(k["secret"]), k["not_before"], k["not_after"]) for k in doc["sealing"]["seal_keys"]
    ]


def check_seal_key(doc: Case, case: Case) -> None:
    members(case, "id secret public not_before not_after")
    same("public", hpke.public_of(unhex(case["secret"])).hex(), case["public"])
    same("id", trust.key_id(unhex(case["public"])).hex(), case["id"])


def sealed_of(doc: Case, case: Case) -> reports.Sealed:
    (key,) = [k for k in doc["sealing"]["seal_keys"] if k["id"] == case["seal_key"]]
    request = padded(case["request"], reports.REQUEST_LEN)
    service = unhex(doc["service"])
    return reports.seal_request(request, unhex(key["public"]), service, case["set"], unhex(case["ephemeral"]))


def check_exchange(doc: Case, case: Case) -> None:
    members(
        case, "name clause set seal_key ephemeral aad encapsulation request question nonce answer_key "
        "answer_nonce answer frame"
    )  # fmt: skip
    same("info", reports.INFO.hex(), doc["sealing"]["info"])
    sealed = sealed_of(doc, case)
    question, answer = fr.parse(unhex(case["question"])), fr.parse(unhex(case["frame"]))
    packed = sealed.question.pack(unhex(doc["service"]), question.transaction)
    same("question", packed.hex(), case["question"])
    same("aad", sealed.aad.hex(), case["aad"])
    same("encapsulation", sealed.context.enc.hex(), case["encapsulation"])
    nonce = unhex(case["nonce"])
    exported = reports._answer_key(sealed.context, nonce)
    same("exported", [x.hex() for x in exported], [case["answer_key"], case["answer_nonce"]])
    plain = padded(case["answer"], reports.ANSWER_LEN)
    same("answer", reports.open_answer(sealed, answer), plain)
    context, aad, opened = reports.open_question(question, own_keys(doc), doc["time"])
    same("request", opened, padded(case["request"], reports.REQUEST_LEN))
    same("answer sealed", reports.seal_answer(context, aad, nonce, plain), answer.rest)


def put(frame: str, changes: List[Case]) -> bytes:
    out = bytearray(unhex(frame))
    for change in changes:
        at, new = change["at"], unhex(change["bytes"])
        if at + len(new) > len(out):
            raise Difference("a change behind the end")
        out[at : at + len(new)] = new
    return bytes(out)


def check_sealed_question(doc: Case, case: Case) -> None:
    members(case, "name clause of put now expect")
    exchange = doc["sealing"]["exchanges"][case["of"]]
    frame = fr.parse(put(exchange["question"], case["put"]))
    try:
        _, _, opened = reports.open_question(frame, own_keys(doc), case["now"])
        got = "opens" if opened == padded(exchange["request"], reports.REQUEST_LEN) else "something else"
    except fr.Refusal as e:
        got = fr.result_name(e.result)
    except hpke.Unopened:
        got = "random"
    same("expect", got, case["expect"])


def check_sealed_answer(doc: Case, case: Case) -> None:
    members(case, "name clause of put accept")
    exchange = doc["sealing"]["exchanges"][case["of"]]
    frame = fr.parse(put(exchange["frame"], case["put"]))
    try:
        opened = reports.open_answer(sealed_of(doc, exchange), frame)
        same("answer", opened, padded(exchange["answer"], reports.ANSWER_LEN))
        accepted = True
    except hpke.Unopened:
        accepted = False
    same("accept", accepted, case["accept"])


def check_choice(doc: Case, case: Case) -> None:
    members(case, "name clause now keys chosen")
    keys = []
    for k in case["keys"]:
        members(k, "kem kdf aead not_before not_after public id")
        keys.append(
            manifest.SealKey(
                k["kem"], k["kdf"], k["aead"], k["not_before"], k["not_after"], unhex(k["id"]), unhex(k["public"])
            )
        )
    chosen = reports.choose_seal_key(keys, case["now"])
    same("chosen", None if chosen is None else keys.index(chosen), case["chosen"])


# --- requests and answers ------------------------------------------------------------------------


def check_request(doc: Case, case: Case) -> None:
    members(case, "name clause bytes accept", "fields content")
    data = padded(case["bytes"], reports.REQUEST_LEN)
    try:
        r = reports.parse_request(data)
    except reports.Malformed as e:
        if case["accept"]:
            raise Difference("refused: %s" % e)
        return
    if not case["accept"]:
        raise Difference("accepted")
    got = {
        "kind": reports.KINDS[r.kind], "key_len": r.key_len, "type": r.report_type, "grant_type": r.grant_type,
        "grant": r.grant.hex(), "onset": r.onset, "report": r.report.hex(), "secret": r.secret.hex(),
        "seed": r.seed.hex(), "solution": r.solution.hex(),
        "keys": [dict(k._asdict(), key=k.key.hex()) for k in r.keys],
    }  # fmt: skip
    same("fields", got, case["fields"])
    same("bytes", r.pack(), data)
    same("content", r.content(unhex(doc["service"]), doc["set"]).hex(), case["content"])


def check_answer(doc: Case, case: Case) -> None:
    members(case, "name clause bytes accept", "fields")
    try:
        a = reports.parse_answer(padded(case["bytes"], reports.ANSWER_LEN))
    except fr.FrameError as e:
        if case["accept"]:
            raise Difference("refused: %s" % e)
        return
    if not case["accept"]:
        raise Difference("accepted")
    got = dict(
        a._asdict(), outcome=a.outcome_name, seed=a.seed.hex(), verdicts=list(a.verdicts),
        receipt=a.receipt.hex() or None, signatures=a.signatures.hex() or None,
        delegation=a.delegation.hex() or None, delegation_signatures=a.delegation_signatures.hex() or None,
    )  # fmt: skip
    same("fields", got, case["fields"])
    same("read again", reports.parse_answer(a.pack()), a)


LIMITS = manifest.Manifest(
    1, 0, 96, bytes(8), 1, 1, 0, 1, 14, 900, 1800, 604_800, 7200, 10, 86_400, 1, 1, 30, 3, 1, 144, 0, 900, 1
)


def check_verdicts(doc: Case, case: Case) -> None:
    members(case, "name clause now horizon schema onset limits held keys verdicts")
    members(case["limits"], "most_keys most_keys_of_a_start least_period greatest_period start_ahead_s")
    limits = LIMITS._replace(**case["limits"])
    held, schema = keys_of(case["held"]), release.schema_of(case["schema"])
    got = reports.judge(
        keys_of(case["keys"]), limits, schema, case["now"], case["horizon"], case["onset"], held
    )
    same("verdicts", list(got), case["verdicts"])


def check_puzzle(doc: Case, case: Case) -> None:
    members(case, "name clause bits solution solved seed report grant")
    of = [unhex(case[x]) for x in ("seed", "report", "grant")]
    same("solved", reports.is_solved(*of, unhex(case["solution"]), case["bits"]), case["solved"])
    if case["bits"] == 16:
        same("solved anew", reports.is_solved(*of, reports.solve(*of, 16), 16), True)


def check_receipt(doc: Case, case: Case) -> None:
    members(case, "name clause own receipt signatures delegation delegation_signatures newest accept reason")
    o = case["own"]
    members(o, "service set report kind content verdicts")
    own = reports.Own(
        unhex(o["service"]), o["set"], unhex(o["report"]), o["kind"], unhex(o["content"]), unhex(o["verdicts"])
    )
    signed = [unhex(case[x]) for x in ("receipt", "signatures", "delegation", "delegation_signatures")]
    newest = case["newest"] and trust.parse_delegation(unhex(case["newest"]))
    try:
        receipt = reports.verify_receipt_of(*signed, trust.parse_trust(doc["trust"]), own, newest)
        accepted, reason = True, None
        same("packed", receipt.pack()[:120].hex(), case["receipt"][:240])
    except trust.TrustError as e:
        # Whether a signature or the list it stands in is wrong is told apart by some readers only.
        accepted, reason = False, "signature" if "signature" in e.reason else e.reason
    except fr.FrameError:
        accepted, reason = False, "delegation"
    same("reason", reason, case["reason"])
    same("accept", accepted, case["accept"])


# --- grants --------------------------------------------------------------------------------------


def check_powers(doc: Case, case: Any) -> None:
    same("powers", grants.powers(31), case)


def check_batch(doc: Case, case: Case) -> None:
    members(case, "clause nonce secret codes")
    secret = grants.batch_secret(unhex(doc["codes"]["codes_key"]), unhex(case["nonce"]))
    same("secret", secret.hex(), case["secret"])
    for code in case["codes"]:
        members(code, "index text")
        same("code %d" % code["index"], grants.batch_code(secret, code["index"]), code["text"])
        same("read", grants.read_code(code["text"].encode()), code["text"].replace("-", ""))


def check_typed(doc: Case, case: Case) -> None:
    members(case, "name clause typed symbols")
    try:
        got: Optional[str] = grants.read_code(case["typed"].encode())
    except grants.Refused as e:
        same("outcome", e.outcome, "MISTYPED")
        got = None
    same("symbols", got, case["symbols"])


def check_provider(doc: Case, case: Case) -> None:
    members(case, "provider state keys")
    for key in case["keys"]:
        members(key, "id public")
        same("id", trust.key_id(unhex(key["public"])).hex(), key["id"])


def outcome_of(case: Case, run: Callable[[], grants.Grant]) -> Optional[grants.Grant]:
    try:
        grant = run()
    except grants.Refused as e:
        same("outcome", e.outcome, case["outcome"])
        return None
    same("outcome", "DONE", case["outcome"])
    same("identity", grant.identity.hex(), case["identity"])
    return grant


def check_certificate(doc: Case, case: Case) -> None:
    members(case, "name clause value now asked keys spent outcome", "identity commitment fields")
    providers = [
        grants.Provider(p["provider"], p["state"], tuple(unhex(k["public"]) for k in p["keys"]))
        for p in doc["certificates"]["providers"]
    ]
    value, keys, spent = unhex(case["value"]), keys_of(case["keys"]), [unhex(x) for x in case["spent"]]
    if not outcome_of(
        case,
        lambda: grants.check_certificate(
            value, keys, providers, unhex(doc["service"]), doc["set"], case["now"], case["asked"], spent
        ),
    ):
        return
    same("commitment", grants.commitment(keys).hex(), case["commitment"])
    c = grants.parse_certificate(value)
    same("packed", c.pack(), value[: grants.CERTIFICATE_LEN])
    got = {
        "type": c.report_type, "set": c.set, "provider": c.provider, "onset": c.onset, "not_before": c.not_before,
        "not_after": c.not_after, "key_id": c.key_id.hex(), "nonce": c.nonce.hex(),
    }  # fmt: skip
    same("fields", got, case["fields"])


def check_tekmac(doc: Case, case: Case) -> None:
    members(case, "name clause hmac_key keys risks text tekmac")
    keys = keys_of(case["keys"])
    same("text", grants.tekmac_text(keys, case["risks"]), case["text"])
    same("tekmac", grants.tekmac(unhex(case["hmac_key"]), keys, case["risks"]), case["tekmac"])


def check_jwt(doc: Case, case: Case) -> None:
    members(case, "name clause value now asked keys spent outcome", "identity type onset")
    issuers = []
    for i in doc["jwts"]["issuers"]:
        members(i, "issuer audience kid public")
        issuers.append(grants.Issuer(i["issuer"], i["audience"], i["kid"], unhex(i["public"])))
    value, keys, spent = unhex(case["value"]), keys_of(case["keys"]), [unhex(x) for x in case["spent"]]
    grant = outcome_of(
        case, lambda: grants.check_jwt(value, keys, issuers, case["now"], case["asked"], spent)
    )
    if grant:
        same("type", (grant.report_type, grant.onset), (case["type"], case["onset"]))


FILE = {
    "about": None,
    "service": None,
    "set": None,
    "time": None,
    "trust": None,
    "sealing.info": None,
    "sealing.seal_keys": check_seal_key,
    "sealing.exchanges": check_exchange,
    "sealing.questions": check_sealed_question,
    "sealing.answers": check_sealed_answer,
    "sealing.choices": check_choice,
    "requests": check_request,
    "verdicts": check_verdicts,
    "puzzles": check_puzzle,
    "answers": check_answer,
    "receipts": check_receipt,
    "codes.codes_key": None,
    "codes.powers": check_powers,
    "codes.batches": check_batch,
    "codes.typed": check_typed,
    "certificates.providers": check_provider,
    "certificates.cases": check_certificate,
    "jwts.issuers": None,
    "jwts.tekmac": check_tekmac,
    "jwts.cases": check_jwt,
}
