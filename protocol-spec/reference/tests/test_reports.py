"""Making a report and taking it back (page 7), against an origin of a few lines; the command line with it."""

import base64
import contextlib
import io
import json
import os
import tempfile
import unittest

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tekd_reference import __main__ as cli
from tekd_reference import client as cl
from tekd_reference import frame as fr
from tekd_reference import grants, hpke, reporter, reports, trust
from tekd_reference.release import H
from tekd_reference.reports import Key
from tekd_reference.transport import Tls, Udp, Unreachable
from tests.origin import Origin
from tests.servers import TlsServer, UdpServer
from tests.world import SERVICE, TIME, Responder, World, seal_key

unhex = bytes.fromhex


class HpkeTest(unittest.TestCase):
    """RFC 9180, appendix A.2.1: this suite in base mode."""

    INFO = unhex("4f6465206f6e2061204772656369616e2055726e")
    OWN = unhex("f4ec9b33b792c372c1d2c2063507b684ef925b8c75a42dbcbf57d63ccd381600")
    ENC = unhex("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a")
    RECEIVER = unhex("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a")
    RECEIVER_OWN = unhex("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb")

    def test_the_vector_of_the_rfc(self):
        self.assertEqual(hpke.public_of(self.RECEIVER_OWN), self.RECEIVER)
        for context in (
            hpke.sender(self.RECEIVER, self.INFO, self.OWN),
            hpke.receiver(self.RECEIVER_OWN, self.ENC, self.INFO),
        ):
            self.assertEqual(context.enc, self.ENC)
            self.assertEqual(
                context.key.hex(), "ad2744de8e17f4ebba575b3f5f5a8fa1f69c2a07f6e7500bc60ca6e3e3ec1c91"
            )
            self.assertEqual(context.nonce.hex(), "5c4d98150661b848853b547f")
            self.assertEqual(
                context.exporter.hex(), "a3b010d4994890e2c6968a36f64470d3c824c8f5029942feb11e7a74b2921922"
            )
            sealed = context.seal(b"Count-0", b"Beauty is truth, truth beauty")
            self.assertEqual(
                sealed.hex(),
                "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28",
            )
            self.assertEqual(context.open(b"Count-0", sealed), b"Beauty is truth, truth beauty")
            for exported_for, expected in (
                (b"", "4bbd6243b8bb54cec311fac9df81841b6fd61f56538a775e7c80a9f40160606e"),
                (b"\0", "8c1df14732580e5501b00f82b10a1647b40713191b7c1240ac80e2b68808ba69"),
                (b"TestContext", "5acb09211139c43b3090489a9da433e8a30ee7188ba8b0a9a1ccf0c229283e53"),
            ):
                self.assertEqual(context.export(exported_for, 32).hex(), expected)

    def test_what_was_not_sealed_for_this_is_not_opened(self):
        context = hpke.sender(self.RECEIVER, self.INFO, self.OWN)
        sealed = context.seal(b"aad", b"text")
        wrong = [
            (self.RECEIVER_OWN, self.ENC, self.INFO, b"other"),
            (self.RECEIVER_OWN, self.ENC, b"other", b"aad"),
            (self.OWN, self.ENC, self.INFO, b"aad"),
            (self.RECEIVER_OWN, self.RECEIVER, self.INFO, b"aad"),
            (self.RECEIVER_OWN, bytes(32), self.INFO, b"aad"),
        ]
        for own, enc, info, aad in wrong:
            with self.assertRaises(hpke.Unopened):
                hpke.receiver(own, enc, info).open(aad, sealed)
        with self.assertRaises(hpke.Unopened):
            hpke.sender(bytes(32), self.INFO)

    def test_no_two_seals_are_alike(self):
        first, second = (reports.seal_request(bytes(2848), self.RECEIVER, SERVICE, 1) for _ in range(2))
        self.assertNotEqual(first.context.enc, second.context.enc)
        self.assertNotEqual(first.question.body[-2864:], second.question.body[-2864:])


class CodeTest(unittest.TestCase):
    def test_every_change_of_a_symbol_and_every_exchange_is_seen(self):
        for batch in range(3):
            text = grants.batch_code(H(b"batch %d" % batch), batch).replace("-", "")
            self.assertEqual(grants.read_code(text.encode()), text)
            mistyped = []
            for at in range(12):
                mistyped += [text[:at] + c + text[at + 1 :] for c in grants.SYMBOLS + "U*" if c != text[at]]
                for other in range(at + 1, 12):
                    if text[at] != text[other]:
                        swapped = list(text)
                        swapped[at], swapped[other] = swapped[other], swapped[at]
                        mistyped.append("".join(swapped))
            for typed in mistyped:
                with self.assertRaises(grants.Refused, msg=typed) as refused:
                    grants.read_code(typed.encode())
                self.assertEqual(refused.exception.outcome, "MISTYPED")

    def test_powers_differ_and_are_not_zero(self):
        self.assertEqual(len(set(grants.powers(31))), 31)
        self.assertNotIn(0, grants.powers(31))
        self.assertEqual(grants.times(grants.powers(31)[-1], 2), 1)

    def test_guessing_is_as_7_8_4_says(self):
        alive = 1 << 20
        self.assertEqual(32**grants.DATA_SYMBOLS, 1 << 55)
        self.assertEqual(alive / 2**55, 2**-35)
        a_year = 600 * 24 * 365
        self.assertAlmostEqual(a_year / 1e6, 5.3, 1)
        self.assertGreater(2**35 / a_year, 6000)

    def test_codes_of_a_batch_differ(self):
        secret = grants.batch_secret(b"k" * 32, b"n" * 16)
        self.assertEqual(len({grants.batch_code(secret, i) for i in range(500)}), 500)


class ReportTest(unittest.TestCase):
    schema = 1

    def setUp(self):
        self.world = World(self.schema)
        self.world.release(add=20)
        self.origin = Origin(self.world)
        self.responder = Responder(self.world)
        self.responder.open = self.origin.answer
        self.tls = TlsServer(self.responder)
        self.addCleanup(self.tls.close)
        self.slept = []
        self.close_last = lambda: None
        self.own = reporter.Own.fresh()

    def reporter(self, datagrams=None):
        self.close_last()  # the server speaks to one client at a time
        client = cl.Client(
            self.world.trust,
            1,
            datagrams,
            Tls("127.0.0.1", self.tls.port, SERVICE, 5),
            clock=lambda: self.origin.now,
            sleep=self.slept.append,
        )
        self.close_last = client.close
        self.addCleanup(client.close)
        return reporter.Reporter(client)

    def keys(self, count=3, name=b"own"):
        today = self.origin.now // 86_400 * 144
        size = self.world.schema.key_len
        return [Key(H(name + bytes((i,)))[:size], today - 144 * (i + 1), 144) for i in range(count)]

    def outcome(self, run, *args):
        with self.assertRaises(reporter.NotDone) as e:
            run(*args)
        return e.exception.answer.outcome_name


class LifeTest(ReportTest):
    def test_submit_status_amend_cancel(self):
        r = self.reporter()
        keys = self.keys() + [Key(b"o" * 16, 1, 144)]
        done = r.submit(self.own, keys, self.origin.code(), onset=20_830)
        self.assertEqual((done.receipt.seq, done.receipt.accepted, done.receipt.durability), (101, 3, 1))
        self.assertEqual(list(done.answer.verdicts), [0, 0, 0, 4])
        self.assertEqual(done.answer.state_name, "accepted")
        self.assertEqual(self.origin.opened[-1].onset, 20_830)
        status = r.status(self.own).answer
        self.assertEqual((status.state_name, status.keys, status.waiting), ("accepted", 3, 3))
        stored = self.origin.reports[self.own.report]
        stored.live, stored.serial = 2, 7
        status = r.status(self.own).answer
        self.assertEqual((status.state_name, status.serial, status.live), ("released", 7, 2))
        done = r.amend(self.own, self.keys(2, b"more"))
        self.assertEqual((done.receipt.kind, done.receipt.accepted, done.answer.keys), (2, 2, 5))
        done = r.cancel(self.own)
        self.assertEqual((done.receipt.kind, done.answer.withdrawn, done.answer.verdicts), (4, 5, b""))
        self.assertEqual(r.cancel(self.own).receipt, done.receipt)
        self.assertEqual(r.status(self.own).answer.state_name, "withdrawn")
        self.assertEqual(self.outcome(r.amend, self.own, self.keys(1, b"late")), "WITHDRAWN")

    def test_another_report_type(self):
        r = self.reporter()
        r.submit(self.own, self.keys(), self.origin.code(report_type=2))
        r.amend(self.own, [], self.origin.code(report_type=1))
        self.assertEqual(self.origin.reports[self.own.report].report_type, 1)
        self.assertEqual(self.outcome(r.amend, self.own, [], self.origin.code(report_type=2)), "CHANGE")
        second = reporter.Own.fresh()
        r.submit(second, self.keys(), self.origin.code(report_type=3))
        done = r.amend(second, [], self.origin.code(report_type=reports.NEGATIVE))
        self.assertEqual(done.answer.state_name, "withdrawn")

    def test_nobody_else_does_anything_with_it(self):
        r = self.reporter()
        r.submit(self.own, self.keys(), self.origin.code())
        for stranger in (reporter.Own.fresh(self.own.report), reporter.Own.fresh(b"", self.own.secret)):
            self.assertEqual(self.outcome(r.status, stranger), "REPORT")
            self.assertEqual(self.outcome(r.cancel, stranger), "REPORT")
            self.assertEqual(self.outcome(r.amend, stranger, self.keys(1, b"x")), "REPORT")
        self.assertEqual(r.status(self.own).answer.state_name, "accepted")

    def test_each_outcome_is_told(self):
        r = self.reporter()
        spent = self.origin.code()
        r.submit(self.own, self.keys(), spent)
        late = self.world.time
        for outcome, code in (
            ("SPENT", spent),
            ("UNKNOWN", grants.random_code()),
            ("MISTYPED", "0000-0000-0001"),
            ("EARLY", self.origin.code(not_before=late + 99_999)),
            ("EXPIRED", self.origin.code(not_after=late)),
            ("REVOKED", self.origin.code(state="revoked")),
            ("SUSPENDED", self.origin.code(state="suspended")),
            ("TYPE", self.origin.code(report_type=reports.NEGATIVE)),
        ):
            self.assertEqual(self.outcome(r.submit, reporter.Own.fresh(), self.keys(), code), outcome)
        self.assertEqual(self.outcome(r.submit, self.own, self.keys(2), self.origin.code()), "CONFLICT")
        unspent = self.origin.code()
        self.assertEqual(
            self.outcome(r.submit, reporter.Own.fresh(), [Key(b"o" * 16, 1, 144)], unspent), "NOTHING"
        )
        self.assertEqual(self.outcome(r.submit, reporter.Own.fresh(), [], unspent), "NOTHING")
        r.submit(reporter.Own.fresh(), self.keys(), unspent)  # 7.3.1: it was not spent
        self.world.time += 49 * 3600
        self.assertEqual(self.outcome(r.amend, self.own, self.keys(1, b"x")), "LATE")

    def test_a_dummy_looks_like_a_report_and_leaves_nothing(self):
        r = self.reporter()
        r.submit(self.own, self.keys(14), self.origin.code())
        self.assertEqual(r.dummy().answer.outcome_name, "UNKNOWN")
        real, dummy = self.origin.opened[-2:]
        self.assertEqual((real.kind, dummy.kind), (reports.SUBMIT, reports.DUMMY))
        self.assertEqual([len(f) for f in self.origin.frames], [4032] * 2)
        for a, b in ((real.key_len, dummy.key_len), (len(real.grant), len(dummy.grant))):
            self.assertEqual(a, b)
        self.assertEqual(len(dummy.keys), 14)
        self.assertEqual(len(grants.read_code(dummy.grant)), 12)
        self.assertEqual(list(self.origin.reports), [self.own.report])

    def test_nothing_of_a_report_stands_in_what_a_relay_sees(self):
        r = self.reporter()
        r.submit(self.own, self.keys(), self.origin.code())
        r.cancel(self.own)
        seen = b"".join(self.origin.frames)
        for part in (self.own.report, self.own.secret, H(self.own.secret), *(k.key for k in self.keys())):
            self.assertNotIn(part, seen)


class LongKeysTest(ReportTest):
    schema = 3

    def test_keys_of_32_bytes(self):
        r = self.reporter()
        self.assertEqual(r.submit(self.own, self.keys(), self.origin.code()).receipt.accepted, 3)
        self.assertEqual(r.dummy().answer.outcome_name, "UNKNOWN")
        self.assertEqual(self.origin.opened[-1].key_len, 32)
        short = [Key(b"k" * 16, self.keys()[0].start, 144)]
        self.assertEqual(self.outcome(r.submit, reporter.Own.fresh(), short, self.origin.code()), "NOTHING")


class RetryTest(ReportTest):
    def test_a_lost_answer_makes_no_second_report(self):
        for faults in (["lost"], ["unheard"], ["random"], ["lost", "random", "unheard", "lost"]):
            r, own = self.reporter(), reporter.Own.fresh()
            self.origin.faults = list(faults)
            self.origin.frames.clear()
            self.origin.opened.clear()
            self.slept.clear()
            before = self.origin.seq
            done = r.submit(own, self.keys(), self.origin.code())
            self.assertEqual((done.receipt.seq, self.origin.seq), (before + 1, before + 1), faults)
            self.assertEqual(len(self.origin.frames), len(faults) + 1)
            self.assertEqual(len(set(self.origin.frames)), len(faults) + 1)  # each sealed anew
            self.assertEqual(len(set(self.origin.opened)), 1)  # the same each time
            self.assertEqual(len(self.slept), len(faults))
            self.assertEqual(r.amend(own, self.keys(1, b"m")).receipt.seq, before + 2)

    def test_lost_amendments_and_cancellations_are_the_same_again(self):
        r = self.reporter()
        r.submit(self.own, self.keys(), self.origin.code())
        self.origin.faults = ["lost"]
        self.assertEqual(r.amend(self.own, self.keys(1, b"m")).receipt.seq, 102)
        self.origin.faults = ["lost"]
        self.assertEqual(r.cancel(self.own).receipt.seq, 103)
        self.assertEqual(self.origin.seq, 103)

    def test_random_bytes_lead_to_no_conclusion(self):
        self.origin.faults = ["random"] * 100
        code = self.origin.code()
        with self.assertRaises(Unreachable):
            self.reporter().submit(self.own, self.keys(), code)
        self.assertEqual(len(self.origin.frames), reporter.TRIES)
        self.origin.faults = []
        done = self.reporter().submit(self.own, self.keys(), code)  # another run, with the same two
        self.assertEqual(done.receipt.seq, 101)

    def test_pending_and_busy_are_waited_for(self):
        self.world.wait = 50_000
        self.origin.faults = ["PENDING", "BUSY"]
        self.assertEqual(self.reporter().submit(self.own, self.keys(), self.origin.code()).receipt.seq, 101)
        self.assertEqual(self.slept, [900, 900])  # 4.5.1
        self.origin.faults = ["PENDING"] * 100
        with self.assertRaises(cl.Refused):
            self.reporter().status(self.own)
        self.origin.faults = ["REFUSED"] * 2
        with self.assertRaises(cl.Refused):
            self.reporter().status(self.own)
        self.assertEqual(self.origin.faults, ["REFUSED"])

    def test_busy_inside_the_seal_is_waited_for_too(self):
        inside = [fr.BUSY]

        def once(answer):
            if inside:
                inside.pop()
                return reports.Answer(reports.BUSY, self.origin.now, wait=7)
            return answer

        self.origin.twist = once
        self.assertEqual(self.reporter().submit(self.own, self.keys(), self.origin.code()).receipt.seq, 101)
        self.assertEqual(self.slept, [7])

    def test_a_new_seal_key_is_learnt(self):
        r = self.reporter()
        r.submit(self.own, self.keys(), self.origin.code())
        self.world.seal_keys = [seal_key(2, self.world.time)]  # the one before is forgotten
        self.world.manifest = self.world.make_manifest(2)
        self.world.release()
        self.assertEqual(r.status(self.own).answer.keys, 3)
        self.assertEqual(len(self.origin.frames), 3)
        self.origin.faults = ["GONE"] * 9
        with self.assertRaises(cl.Refused):
            r.status(self.own)
        self.assertEqual(len(self.origin.faults), 7)

    def test_the_newest_seal_key_is_taken_and_none_that_is_over(self):
        self.world.seal_keys = [seal_key(n, self.world.time + t) for n, t in ((1, -90_000), (2, -9), (3, 99_999))]
        self.world.manifest = self.world.make_manifest(2)
        self.world.release()
        self.reporter().dummy()
        self.assertEqual(self.origin.frames[-1][8:16], trust.key_id(seal_key(2, 0).public))
        self.world.seal_keys = [seal_key(1, self.world.time - 20 * 86_400)]
        self.world.manifest = self.world.make_manifest(3)
        self.world.release()
        with self.assertRaises(cl.Failed):
            self.reporter().dummy()

    def test_puzzles_are_solved(self):
        self.origin.bits = 16
        r = self.reporter()
        code = self.origin.code()
        self.assertEqual(r.submit(self.own, self.keys(), code).receipt.seq, 101)
        self.assertEqual(len(self.origin.frames), 2)
        self.assertEqual(r.dummy().answer.outcome_name, "UNKNOWN")
        self.assertEqual(r.submit(self.own, self.keys(), code).receipt.seq, 101)  # solution or not: 7.2.5
        self.origin.bits = 25
        with self.assertRaises(cl.Failed):
            r.dummy()

    def test_a_puzzle_that_never_ends_is_given_up(self):
        self.origin.twist = lambda a: reports.Answer(reports.PUZZLE, self.origin.now, bits=8, seed=b"s" * 16)
        self.assertEqual(self.outcome(self.reporter().cancel, self.own), "PUZZLE")
        self.assertEqual(len(self.origin.frames), reporter.MOST_PUZZLES + 1)

    def test_udp_does_not_carry_it(self):
        udp = UdpServer(self.responder)
        self.addCleanup(udp.close)
        r = self.reporter(Udp("127.0.0.1", udp.port, SERVICE, first_delay=0.3))
        self.assertEqual(r.submit(self.own, self.keys(), self.origin.code()).receipt.seq, 101)
        self.assertFalse([q for q in udp.questions if q[1] == 9])
        client = cl.Client(self.world.trust, 1, Udp("127.0.0.1", udp.port, SERVICE), None)
        self.addCleanup(client.close)
        with self.assertRaises(Unreachable):
            reporter.Reporter(client).status(self.own)


class ForgedTest(ReportTest):
    def forged(self, **changes):
        """Receipts with something else in them, signed by the right key."""

        def twist(answer):
            receipt = reports.parse_receipt(answer.receipt)._replace(**changes).pack()
            signed = trust.sign(reports.RECEIPT_CONTEXT, receipt, [self.world.online])
            return answer._replace(receipt=receipt, signatures=signed)

        return twist

    def test_no_receipt_but_the_right_one_will_do(self):
        flipped = lambda data, at: data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]  # noqa: E731
        for twist, error in (
            (lambda a: a._replace(receipt=flipped(a.receipt, 33)), trust.TrustError),
            (lambda a: a._replace(signatures=flipped(a.signatures, 70)), trust.TrustError),
            (lambda a: a._replace(signatures=b""), trust.TrustError),
            (
                lambda a: a._replace(
                    signatures=trust.sign(reports.RECEIPT_CONTEXT, a.receipt, [self.world.roots[0]])
                ),
                trust.TrustError,
            ),
            (lambda a: a._replace(receipt=b"", signatures=b""), cl.Failed),
            (lambda a: a._replace(verdicts=a.verdicts[:-1]), cl.Failed),
            (lambda a: a._replace(verdicts=b"\0\0\4"), trust.TrustError),
            (self.forged(report=b"r" * 16), trust.TrustError),
            (self.forged(content=b"c" * 32), trust.TrustError),
            (self.forged(kind=2), trust.TrustError),
            (self.forged(set=2), trust.TrustError),
            (self.forged(service=b"s" * 8), trust.TrustError),
            (self.forged(accepted=1), trust.TrustError),
            (self.forged(time=TIME - 100_000), trust.TrustError),
            (self.forged(epoch=9), trust.TrustError),
            (self.forged(), None),
        ):
            own = reporter.Own.fresh()
            self.origin.twist = twist
            if error is None:
                self.assertTrue(self.reporter().submit(own, self.keys(), self.origin.code()).receipt)
                continue
            with self.assertRaises(error):
                self.reporter().submit(own, self.keys(), self.origin.code())

    def test_a_receipt_holds_later_without_a_server(self):
        done = self.reporter().submit(self.own, self.keys(), self.origin.code())
        request = self.origin.opened[-1]
        own = reports.Own(SERVICE, 1, self.own.report, 1, request.content(SERVICE, 1), done.answer.verdicts)
        vouched = done.delegation[:80], done.delegation[80:]
        signed = done.answer.receipt, done.answer.signatures
        self.assertEqual(reports.verify_receipt_of(*signed, *vouched, self.world.trust, own), done.receipt)

    def rotate(self):
        stolen = self.world.online, self.world.delegation
        self.world.online = Ed25519PrivateKey.from_private_bytes(self.world.bytes(32))
        self.world.epoch += 1
        self.world.delegate()
        return stolen

    def test_a_receipt_of_the_next_epoch_is_verified(self):
        r = self.reporter()
        r.submit(self.own, self.keys(), self.origin.code())
        self.rotate()  # and no release yet: the newest checkpoint is of the epoch before
        self.assertEqual(r.cancel(self.own).receipt.epoch, 2)
        self.assertEqual(r.client.verifier.accepted.epoch, 1)
        self.world.release()
        self.assertEqual(r.cancel(self.own).receipt.epoch, 2)

    def test_a_receipt_of_an_epoch_before_is_told_again_and_verified(self):
        code = self.origin.code()
        done = self.reporter().submit(self.own, self.keys(), code)
        self.rotate()
        self.world.release()
        self.rotate()
        self.world.release()
        r = self.reporter()
        again = r.submit(self.own, self.keys(), code)
        self.assertEqual((again.receipt, again.delegation), (done.receipt, done.delegation))
        self.assertEqual((again.receipt.epoch, r.client.verifier.accepted.epoch), (1, 3))
        r.client.checkpoint()
        self.assertEqual(r.client.verifier.delegation.epoch, 3)

    def test_a_stolen_key_that_was_replaced_signs_no_receipt_of_today(self):
        online, delegation = self.rotate()
        self.world.release(seconds=7_300)
        roots = trust.sign(trust.DELEGATION_CONTEXT, delegation, self.world.roots)
        strangers = trust.sign(trust.DELEGATION_CONTEXT, delegation, [online, online])

        def forged(signed, when, epoch=1):
            def twist(answer):
                receipt = reports.parse_receipt(answer.receipt)._replace(epoch=epoch, time=when).pack()
                return answer._replace(
                    receipt=receipt,
                    signatures=trust.sign(reports.RECEIPT_CONTEXT, receipt, [online]),
                    delegation=delegation,
                    delegation_signatures=signed,
                )

            return twist

        since = trust.parse_delegation(self.world.delegation).not_before + 7_200
        for twist, reason in (
            (forged(roots, since + 1), "superseded"),
            (forged(roots, since + 1, 2), "epoch"),
            (forged(strangers, since), "threshold"),
            (forged(roots, since), None),  # dated back: 6.4.6
        ):
            self.origin.twist = twist
            own = reporter.Own.fresh()
            if reason is None:
                self.assertEqual(self.reporter().submit(own, self.keys(), self.origin.code()).receipt.epoch, 1)
                continue
            with self.assertRaises(trust.TrustError) as e:
                self.reporter().submit(own, self.keys(), self.origin.code())
            self.assertEqual(e.exception.reason, reason)

    def test_a_receipt_without_its_delegation_is_none(self):
        self.origin.twist = lambda a: a._replace(delegation=b"", delegation_signatures=b"")
        with self.assertRaises(cl.Failed):
            self.reporter().submit(self.own, self.keys(), self.origin.code())


class CommandTest(ReportTest):
    def setUp(self):
        super().setUp()
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.write("trust.json", trust.trust_json(self.world.trust))
        self.keys_file = self.write_keys("keys.json", self.keys() + [Key(b"o" * 16, 1, 144, 3)])

    def write(self, name, document):
        path = os.path.join(self.folder.name, name)
        with open(path, "w", encoding="utf-8") as f:
            json.dump(document, f)
        return path

    def write_keys(self, name, keys):
        listed = [
            {
                "key": base64.b64encode(k.key).decode(),
                "rollingStartNumber": k.start,
                "rollingPeriod": k.period,
                "transmissionRisk": k.risk,
            }
            for k in keys
        ]
        return self.write(name, {"temporaryExposureKeys": listed})

    def run_command(self, *args):
        out, err = io.StringIO(), io.StringIO()
        before = ["--server", "127.0.0.1:%d" % self.tls.port, "--transport", "tls", "--trust"]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = cli.main([*before, os.path.join(self.folder.name, "trust.json"), *args])
            except SystemExit as e:
                code = e.code
        text = out.getvalue()
        return code, json.loads(text) if text else None

    def test_the_whole_life(self):
        # The command line has no clock to set: it goes by the newest signed time (4.2.1).
        code = self.origin.code()
        args = ["submit", "--code", code.lower(), "--keys", self.keys_file, "--onset", "2027-01-12"]
        exit_code, out = self.run_command(*args)
        self.assertEqual(exit_code, 0, out)
        self.assertEqual((out["seq"], out["durability"], out["state"]), (101, 1, "accepted"))
        self.assertEqual([v["accepted"] for v in out["verdicts"]], [True] * 3 + [False])
        self.assertEqual(out["verdicts"][3]["reason"], "expired")
        self.assertIsNone(out["verdicts"][0]["reason"])
        self.assertEqual(base64.b64decode(out["verdicts"][0]["key"]), self.keys()[0].key)
        self.assertEqual([len(out[x]) for x in ("receipt", "signatures", "delegation")], [256, 160, 472])
        self.assertEqual(self.origin.opened[-1].onset, 20_465 + 365)
        own = [out["report"], "--secret", out["secret"]]
        again = self.run_command(*args, "--report-id", own[0], "--secret", own[2])
        self.assertEqual(again, (0, out))
        exit_code, status = self.run_command("report-status", *own)
        self.assertEqual((exit_code, status["state"], status["keys"]), (0, "accepted", 3))
        more = self.write_keys("more.json", self.keys(2, b"more"))
        exit_code, out = self.run_command("report-amend", *own, "--keys", more)
        self.assertEqual((exit_code, out["seq"], out["keys"]), (0, 102, 5))
        exit_code, out = self.run_command("report-cancel", *own)
        self.assertEqual((exit_code, out["state"], out["withdrawn"]), (0, "withdrawn", 5))
        exit_code, out = self.run_command("report-cancel", own[0], "--secret", "00" * 32)
        self.assertEqual((exit_code, out["outcome"]), (4, "REPORT"))
        self.assertEqual(self.run_command("submit", "--dummy"), (0, {"dummy": True, "outcome": "UNKNOWN"}))

    def test_what_is_refused_and_what_is_wrong(self):
        code = self.origin.code()
        old = self.write_keys("old.json", [Key(b"o" * 16, 1, 144)])
        exit_code, out = self.run_command("submit", "--code", code, "--keys", old)
        self.assertEqual((exit_code, out["outcome"]), (4, "NOTHING"))
        self.assertEqual([v["reason"] for v in out["verdicts"]], ["expired"])
        self.origin.twist = lambda a: a._replace(signatures=b"")
        exit_code, out = self.run_command("submit", "--code", code, "--keys", self.keys_file)
        self.assertEqual(exit_code, 1)
        self.origin.twist = None
        again = ["--report-id", out["report"], "--secret", out["secret"]]
        exit_code, out = self.run_command("submit", "--code", code, "--keys", self.keys_file, *again)
        self.assertEqual((exit_code, out["seq"]), (0, 101))
        self.origin.faults = ["REFUSED"]
        exit_code, out = self.run_command("report-status", out["report"], "--secret", out["secret"])
        self.assertEqual((exit_code, out["result"]), (4, "REFUSED"))

    def test_usage(self):
        mixed = self.write_keys("mixed.json", [Key(b"o" * 16, 1, 1), Key(b"o" * 32, 1, 1)])
        many = self.write_keys("many.json", self.keys(37))
        odd = self.write_keys("odd.json", [Key(b"o" * 17, 1, 1)])
        code, keys = ["--code", "0000-0000-0000"], ["--keys", self.keys_file]
        for args in (
            ["submit"],
            ["submit", *code],
            ["submit", *keys],
            ["submit", "--dummy", *code],
            ["submit", "--code", "short", *keys],
            ["submit", *code, "--keys", self.write("none.json", {})],
            ["submit", *code, "--keys", mixed],
            ["submit", *code, "--keys", many],
            ["submit", *code, "--keys", odd],
            ["submit", *code, "--keys", "nowhere.json"],
            ["submit", *code, *keys, "--onset", "12.1.2027"],
            ["submit", *code, *keys, "--secret", "00"],
            ["report-status", "00" * 16],
            ["report-status", "00", "--secret", "00" * 32],
            ["report-amend", "00" * 16, "--secret", "00" * 32],
        ):
            self.assertEqual(self.run_command(*args), (2, None), args)
        self.assertFalse(self.origin.frames)


if __name__ == "__main__":
    unittest.main()
