"""UDP and TLS against servers that behave, and servers that do not."""

import ssl
import struct
import unittest

from tekd_reference import frame as fr
from tekd_reference import operations as op
from tekd_reference.transport import NeedsStream, Tls, Udp, Unreachable
from tests.servers import TlsServer, UdpServer
from tests.world import SERVICE, Responder, World


class ServerTest(unittest.TestCase):
    def setUp(self):
        self.world = World()
        self.world.release(add=60)
        self.responder = Responder(self.world)

    def udp(self, twist=None, tries=3, first_delay=0.4):
        server = UdpServer(self.responder, twist)
        self.addCleanup(server.close)
        client = Udp("127.0.0.1", server.port, SERVICE, tries, first_delay)
        self.addCleanup(client.close)
        return server, client

    def tls(self, twist=None, timeout=3.0, **options):
        server = TlsServer(self.responder, twist, **options)
        client = Tls("127.0.0.1", server.port, SERVICE, timeout)
        self.addCleanup(server.close)
        self.addCleanup(client.close)
        return server, client


def headers(questions):
    return [fr.parse(q) for q in questions]


class UdpTest(ServerTest):
    def test_info_is_64_bytes_both_ways_and_brings_a_cookie(self):
        server, client = self.udp()
        self.assertEqual(op.read_info(client.ask(op.info(1))).node, 12)
        self.assertEqual([len(q) for q in server.questions], [64])
        self.assertEqual(client.cookie, self.responder.cookie("127.0.0.1"))
        client.ask(op.checkpoint(1))
        self.assertEqual(len(server.questions[1]), 64)  # the cookie spares the padding
        self.assertEqual(headers(server.questions)[1].cookie, client.cookie)
        client.forget()
        self.assertEqual(client.cookie, 0)

    def test_without_a_cookie_a_question_is_padded(self):
        server, client = self.udp()
        client.ask(op.checkpoint(1))
        self.assertEqual([len(q) for q in server.questions], [fr.UDP_MAX])

    def test_a_server_over_its_limit_asks_for_the_cookie(self):
        self.responder.need_cookie = True
        server, client = self.udp()
        client.ask(op.checkpoint(1))
        first, second = headers(server.questions)
        self.assertEqual(first.cookie, 0)
        self.assertEqual(second.cookie, self.responder.cookie("127.0.0.1"))
        self.assertNotEqual(first.transaction, second.transaction)

    def test_truncated_is_asked_again_with_a_cookie(self):
        """A cookie that is no good any more makes a bare question too short for its answer."""
        server, client = self.udp()
        client.cookie = 5
        client.ask(op.checkpoint(1))
        self.assertEqual([len(q) for q in server.questions], [64, fr.UDP_MAX])
        self.assertEqual(headers(server.questions)[1].cookie, self.responder.cookie("127.0.0.1"))

    def test_what_no_datagram_holds_needs_a_stream(self):
        server, client = self.udp()
        with self.assertRaises(NeedsStream):
            client.ask(op.bucket(1, 0, 0))
        self.assertEqual(len(server.questions), 1)  # the answer's length said so
        with self.assertRaises(NeedsStream):
            client.ask(op.manifest(1))
        self.assertEqual(len(server.questions), 1)  # 1.5.5: not even asked
        self.responder.stream_only = ("SYNC",)
        with self.assertRaises(NeedsStream):
            client.ask(op.sync(1, 0))

    def test_a_server_that_truncates_forever(self):
        def twist(question, answer):
            q = fr.parse(question)
            return [op.refusal(q, fr.Refusal(fr.TRUNCATED, struct.pack("<I", 100)), 7)]

        server, client = self.udp(twist)
        with self.assertRaises(NeedsStream):
            client.ask(op.checkpoint(1))
        self.assertEqual(len(server.questions), 2)

    def test_a_cookie_that_is_never_good(self):
        def twist(question, answer):
            return [op.refusal(fr.parse(question), fr.Refusal(fr.COOKIE), 7)]

        server, client = self.udp(twist)
        self.assertEqual(client.ask(op.checkpoint(1)).result, fr.COOKIE)
        self.assertEqual(len(server.questions), 2)

    def test_lost_datagrams_are_sent_again_under_new_transactions(self):
        lost = []

        def twist(question, answer):
            if len(lost) < 2:
                lost.append(question)
                return []
            return [answer]

        server, client = self.udp(twist, first_delay=0.1)
        client.ask(op.info(1))
        self.assertEqual(len(server.questions), 3)
        self.assertEqual(len({h.transaction for h in headers(server.questions)}), 3)

    def test_a_late_answer_to_an_earlier_datagram_counts(self):
        late = []

        def twist(question, answer):
            late.append(answer)
            return [late[0]] if len(late) == 2 else []

        server, client = self.udp(twist, first_delay=0.1)
        client.ask(op.info(1))
        self.assertEqual(len(server.questions), 2)

    def test_after_three_questions_it_gives_up(self):
        server, client = self.udp(lambda question, answer: [], first_delay=0.05)
        with self.assertRaises(Unreachable):
            client.ask(op.info(1))
        self.assertEqual(len(server.questions), 3)

    def test_only_a_verified_answer_shortens_the_delay(self):
        silent = [True]
        server, client = self.udp(lambda question, answer: [] if silent[0] else [answer], first_delay=0.05)
        with self.assertRaises(Unreachable):
            client.ask(op.info(1))
        self.assertAlmostEqual(client.delay, 0.05 * 1.5**3)
        silent[0] = False
        client.ask(op.info(1))
        self.assertAlmostEqual(client.delay, 0.05 * 1.5**3)
        client.verified()
        self.assertEqual(client.delay, 0.05)

    def test_nobody_at_the_port(self):
        server, client = self.udp(first_delay=0.05)
        server.close()
        with self.assertRaises(Unreachable):
            client.ask(op.info(1))

    def test_answers_that_are_not_for_the_question_are_passed_over(self):
        """4.5.4 and 1.1.4, one after the other, and then the answer itself."""

        def twist(question, answer):
            frame = fr.parse(answer)

            def changed(**fields):
                other = fr.parse(answer)
                for name, value in fields.items():
                    setattr(other, name, value)
                return other.pack()

            return [
                b"",
                answer[:63],
                answer + b"\0",
                bytes((0x41,)) + answer[1:],
                changed(transaction=frame.transaction ^ 1),
                changed(service=bytes(8)),
                changed(set=2),
                changed(operation=op.SYNC),
                changed(answer=False),
                question,
                answer,
            ]

        server, client = self.udp(twist)
        frame = client.ask(op.info(1))
        self.assertEqual(op.read_info(frame).node, 12)
        self.assertEqual(len(server.questions), 1)

    def test_a_server_of_another_version(self):
        """1.1.6: the set is zero there, and the answer is heard all the same."""

        def twist(question, answer):
            refusal = fr.Refusal(fr.BAD_VERSION, b"\x02")
            return [op.refusal(fr.parse(question), refusal)]

        server, client = self.udp(twist)
        frame = client.ask(op.info(1))
        self.assertEqual((frame.result, frame.set, frame.detail[0]), (fr.BAD_VERSION, 0, 2))

    def test_critical_tlvs_of_an_answer_end_the_question(self):
        def twist(question, answer):
            frame = fr.parse(answer)
            frame.rest += fr.pack_tlv(77, b"", critical=True)
            return [frame.pack()]

        server, client = self.udp(twist)
        with self.assertRaises(fr.FrameError):
            op.read_info(client.ask(op.info(1)))


class TlsTest(ServerTest):
    def test_answers_over_one_connection(self):
        server, client = self.tls()
        for _ in range(3):
            self.assertEqual(op.read_info(client.ask(op.info(1))).node, 12)
        self.assertEqual(op.read_manifest(client.ask(op.manifest(1))), self.world.manifest)
        self.assertEqual(server.connections, 1)

    def test_frames_in_pieces_and_several_in_one(self):
        def twist(question, answer):
            other = fr.parse(answer)
            other.transaction ^= 1
            both = other.pack() + answer  # the first answers nothing that was asked
            return [both[:1], both[1:70], both[70:]]

        server, client = self.tls(twist)
        self.assertEqual(op.read_info(client.ask(op.info(1))).node, 12)
        client.ask(op.bucket(1, 0, 0))

    def test_a_padded_bucket(self):
        server, client = self.tls()
        frame = client.ask(op.bucket(1, 1, 1))
        self.assertEqual(frame.length % 8192, 0)
        self.assertTrue(op.read_bucket(frame, op.bucket(1, 1, 1), 24).entries)

    def test_bytes_that_begin_no_frame_end_the_connection(self):
        bad = [
            lambda answer: bytes((0x01,)) + answer[1:],
            lambda answer: answer[:4] + struct.pack("<I", 63) + answer[8:],
            lambda answer: answer[:4] + struct.pack("<I", fr.STREAM_ANSWER_MAX + 1) + answer[8:],
        ]
        for spoil in bad:
            server, client = self.tls(lambda question, answer, spoil=spoil: [spoil(answer)])
            with self.assertRaises(Unreachable):
                client.ask(op.info(1))

    def test_a_connection_that_ends_within_a_frame(self):
        server, client = self.tls(lambda question, answer: [answer[:40]], one_question=True)
        with self.assertRaises(Unreachable):
            client.ask(op.info(1))

    def test_a_connection_that_was_closed_meanwhile_is_made_anew(self):
        server, client = self.tls(one_question=True)
        for _ in range(3):
            self.assertEqual(op.read_info(client.ask(op.info(1))).node, 12)
        self.assertEqual(server.connections, 3)

    def test_silence(self):
        server, client = self.tls(lambda question, answer: [], timeout=0.3)
        with self.assertRaises(Unreachable):
            client.ask(op.info(1))

    def test_another_service_is_another_server(self):
        server, client = self.tls(timeout=0.3)
        client.service = bytes(8)
        with self.assertRaises(Unreachable):
            client.ask(op.info(1))

    def test_a_server_of_another_protocol(self):
        server, client = self.tls(alpn="http/1.1")
        with self.assertRaises(Unreachable):
            client.ask(op.info(1))

    def test_tls_1_2_is_not_enough(self):
        server, client = self.tls(maximum=ssl.TLSVersion.TLSv1_2)
        with self.assertRaises(Unreachable):
            client.ask(op.info(1))


if __name__ == "__main__":
    unittest.main()
