"""Single parts, against what can be known without another implementation."""

import hashlib
import json
import random
import struct
import unittest

from tekd_reference import delta, log, manifest, release, transport, trust
from tekd_reference import frame as fr
from tekd_reference import operations as op
from tekd_reference.release import LIVE, SCHEMAS, Fields
from tests.world import SERVICE, TIME, Responder, World, public


class FrameTest(unittest.TestCase):
    def test_header_is_the_table_of_1_1_2(self):
        data = op.sync(7, 5, history=True).pack(SERVICE, 0x0807060504030201, cookie=9, max_answer=512)
        self.assertEqual(data[:2], b"\x81\x05")
        self.assertEqual(data[2:4], b"\x01\x00")
        self.assertEqual(data[4:8], b"\x40\0\0\0")
        self.assertEqual(data[8:16], SERVICE)
        self.assertEqual(data[16:24], bytes(range(1, 9)))
        self.assertEqual(data[24:32], struct.pack("<Q", 9))
        self.assertEqual(data[32:36], struct.pack("<I", 7))
        self.assertEqual(data[36:38], struct.pack("<H", 512))
        self.assertEqual(data[40:48], struct.pack("<Q", 5))
        self.assertEqual(fr.parse(data, SERVICE).pack(), data)

    def test_every_question_reads_back_on_its_transport(self):
        questions = [
            op.info(1),
            op.checkpoint(1),
            op.lookup(1, [bytes(16)] * 32),
            op.lookup(1, [bytes(32)] * 24),
        ]
        questions += [
            op.bucket(1, 5, 3, 2),
            op.sync(1, 9),
            op.fetch(1, bytes(32), 1, 2),
            op.proof(1, 1, 2, 3),
        ]
        for q in questions:
            for pad in (0, fr.UDP_MAX):
                data = q.pack(SERVICE, 1, pad_to=pad)
                frame, body, _ = op.read_question(data, SERVICE, stream=False)
                self.assertEqual((frame.operation, body), (q.operation, q.body))
                if pad:
                    self.assertIn(len(data), (fr.UDP_MAX, fr.UDP_MAX))

    def test_keys_that_do_not_fit_one_lookup(self):
        for keys in ([], [bytes(16)] * 33, [bytes(32)] * 25, [bytes(16), bytes(32)], [bytes(15)]):
            with self.assertRaises((ValueError, IndexError)):
                op.lookup(1, keys)

    def test_siphash_and_cookies(self):
        key = bytes(range(16))
        self.assertEqual(fr.siphash24(key, b""), 0x726FDB47DD0E0E31)  # of the reference of SipHash
        self.assertEqual(fr.siphash24(key, bytes(range(15))), 0xA129CA6149BE45E5)
        v4 = fr.cookie(bytes(32), SERVICE, 1, bytes((192, 0, 2, 1)))
        mapped = bytes(10) + b"\xff\xff" + bytes((192, 0, 2, 1))
        self.assertEqual(fr.cookie(bytes(32), SERVICE, 1, mapped), v4)
        self.assertNotEqual(fr.cookie(bytes(32), SERVICE, 2, mapped), v4)

    def test_any_cut_and_any_bit_is_read_or_refused(self):
        """Bytes from outside raise FrameError and nothing else."""
        world = World()
        world.release(add=60)
        responder = Responder(world)
        dice = random.Random(2)
        for q in (op.info(1), op.checkpoint(1), op.bucket(1, 2, 1), op.sync(1, 0), op.lookup(1, [bytes(16)])):
            data = responder.answer(q.pack(SERVICE, 5), True)
            for _ in range(300):
                twisted = bytearray(data[: dice.randrange(64, len(data) + 1)])
                for _ in range(dice.randrange(3)):
                    twisted[dice.randrange(len(twisted))] ^= 1 << dice.randrange(8)
                struct.pack_into("<I", twisted, 4, len(twisted))
                try:
                    frame = op.answers(bytes(twisted), SERVICE, q, (5,), stream=True)
                    if frame.result == fr.OK:
                        {
                            op.INFO: lambda: op.read_info(frame),
                            op.CHECKPOINT: lambda: op.read_checkpoint(frame),
                            op.BUCKET: lambda: op.read_bucket(frame, q, 24),
                            op.SYNC: lambda: op.read_sync(frame, q),
                            op.LOOKUP: lambda: op.read_lookup(frame, q),
                        }[q.operation]()
                except fr.FrameError:
                    pass


class ReleaseTest(unittest.TestCase):
    def test_root_by_the_definition(self):
        """The tree, once more and as slowly as 3.3 says it."""
        dice = random.Random(3)
        for n in (0, 1, 7, 8, 9, 40, 200):
            entries = sorted(dice.getrandbits(192).to_bytes(24, "big") for _ in range(n))
            b = 0 if n < 8 else len(bin(n)) - 3 - 2

            def node(depth, prefix):
                if depth == b:
                    part = [e for e in entries if int.from_bytes(e[:16], "big") >> (128 - b) == prefix]
                    return hashlib.sha256(
                        struct.pack("<BBII", 0, b, prefix, len(part)) + b"".join(part)
                    ).digest()
                return hashlib.sha256(
                    b"\1" + node(depth + 1, 2 * prefix) + node(depth + 1, 2 * prefix + 1)
                ).digest()

            self.assertEqual(release.root(entries), node(0, 0))

    def test_buckets_lead_to_the_root_or_to_what_is_held(self):
        dice = random.Random(4)
        entries = sorted(dice.getrandbits(192).to_bytes(24, "big") for _ in range(300))
        b = release.depth(300)
        for bits in range(b + 1):
            prefix = dice.randrange(1 << bits)
            part = release.under(entries, bits, prefix)
            node = release.subtree(part, b, bits, prefix)
            for held in range(bits + 1):
                up = release.siblings(entries, bits, prefix, held)
                self.assertEqual(len(up), bits - held)
                top = prefix >> (bits - held)
                want = release.subtree(release.under(entries, held, top), b, held, top)
                self.assertEqual(release.climb(node, bits, prefix, up), want)

    def test_horizon(self):
        self.assertEqual(release.horizon(TIME, 14), TIME // 600 - 144 * 14)
        self.assertEqual(release.horizon(0, 14), 0)


class LogTest(unittest.TestCase):
    def test_proofs_hold_and_nothing_else_does(self):
        leaves = [log.leaf(bytes([i])) for i in range(20)]
        for n in range(len(leaves) + 1):
            top = log.root(leaves[:n])
            for m in range(n):
                path = log.prove_inclusion(leaves[:n], m)
                self.assertTrue(log.check_inclusion(leaves[m], m, n, path, top))
                self.assertFalse(log.check_inclusion(leaves[m], m + 1, n, path, top))
                self.assertFalse(log.check_inclusion(leaves[m], m, n, path + [top], top))
                if path:
                    self.assertFalse(log.check_inclusion(leaves[m], m, n, path[:-1], top))
                proof = log.prove_consistency(leaves[:n], m)
                old = log.root(leaves[:m])
                self.assertTrue(log.check_consistency(m, n, proof, old, top))
                if m:
                    self.assertFalse(log.check_consistency(m, n, proof, top, top))
                    self.assertFalse(log.check_consistency(m, n, proof[:-1], old, top))
                    self.assertFalse(log.check_consistency(m, n, proof + [old], old, top))


class DeltaTest(unittest.TestCase):
    def test_both_ways_over_many_releases(self):
        for schema in SCHEMAS:
            world = World(schema)
            versions = [0]
            sets, histories = {0: []}, {0: []}
            plan = [(80, 0, 0, 0), (0, 0, 0, 0), (30, 9, 0, 1), (5, 4, 6, 3), (0, 0, 3, 0), (40, 20, 2, 9)]
            plan += [(3, 0, 0, 9), (0, 4, 0, 0), (0, 0, 0, 30), (0, 0, 0, 0), (2, 0, 0, 0)]
            for add, withdraw, reinstate, days in plan:
                world.release(add, withdraw, reinstate, days)
                versions.append(world.version)
                sets[world.version], histories[world.version] = world.live(), world.histories[world.version]
                for start in versions[:-1]:
                    data = world.delta(start)
                    self.assertEqual(delta.apply_live(data, sets[start]), world.live())
                    data = world.delta(start, history=True)
                    got, leaves = delta.apply_history(data, histories[start])
                    self.assertEqual(got, histories[world.version])
                    self.assertEqual(
                        leaves, world.leaves()[release.serial_of(start) - 1 if start else 0 : -1]
                    )
                    limit = delta.length_limit(world.checkpoint.live, world.schema.key_len, 0, 2, len(leaves))
                    self.assertLessEqual(len(data), limit)

    def test_damage_is_an_error_and_nothing_worse(self):
        world = World()
        world.release(add=60)
        base, history = world.live(), world.histories[world.version]
        start = world.version
        world.release(add=40, withdraw=9)
        dice = random.Random(5)
        for kind, data, held in ((1, world.delta(start), base), (2, world.delta(start, True), history)):
            apply = delta.apply_live if kind == 1 else delta.apply_history
            for _ in range(1500):
                twisted = bytearray(data)
                for _ in range(dice.randrange(1, 4)):
                    twisted[dice.randrange(len(twisted))] ^= 1 << dice.randrange(8)
                try:
                    apply(bytes(twisted[: dice.choice((len(twisted), dice.randrange(len(twisted))))]), held)
                except delta.DeltaError:
                    pass

    def test_counts_are_bounded_by_the_bytes_received(self):
        world = World()
        world.release(add=30)
        data = bytearray(world.delta(0))
        for at in (48, 52, 56, 60, 68, 72, 76, 80, 84, 88):
            huge = bytearray(data)
            struct.pack_into("<I", huge, at, 0xFFFFFFFF)
            with self.assertRaises(delta.DeltaError):
                delta.apply_live(bytes(huge), [])

    def test_frequencies_sum_up(self):
        dice = random.Random(6)
        for _ in range(200):
            counts = [dice.choice((1, 1, 2, 50, 3000)) for _ in range(dice.randrange(1, 400))]
            for bits in (16, 18):
                self.assertEqual(sum(delta.frequencies(counts, bits)), 1 << bits)
                self.assertGreaterEqual(min(delta.frequencies(counts, bits)), 1)
        self.assertEqual(delta.frequencies([1] * 65_536, 16), [1] * 65_536)
        self.assertEqual(sum(delta.frequencies([9] + [1] * 65_535, 16)), 65_536)

    def test_a_full_of_many_tuples_has_a_wide_table(self):
        """tests/vectors_release.rs makes the same full and expects the same digest."""
        schema = SCHEMAS[1]

        def history(distinct, period):
            return [
                ((i + 1) * ((1 << 128) // 3001)).to_bytes(16, "big")
                + schema.pack(Fields(3_000_000 + i % distinct, period, 1, 0))
                + struct.pack("<II", 1, LIVE)
                for i in range(3000)
            ]

        for distinct, period, mode in ((1024, 144, 0), (1025, 16_384, 0), (1025, 16_383, 2), (1300, 144, 2)):
            entries = history(distinct, period)
            data = delta.encode_live(schema, SERVICE, 1, 0, 1, 0, entries)
            self.assertEqual(delta.parse(data).header.tuple_mode, mode)
            self.assertEqual(delta.apply_live(data, []), [e[:24] for e in entries])
        self.assertEqual(hashlib.sha256(data).hexdigest(), "7e4d49c5781eee87265cd1392b7ac9e2978c47a86c64f87249297c07fa6943d3")

    def test_a_full_of_many_keys(self):
        dice = random.Random(7)
        schema = SCHEMAS[1]
        history = sorted(
            dice.getrandbits(128).to_bytes(16, "big")
            + schema.pack(Fields(3_000_000 + 144 * dice.randrange(14), 144, 1, dice.randrange(4)))
            + struct.pack("<II", 1, LIVE)
            for _ in range(20_000)
        )
        data = delta.encode_live(schema, SERVICE, 1, 0, 1, 0, history)
        self.assertEqual(delta.apply_live(data, []), [e[:24] for e in history])
        self.assertLess(len(data), 16 * len(history))

    def test_only_withdrawals_of_one_release(self):
        """All serials are equal: the section is empty, and their number is in the header (3.8.8)."""
        world = World()
        world.release(add=20)
        start, base = world.version, world.histories[world.version]
        world.release(withdraw=3)
        data = world.delta(start, history=True)
        header = delta.parse(data).header
        self.assertEqual((header.serial_len, header.serial_bits, header.serial_base), (0, 0, 2))
        self.assertEqual(delta.apply_history(data, base)[0], world.histories[world.version])


class TrustTest(unittest.TestCase):
    ORDER = 2**252 + 27742317777372353535851937790883648493

    def test_strict_verification(self):
        world = World()
        message = b"message"
        good = world.online.sign(message)
        key = public(world.online)
        self.assertTrue(trust.verify(key, message, good))
        s = int.from_bytes(good[32:], "little") + self.ORDER
        self.assertFalse(trust.verify(key, message, good[:32] + s.to_bytes(32, "little")))
        self.assertFalse(trust.verify(key, message, good[:63]))
        self.assertFalse(trust.verify(key, b"other", good))
        # Under a key of small order everything verifies where that is not looked at.
        neutral = (1).to_bytes(32, "little")
        for small in (
            neutral,
            bytes(32),
            (2**255 - 20).to_bytes(32, "little"),
            (2**255 - 18).to_bytes(32, "little"),
        ):
            self.assertFalse(trust.verify(small, message, neutral + bytes(32)))
        # An R of small order: R + [k]A = [S]B with R neutral is made by whoever has the key's scalar.
        self.assertFalse(trust.verify(key, message, neutral + good[32:]))

    def test_points_of_order_eight(self):
        """All eight points of small order, by their y."""
        eight = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
        p = 2**255 - 19
        for y in (0, 1, p - 1, eight, p - eight):
            for sign in (0, 1):
                data = (y | sign << 255).to_bytes(32, "little")
                self.assertFalse(trust._good_point(data))
        self.assertTrue(trust._good_point(public(World().online)))

    def test_verifier_takes_what_is_newer_and_remembers(self):
        world = World()
        world.release(add=10)
        verifier = trust.Verifier(world.trust, 1)
        first = world.answer_body()
        self.assertEqual(verifier.accept(first), world.checkpoint)
        self.assertEqual(verifier.accept(first), world.checkpoint)
        other = world.checkpoint._replace(root=bytes(32))
        with self.assertRaises(trust.EquivocationError) as caught:
            verifier.accept(world.answer_body(other.pack()))
        self.assertEqual(caught.exception.held, first)
        world.release(add=1)
        verifier.accept(world.answer_body())
        with self.assertRaises(trust.TrustError):
            verifier.accept(first)
        self.assertEqual(verifier.accepted.checkpoint, world.checkpoint)

    def test_epochs_rise(self):
        world = World()
        world.release(add=10)
        old = world.answer_body()
        verifier = trust.Verifier(world.trust, 1)
        world.epoch = 2
        world.delegate()
        world.release(add=1)
        verifier.accept(world.answer_body())
        self.assertEqual(verifier.accepted.epoch, 2)
        with self.assertRaises(trust.TrustError) as caught:
            verifier.accept(old)
        self.assertEqual(caught.exception.reason, "epoch-back")

    def test_manifest(self):
        world = World()
        delegation = trust.parse_delegation(world.delegation)
        data = world.manifest
        self.assertEqual(manifest.verify(data, release.H(data), 1, SERVICE).interval_s, 900)
        self.assertEqual(manifest.verify_signed(data, delegation, 1).number, 1)
        with self.assertRaises(trust.TrustError):
            manifest.verify_signed(data, delegation, 1, number=2)
        with self.assertRaises(trust.TrustError):
            manifest.verify(data, bytes(32), 1, SERVICE)
        self.assertEqual(
            manifest.manifest_json(data)["nodes"], [{"transport": "udp", "address": "node.example:8353"}]
        )

    def test_trust_is_read_strictly(self):
        good = trust.trust_json(World().trust)
        self.assertEqual(trust.parse_trust(json.dumps(good)), World().trust)
        wrong = [
            ("format", 2),
            ("format", True),
            ("service", "74656B6431A0B1C2"),
            ("threshold", 0),
            ("threshold", 3),
        ]
        wrong += [
            ("roots", []),
            ("roots", good["roots"][:1]),
            ("roots", good["roots"] * 2),
            ("sets", 1),
            ("sets", [-1]),
        ]
        for member, value in wrong:
            with self.assertRaises(trust.TrustError):
                trust.parse_trust(json.dumps(dict(good, **{member: value})))
        for text in ("", "[]", "null", "{}"):
            with self.assertRaises(trust.TrustError):
                trust.parse_trust(text)


class WaitingTest(unittest.TestCase):
    def test_retries_grow_to_a_day(self):
        delay, waits = 1.0, []
        for _ in range(40):
            wait, delay = transport.next_delay(delay, lambda low, high: high)
            waits.append(wait)
        self.assertEqual(waits[:3], [1.0, 1.5, 2.25])
        self.assertEqual(waits[-1], 86_400)
        self.assertEqual(transport.next_delay(4.0, lambda low, high: low), (2.0, 6.0))

    def test_a_server_cannot_silence_a_client(self):
        self.assertEqual(transport.pause(65_535, 900, False, lambda low, high: 0), 900)
        self.assertEqual(transport.pause(65_535, 10, True, lambda low, high: 0), 60)
        self.assertEqual(transport.pause(5, 900, False, lambda low, high: high), 905)
        self.assertEqual(transport.pause(5, 900, True, lambda low, high: high), 65)

    def test_addresses(self):
        self.assertEqual(transport.parse_address("host"), ("host", 8353))
        self.assertEqual(transport.parse_address("host:1"), ("host", 1))
        self.assertEqual(transport.parse_address("[2001:db8::1]:5"), ("2001:db8::1", 5))
        self.assertEqual(transport.parse_address("[2001:db8::1]"), ("2001:db8::1", 8353))
        for text in ("", ":1", "host:", "host:x", "host:70000"):
            with self.assertRaises(ValueError):
                transport.parse_address(text)


if __name__ == "__main__":
    unittest.main()
