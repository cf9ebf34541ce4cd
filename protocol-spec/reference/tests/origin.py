"""The private half of an origin in a few lines: it opens seals, judges, and remembers (7.3)."""

from __future__ import annotations

import secrets
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

from tekd_reference import frame as fr
from tekd_reference import grants, hpke, manifest, release, reports, trust
from tekd_reference.release import H
from tekd_reference.reports import Answer, Receipt, Request
from tests.world import INCARNATION, SERVICE, World

AMEND_S = 48 * 3600  # 7.3.4
CHANGES = {2: (1, reports.NEGATIVE), 3: (1, 2, reports.NEGATIVE)}  # 7.3.4
OUTCOME = {name: i for i, name in enumerate(reports.OUTCOMES)}


class Code(NamedTuple):
    report_type: int = 1
    not_before: int = 0
    not_after: int = 1 << 40
    state: str = "active"


class Stored:
    """One report, and the answers that were given to what changed it, by content."""

    def __init__(self, hidden: bytes, time: int, report_type: int):
        self.hidden = hidden  # H(secret)
        self.time = time
        self.report_type = report_type
        self.keys: List[reports.Key] = []
        self.withdrawn = False
        self.live = 0
        self.serial = 0
        self.given: Dict[bytes, Answer] = {}


class No(Exception):
    """An outcome other than DONE."""

    def __init__(self, outcome: str, verdicts: bytes = b"", wait: int = 0):
        super().__init__(outcome)
        self.outcome = outcome
        self.verdicts = verdicts
        self.wait = wait


class Origin:
    def __init__(self, world: World):
        self.world = world
        self.codes: Dict[str, Code] = {}
        self.spent: Dict[str, bytes] = {}
        self.reports: Dict[bytes, Stored] = {}
        self.seq = 100
        self.opened: List[Request] = []
        self.frames: List[bytes] = []  # bodies as they came
        self.bits = 0  # of the puzzle asked for
        self.seed = H(b"seed")[:16]
        # What goes wrong with one answer each, first to last: lost, unheard, random, a result's name
        # or an outcome's.
        self.faults: List[str] = []
        self.twist: Optional[Callable[[Answer], Answer]] = None

    @property
    def now(self) -> int:
        return self.world.time + 10

    def code(self, **about) -> str:
        """A fresh code, as it would be printed."""
        text = grants.random_code()
        self.codes[text.replace("-", "")] = Code(**about)
        return text

    def answer(self, question: fr.Frame) -> bytes:
        """The body of the answer, whatever was asked (7.1)."""
        self.frames.append(question.rest)
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "unheard":
            raise EOFError("the question is lost")
        if fault in fr.RESULTS:
            raise fr.Refusal(fr.RESULTS.index(fault))
        noise = secrets.token_bytes(reports.NONCE_LEN + reports.ANSWER_LEN + hpke.TAG_LEN)
        try:
            context, aad, data = reports.open_question(question, self.world.seal_keys, self.now)
        except hpke.Unopened:
            return noise
        answer = self.outcome_of(data, fault)
        if self.twist:
            answer = self.twist(answer)
        if fault == "lost":
            raise EOFError("the answer is lost")
        sealed = reports.seal_answer(context, aad, secrets.token_bytes(reports.NONCE_LEN), answer.pack())
        return noise if fault == "random" else sealed

    def outcome_of(self, data: bytes, fault: str = "") -> Answer:
        try:
            request = reports.parse_request(data)
            self.opened.append(request)
            if fault in OUTCOME:
                raise No(fault, wait=7)
            return getattr(self, reports.KINDS[request.kind].lower())(request)
        except reports.Malformed:
            return Answer(OUTCOME["MALFORMED"], self.now)
        except (No, grants.Refused) as e:
            puzzle = e.outcome == "PUZZLE"
            return Answer(
                OUTCOME[e.outcome],
                self.now,
                verdicts=getattr(e, "verdicts", b""),
                wait=getattr(e, "wait", 0),
                bits=self.bits if puzzle else 0,
                seed=self.seed if puzzle else bytes(16),
            )

    # The kinds of request

    def submit(self, r: Request) -> Answer:
        content = r.content(SERVICE, self.world.set)
        if r.report in self.reports:
            given = self.reports[r.report].given.get(content)
            if given is None:
                raise No("CONFLICT")
            return given  # 7.3.2
        symbols, code = self.grant(r)
        if code.report_type == reports.NEGATIVE or r.report_type not in (0, code.report_type):
            raise No("TYPE")
        verdicts = self.judge(r, [])
        stored = Stored(r.secret, self.now, code.report_type)
        if r.kind == reports.SUBMIT:
            self.reports[r.report] = stored
            self.spent[symbols] = r.report
        return self.store(stored, r, verdicts, content)

    dummy = submit  # 7.1.8: every check, and nothing stored

    def amend(self, r: Request) -> Answer:
        stored = self.of(r)
        content = r.content(SERVICE, self.world.set)
        if content in stored.given:
            return stored.given[content]
        if stored.withdrawn:
            raise No("WITHDRAWN")
        if self.now > stored.time + AMEND_S:
            raise No("LATE")
        verdicts = self.judge(r, stored.keys) if r.keys or not r.grant_type else b""
        if r.grant_type:
            symbols, code = self.grant(r)
            if code.report_type not in CHANGES.get(stored.report_type, ()):
                raise No("CHANGE")
            self.spent[symbols] = r.report
            stored.report_type = code.report_type
            stored.withdrawn = code.report_type == reports.NEGATIVE
        return self.store(stored, r, verdicts, content)

    def status(self, r: Request) -> Answer:
        return self.state(self.of(r))

    def cancel(self, r: Request) -> Answer:
        stored = self.of(r)
        content = r.content(SERVICE, self.world.set)
        if content in stored.given:
            return stored.given[content]
        stored.withdrawn = True
        return self.store(stored, r, b"", content)

    # Their parts

    def of(self, r: Request) -> Stored:
        """7.3.3"""
        stored = self.reports.get(r.report)
        if stored is None or stored.hidden != H(r.secret):
            raise No("REPORT")
        return stored

    def grant(self, r: Request) -> Tuple[str, Code]:
        if self.bits and not (
            r.seed == self.seed and reports.is_solved(r.seed, r.report, r.grant, r.solution, self.bits)
        ):
            raise No("PUZZLE")
        if r.grant_type != reports.CODE:
            raise No("KIND")
        symbols = grants.read_code(r.grant)
        code = self.codes.get(symbols)
        if code is None:
            raise No("UNKNOWN")
        if symbols in self.spent:
            raise No("SPENT")
        if code.state != "active":
            raise No(code.state.upper())
        if self.now < code.not_before:
            raise No("EARLY", wait=min(code.not_before - self.now, 65_535))
        if self.now > code.not_after:
            raise No("EXPIRED")
        return symbols, code

    def judge(self, r: Request, held: List[reports.Key]) -> bytes:
        horizon = release.horizon(self.now, self.world.retention)
        limits = manifest.parse(self.world.manifest).fields
        verdicts = reports.judge(r.keys, limits, self.world.schema, self.now, horizon, r.onset, held)
        if reports.ACCEPTED not in verdicts:
            raise No("NOTHING", verdicts)
        return verdicts

    def state(self, stored: Stored) -> Answer:
        count = len(stored.keys)
        return Answer(
            OUTCOME["DONE"],
            self.now,
            state=3 if stored.withdrawn else 2 if stored.serial else 1,
            serial=stored.serial,
            keys=count,
            live=stored.live,
            waiting=0 if stored.withdrawn else count - stored.live,
            withdrawn=count if stored.withdrawn else 0,
        )

    def store(self, stored: Stored, r: Request, verdicts: bytes, content: bytes) -> Answer:
        stored.keys += [k for k, v in zip(r.keys, verdicts) if v == reports.ACCEPTED]
        if r.kind == reports.DUMMY:
            return self.state(stored)._replace(verdicts=verdicts)
        self.seq += 1
        receipt = Receipt(
            SERVICE, self.world.set, INCARNATION, r.report, self.seq, self.now, 1, r.kind,
            verdicts.count(reports.ACCEPTED), self.world.epoch, content, H(verdicts),
        ).pack()  # fmt: skip
        answer = self.state(stored)._replace(
            verdicts=verdicts,
            receipt=receipt,
            signatures=trust.sign(reports.RECEIPT_CONTEXT, receipt, [self.world.online]),
            delegation=self.world.delegation,
            delegation_signatures=trust.sign(trust.DELEGATION_CONTEXT, self.world.delegation, self.world.roots),
        )
        stored.given[content] = answer
        return answer
