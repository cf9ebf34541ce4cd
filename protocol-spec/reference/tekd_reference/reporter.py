"""Chapter 7 from a client's side: making a report, and taking it back.

What a person's phone must not lose stands in `Own`: the report id and the secret. Whatever goes wrong on
the way, the same request with the same two is safe to repeat (7.3.2), by this program or by another run.
"""

from __future__ import annotations

import datetime
import secrets
from dataclasses import dataclass, field
from typing import NamedTuple, Optional, Sequence, Tuple

from . import frame as fr
from . import grants, hpke, manifest, reports, trust
from .client import Client, Failed, Refused
from .release import H, schema_of
from .reports import Answer, Key, Receipt, Request
from .transport import Unreachable, next_delay

TRIES = 5  # of one request, whatever comes in between (7.1.6)
FIRST_DELAY = 1.0
MOST_PUZZLES, MOST_BITS = 3, 24  # 7.5.2
DUMMY_KEYS = 14  # as many as a phone has in two weeks (7.1.8)


class Own(NamedTuple):
    """7.2.3"""

    report: bytes
    secret: bytes

    @staticmethod
    def fresh(report: bytes = b"", secret: bytes = b"") -> "Own":
        return Own(report or secrets.token_bytes(16), secret or secrets.token_bytes(32))


class NotDone(Exception):
    """The origin answered, and with something else than DONE (7.6.3)."""

    def __init__(self, request: Request, answer: Answer):
        super().__init__("%s: %s" % (reports.KINDS[request.kind], answer.outcome_name))
        self.answer = answer
        self.keys = request.keys


@dataclass(frozen=True)
class Done:
    keys: Tuple[Key, ...]
    answer: Answer
    receipt: Optional[Receipt]  # verified; none of STATUS and DUMMY
    delegation: bytes = field(default=b"", repr=False)  # with its signature list


class Reporter:
    """Reports of one set through one server, over TLS alone (1.5.5)."""

    def __init__(self, client: Client):
        self.client = client
        self._manifest: Optional[manifest.Parsed] = None

    # The requests (7.3)

    def submit(self, own: Own, keys: Sequence[Key], code: str, onset: int = 0) -> Done:
        return self._confirmed(
            Request(
                reports.SUBMIT, own.report, H(own.secret), tuple(keys), reports.CODE, code.encode(), onset=onset
            )
        )

    def amend(self, own: Own, keys: Sequence[Key], code: str = "") -> Done:
        """More keys; with a code another report type (7.3.4)."""
        grant = (reports.CODE, code.encode()) if code else (0, b"")
        return self._confirmed(Request(reports.AMEND, own.report, own.secret, tuple(keys), *grant))

    def cancel(self, own: Own) -> Done:
        return self._confirmed(Request(reports.CANCEL, own.report, own.secret))

    def status(self, own: Own) -> Done:
        request = Request(reports.STATUS, own.report, own.secret)
        answer = self._ask(request)
        if answer.outcome != reports.DONE:
            raise NotDone(request, answer)
        return Done((), answer, None)

    def dummy(self) -> Done:
        """7.1.8: like a report in everything that can be seen, and nothing of the answer counts."""
        return Done((), self._ask(self.dummy_request()), None)

    def dummy_request(self) -> Request:
        own = Own.fresh()
        key_len = schema_of(self._known().fields.schema).key_len
        today = self._now() // reports.DAY * 144
        keys = tuple(Key(secrets.token_bytes(key_len), today - 144 * i, 144) for i in range(DUMMY_KEYS))
        return Request(
            reports.DUMMY, own.report, H(own.secret), keys, reports.CODE, grants.random_code().encode()
        )

    # How they are carried

    def _known(self, anew: bool = False) -> manifest.Parsed:
        """The manifest, verified (7.1.1)."""
        if self._manifest is None or anew:
            self._manifest = manifest.parse(self.client.manifest())
        return self._manifest

    def _now(self) -> int:
        return self.client.verifier.now(int(self.client.clock()))

    def _seal(self, request: Request) -> reports.Sealed:
        """Sealed anew each time (7.1.6)."""
        key = reports.choose_seal_key(self._known().seal_keys, self._now())
        if key is None:
            key = reports.choose_seal_key(self._known(anew=True).seal_keys, self._now())
        if key is None:
            raise Failed("the manifest has no seal key that is valid now (7.1.1)")
        return reports.seal_request(request.pack(), key.key, self.client.trust.service, self.client.set)

    def _ask(self, request: Request) -> Answer:
        """The answer, once it is neither a puzzle nor BUSY."""
        puzzles = 0
        tries = TRIES
        while True:
            answer, tries = self._exchange(request, tries)
            if answer.outcome == reports.BUSY and tries:
                self._pause(answer.wait)
            elif answer.outcome == reports.PUZZLE and puzzles < MOST_PUZZLES:
                puzzles += 1
                if answer.bits > MOST_BITS:
                    raise Failed("a puzzle of %d bits (7.5.2)" % answer.bits)
                solution = reports.solve(answer.seed, request.report, request.grant, answer.bits)
                request = request._replace(seed=answer.seed, solution=solution)
                tries = max(tries, 1)
            else:
                return answer

    def _exchange(self, request: Request, tries: int) -> Tuple[Answer, int]:
        """One answer that can be opened, and how many tries are left. No answer, random bytes, a
        header: none of them says anything about the report (7.1.6)."""
        delay = FIRST_DELAY
        renewed = False
        last: Exception = Unreachable("no answer to the report")
        while tries:
            tries -= 1
            sealed = self._seal(request)
            try:
                frame = self.client.ask_alone(sealed.question)
                return reports.parse_answer(reports.open_answer(sealed, frame)), tries
            except Refused as e:
                if e.result == fr.GONE and not renewed:
                    renewed = True
                    self._known(anew=True)  # the seal key is over or new: 7.1.5
                    continue
                if e.result not in (fr.PENDING, fr.BUSY):
                    raise
                last = e
                if tries:
                    self._pause(e.wait)
            except (Unreachable, hpke.Unopened, fr.FrameError) as e:
                last = e
                if tries:
                    patience, delay = next_delay(delay)
                    self.client.sleep(patience)
        if isinstance(last, hpke.Unopened):
            raise Unreachable("no answer could be opened (7.1.6): %s" % last)
        raise last

    def _pause(self, wait: int) -> None:
        """4.5.1"""
        self.client.sleep(min(max(1, wait), max(60, self.client.interval_s)))

    # What the answer must be

    def _confirmed(self, request: Request) -> Done:
        """DONE with a receipt that holds (7.3.1, 7.3.4, 7.3.5)."""
        answer = self._ask(request)
        if answer.outcome != reports.DONE:
            raise NotDone(request, answer)
        if len(answer.verdicts) != len(request.keys):
            raise Failed("%d verdicts for %d keys (7.6.1)" % (len(answer.verdicts), len(request.keys)))
        if not answer.receipt:
            raise Failed("DONE without a receipt (7.3.1)")
        service, set_id = self.client.trust.service, self.client.set
        content = request.content(service, set_id)
        own = reports.Own(service, set_id, request.report, request.kind, content, answer.verdicts)
        if not answer.delegation:
            raise Failed("a receipt without its delegation (7.6.1)")
        verifier = self.client.verifier
        signed = answer.receipt, answer.signatures, answer.delegation, answer.delegation_signatures
        receipt = reports.verify_receipt_of(*signed, self.client.trust, own, verifier.delegation)
        listed, _ = trust.parse_signatures(answer.delegation_signatures)
        return Done(request.keys, answer, receipt, answer.delegation + trust.pack_signatures(listed))


def day_of(text: str) -> int:
    """YYYY-MM-DD as days since 1970-01-01 (7.2.1)."""
    return (datetime.date.fromisoformat(text) - datetime.date(1970, 1, 1)).days
