"""What a client takes over, and what it does not; the command line with it."""

import base64
import contextlib
import io
import json
import os
import tempfile
import unittest
from unittest import mock

from tekd_reference import __main__ as cli
from tekd_reference import client as cl
from tekd_reference import delta, log, manifest, release, trust
from tekd_reference import frame as fr
from tekd_reference import operations as op
from tekd_reference.release import H
from tekd_reference.transport import Tls, Udp, Unreachable
from tests.servers import TlsServer, UdpServer
from tests.world import INCARNATION, SERVICE, Responder, World


class ClientTest(unittest.TestCase):
    schema = 1

    def setUp(self):
        self.world = World(self.schema)
        self.world.release(add=150)
        self.responder = Responder(self.world)
        self.udp = UdpServer(self.responder)
        self.addCleanup(self.udp.close)
        self.tls = TlsServer(self.responder)
        self.addCleanup(self.tls.close)
        self.slept = []

    def client(self, udp=True, tls=True, accepted=trust.Accepted(), clock=None):
        client = cl.Client(
            self.world.trust,
            1,
            Udp("127.0.0.1", self.udp.port, SERVICE, first_delay=0.3) if udp else None,
            Tls("127.0.0.1", self.tls.port, SERVICE, 5) if tls else None,
            accepted,
            clock=clock or (lambda: self.world.time + 10),
            sleep=self.slept.append,
        )
        self.addCleanup(client.close)
        return client

    def empty(self, kind=delta.LIVE_KIND):
        return cl.State(SERVICE, 1, kind)


class SyncTest(ClientTest):
    def test_full_then_current_then_delta(self):
        for udp, tls in ((True, False), (False, True), (True, True)):
            client = self.client(udp, tls)
            first = client.sync(self.empty())
            self.assertEqual((first.mode, first.added, first.removed), ("full", len(self.world.live()), 0))
            again = client.sync(first.state)
            self.assertEqual(
                (again.mode, again.bytes, again.state.entries), ("current", 0, first.state.entries)
            )
            self.world.release(add=12, withdraw=5)
            second = client.sync(again.state)
            self.assertEqual((second.mode, second.added, second.removed), ("delta", 12, 5))
            self.assertEqual(list(second.state.entries), self.world.live())
            full = client.sync(second.state, full=True)
            self.assertEqual((full.mode, full.added), ("full", len(self.world.live())))

    def test_history_and_its_log(self):
        client = self.client()
        state = self.empty(delta.HISTORY_KIND)
        for _ in range(4):
            self.world.release(add=5, withdraw=3, reinstate=1)
            state = client.sync(state).state
            self.assertEqual(list(state.entries), self.world.histories[self.world.version])
            self.assertEqual(list(state.leaves), self.world.leaves()[:-1])

    def test_a_wrong_delta_is_made_good_by_the_full_set(self):
        client = self.client()
        state = client.sync(self.empty()).state
        self.world.release(add=12, withdraw=5)
        self.responder.garble = "delta"
        result = client.sync(state)
        self.assertEqual(result.mode, "full")
        self.assertEqual(list(result.state.entries), self.world.live())

    def test_nothing_wrong_is_taken_over(self):
        for garble in ("object", "part", "length", "checkpoint"):
            client = self.client()
            self.responder.garble = garble
            before = self.responder.asked.count("FETCH")
            with self.assertRaises(cl.WRONG):
                client.sync(self.empty())
            if garble == "length":  # 3.8.12: refused unread
                self.assertEqual(self.responder.asked.count("FETCH"), before)

    def test_a_full_is_tried_once(self):
        client = self.client()
        state = client.sync(self.empty()).state
        self.world.release(add=5)
        self.responder.garble = "object"
        self.responder.asked.clear()
        with self.assertRaises(cl.WRONG):
            client.sync(state)
        self.assertEqual(self.responder.asked.count("SYNC"), 2)

    def test_pending_is_waited_for_and_not_for_ever(self):
        client = self.client()
        self.world.wait = 50_000
        self.responder.refuse["SYNC"] = [fr.PENDING, fr.PENDING]
        self.assertEqual(client.sync(self.empty()).mode, "full")
        self.assertEqual(self.slept, [60, 60])  # 4.5.1
        self.responder.refuse["SYNC"] = [fr.PENDING] * 100
        with self.assertRaises(cl.Refused):
            client.sync(self.empty())

    def test_a_server_that_moves_on_is_followed(self):
        client = self.client()
        release_between = [3]
        respond = self.responder.respond

        def moving(question, *rest):
            if question.operation == op.SYNC and release_between[0]:
                release_between[0] -= 1
                self.world.release(add=1)
            return respond(question, *rest)

        self.responder.respond = moving
        release_between[0] = 2
        self.assertEqual(client.sync(self.empty()).state.version, self.world.version)
        release_between[0] = 3
        with self.assertRaises(cl.Failed):
            client.sync(self.empty())  # 4.3.2

    def test_a_long_object_in_many_parts(self):
        self.responder.part = 100
        self.assertEqual(self.client().sync(self.empty()).mode, "full")

    def test_a_set_that_needs_a_stream(self):
        self.responder.stream_only = ("FETCH",)
        self.assertEqual(self.client().sync(self.empty()).mode, "full")
        with self.assertRaises(Unreachable):
            self.client(tls=False).sync(self.empty())

    def test_where_udp_is_silent_the_stream_takes_over(self):
        self.udp.twist = lambda question, answer: []
        client = self.client()
        client._datagrams.delay = 0.05
        before = len(self.udp.questions)
        self.assertEqual(client.sync(self.empty()).mode, "full")
        self.assertEqual(len(self.udp.questions) - before, 3)

    def test_the_empty_set(self):
        world = World()
        world.release()
        self.world = self.responder.world = world
        result = self.client().sync(self.empty())
        self.assertEqual((result.mode, result.state.entries), ("full", ()))


class LongKeysTest(SyncTest):
    schema = 3


class QuestionsTest(ClientTest):
    def test_buckets_are_proved(self):
        client = self.client()
        live = self.world.live()
        b = self.world.checkpoint.b
        for bits in range(b + 1):
            for prefix in {0, 1 << bits >> 1, (1 << bits) - 1}:
                got = client.bucket(bits, prefix).entries
                self.assertEqual(got, release.under(live, bits, prefix))
        with self.assertRaises(cl.Refused) as caught:
            client.bucket(b + 1, 0)
        self.assertEqual(caught.exception.result, fr.RANGE)
        self.responder.garble = "bucket"
        with self.assertRaises(cl.Failed):
            client.bucket(0, 0)

    def test_lookup_of_each_schema(self):
        for schema in release.SCHEMAS:
            self.world = self.responder.world = World(schema)
            self.world.release(add=10)
            entry = self.world.live()[3]
            key = entry[: self.world.schema.key_len]
            absent = bytes(self.world.schema.key_len)
            found, missed = self.client().lookup([key, absent]).slots
            self.assertEqual(found.entry(self.world.schema), entry)
            self.assertIsNone(missed.fields)

    def test_proofs(self):
        for _ in range(6):
            self.world.release(add=1)
        client = self.client()
        size = self.world.checkpoint.log_size
        leaves = self.world.leaves()
        for i in range(size):
            self.assertTrue(client.proof(op.INCLUSION, i, size, leaf=leaves[i]).verified)
        self.assertTrue(client.proof(op.CONSISTENCY, 3, size, old_root=log.root(leaves[:3])).verified)
        self.assertFalse(client.proof(op.INCLUSION, 1, 3, leaf=leaves[1]).verified)  # no root to hold it to
        with self.assertRaises(cl.Failed):
            client.proof(op.INCLUSION, 1, size, leaf=leaves[2])
        with self.assertRaises(cl.Refused):
            client.proof(op.INCLUSION, size, size)

    def test_manifest_and_ages(self):
        client = self.client()
        self.assertEqual(client.manifest(), self.world.manifest)
        self.assertEqual((client.too_old_s, client.interval_s), (86_400, 900))
        before = self.world.manifest
        self.world.manifest = self.world.make_manifest(2)
        with self.assertRaises(cl.Failed):
            client.manifest()
        # A newer one was issued, and no release names it yet.
        self.responder.objects[H(before)] = before
        self.responder.part = 100
        self.assertEqual(client.manifest(), before)
        self.responder.objects[H(before)] = self.world.manifest
        with self.assertRaises(cl.Failed):
            client.manifest()
        self.responder.objects[H(before)] = bytes(manifest.MANIFEST_MAX + 1)
        with self.assertRaises(cl.Failed):
            client.manifest()

    def test_how_old_is_too_old(self):
        for later, state in (
            (0, "fresh"),
            (1800, "fresh"),
            (1801, "stale"),
            (604_800, "stale"),
            (604_801, "too-old"),
        ):
            client = self.client(clock=lambda: self.world.time + later)
            self.assertEqual(client.age(client.checkpoint()), (later, state))
        client = self.client(clock=lambda: 0)  # a clock that is behind what was signed
        self.assertEqual(client.age(client.checkpoint()), (0, "fresh"))

    def test_refusals(self):
        client = self.client()
        for result in (fr.BUSY, fr.UNAVAILABLE, fr.REFUSED):
            self.responder.refuse["CHECKPOINT"] = [result]
            with self.assertRaises(cl.Refused) as caught:
                client.checkpoint()
            self.assertEqual(caught.exception.result, result)


class StateTest(ClientTest):
    def test_saved_and_loaded(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "state")
            self.assertEqual(cl.State.load(path, SERVICE, 1, 1), self.empty())
            state = self.client().sync(self.empty()).state
            state.save(path)
            self.assertEqual(cl.State.load(path, SERVICE, 1, 1), state)
            self.assertEqual(os.listdir(folder), ["state"])
            for service, set_id, kind in ((bytes(8), 1, 1), (SERVICE, 2, 1), (SERVICE, 1, 2)):
                with self.assertRaises(cl.Failed):
                    cl.State.load(path, service, set_id, kind)

    def test_an_interruption_leaves_the_old_state(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "state")
            self.empty().save(path)
            with open(path, encoding="utf-8") as f:
                before = f.read()
            with mock.patch("os.replace", side_effect=OSError("interrupted")):
                with self.assertRaises(OSError):
                    self.client().sync(self.empty()).state.save(path)
            with open(path, encoding="utf-8") as f:
                self.assertEqual(f.read(), before)
            self.assertEqual(os.listdir(folder), ["state"])

    def test_damage_is_found(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "state")
            self.client().sync(self.empty()).state.save(path)
            with open(path, encoding="utf-8") as f:
                document = json.load(f)
            for name, value in (
                ("entries", ""),
                ("version", "x"),
                ("schema", 9),
                ("epoch", None),
                ("checkpoint", ""),
            ):
                with open(path, "w", encoding="utf-8") as f:
                    json.dump(dict(document, **{name: value}), f)
                with self.assertRaises(cl.Failed):
                    cl.State.load(path, SERVICE, 1, 1).accepted.checkpoint


class CommandTest(ClientTest):
    def setUp(self):
        super().setUp()
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.trust_file = self.path("trust.json")
        with open(self.trust_file, "w", encoding="utf-8") as f:
            json.dump(trust.trust_json(self.world.trust), f)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def run_command(self, *args, server=None, before=()):
        out, err = io.StringIO(), io.StringIO()
        servers = ["--server", server or "127.0.0.1:%d" % self.udp.port]
        servers += ["--tls-server", "127.0.0.1:%d" % self.tls.port]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = cli.main([*servers, "--trust", self.trust_file, *before, *args])
            except SystemExit as e:
                code = e.code
        text = out.getvalue()
        return code, json.loads(text) if text else None

    def test_info_and_checkpoint(self):
        self.world.wait = 17
        code, out = self.run_command("info")
        self.assertEqual(code, 0)
        self.assertEqual(out, {"version": 1, "node": 12, "sets": [{"set": 1, "serial": 1}], "min_wait_s": 17})
        code, out = self.run_command("checkpoint")
        self.assertEqual(code, 0)
        self.assertEqual((out["serial"], out["verified"], out["live"]), (1, True, len(self.world.live())))
        self.assertRegex(out["time"], r"^2027-01-15T\d\d:\d\d:\d\dZ$")
        self.assertEqual(out["root"], self.world.checkpoint.root.hex())

    def test_keys_out(self):
        code, out = self.run_command("sync", "--state", self.path("state"), "--keys-out", self.path("keys"))
        self.assertEqual((code, out["mode"], out["from"], out["to"]), (0, "full", 0, 1))
        with open(self.path("keys"), encoding="utf-8") as f:
            lines = [json.loads(line) for line in f]
        live = self.world.live()
        self.assertEqual([base64.b64decode(x["key"]) for x in lines], [e[:16] for e in live])
        self.assertEqual(lines[0], release.entry_json(self.world.schema, live[0]))
        self.world.release(add=8, withdraw=2)
        code, out = self.run_command("sync", "--state", self.path("state"))
        self.assertEqual((code, out["mode"], out["from"], out["to"], out["added"]), (0, "delta", 1, 2, 8))
        code, out = self.run_command("sync", "--state", self.path("state"))
        self.assertEqual((code, out["mode"], out["bytes"]), (0, "current", 0))
        code, out = self.run_command("sync", "--state", self.path("state"), "--full")
        self.assertEqual((code, out["mode"], out["live"]), (0, "full", len(self.world.live())))

    def test_lookup_and_bucket(self):
        entry = self.world.live()[0]
        for key in (base64.b64encode(entry[:16]).decode(), entry[:16].hex()):
            code, out = self.run_command("lookup", key)
            self.assertEqual(code, 0)
            self.assertEqual((out["present"], out["serial"], out["proved"]), (True, 1, False))
            self.assertEqual(out["key"], release.entry_json(self.world.schema, entry))
        code, out = self.run_command("lookup", "00" * 16)
        self.assertEqual(out["key"], None)
        prefix = entry[:2].hex() + "/4"
        code, out = self.run_command("bucket", prefix)
        self.assertEqual((code, out["prefix"]), (0, "%02x/4" % (entry[0] & 0xF0)))
        self.assertIn(release.entry_json(self.world.schema, entry), out["keys"])
        code, out = self.run_command("bucket", "/0")
        self.assertEqual(len(out["keys"]), len(self.world.live()))

    def test_manifest_proof_and_history(self):
        code, out = self.run_command("manifest")
        self.assertEqual((code, out["interval_s"], out["verified"]), (0, 900, True))
        self.assertEqual(self.run_command("sync", "--state", self.path("state"))[0], 0)
        for _ in range(4):
            self.world.release(add=1)
        for kind in ("inclusion", "consistency"):  # from the checkpoint that the state knows
            code, out = self.run_command("proof", kind, "0", "4", "--state", self.path("state"))
            self.assertEqual((code, out["verified"]), (0, True), out)
        code, out = self.run_command("proof", "inclusion", "2", "4", "--leaf", self.world.leaves()[2].hex())
        self.assertEqual((code, out["verified"]), (0, True))
        code, out = self.run_command("history", "--state", self.path("history"))
        self.assertEqual((code, out["mode"], out["leaves"]), (0, "full", 4))
        self.world.release(add=1, withdraw=1)
        code, out = self.run_command("history", "--state", self.path("history"))
        self.assertEqual((code, out["mode"], out["leaves"]), (0, "delta", 5))

    def test_exit_codes(self):
        wrong = [["lookup", "x"], ["bucket", "zz/4"], ["bucket", "00/9"], ["nothing"], []]
        wrong += [["proof", "inclusion", "x", "1"], ["info", "--set", "2"]]
        for args in wrong:
            self.assertEqual(self.run_command(*args), (2, None), args)
        self.assertEqual(self.run_command("info", before=["--set", "2"])[0], 2)
        self.assertEqual(self.run_command("info", before=["--trust", self.path("none")])[0], 2)
        self.assertEqual(self.run_command("info", server="host:x")[0], 2)
        self.assertEqual(self.run_command("manifest", before=["--transport", "udp"])[0], 3)
        self.assertEqual(self.run_command("info", server="127.0.0.1:1", before=["--transport", "tls"])[0], 0)
        self.responder.refuse["CHECKPOINT"] = [fr.BUSY]
        code, out = self.run_command("checkpoint")
        self.assertEqual((code, out["result"]), (4, "BUSY"))
        self.responder.garble = "checkpoint"
        code, out = self.run_command("checkpoint")
        self.assertEqual(code, 1)
        self.assertIn("error", out)

    def test_what_was_accepted_is_kept_when_the_set_is_not(self):
        self.run_command("sync", "--state", self.path("state"))
        old = cl.State.load(self.path("state"), SERVICE, 1, 1)
        self.world.release(add=1)
        self.responder.garble = "object"
        self.assertEqual(self.run_command("sync", "--state", self.path("state"))[0], 1)
        new = cl.State.load(self.path("state"), SERVICE, 1, 1)
        self.assertEqual((new.version, new.entries), (old.version, old.entries))
        self.assertEqual(new.accepted.checkpoint, self.world.checkpoint)
        self.responder.garble = None
        code, out = self.run_command("sync", "--state", self.path("state"))
        self.assertEqual((code, out["from"], out["to"]), (0, 1, 2))

    def test_evidence_is_kept(self):
        self.run_command("sync", "--state", self.path("state"))
        state = cl.State.load(self.path("state"), SERVICE, 1, 1)
        self.world.checkpoints[-1] = self.world.checkpoint._replace(root=bytes(32)).pack()
        code, out = self.run_command("sync", "--state", self.path("state"))
        self.assertEqual(code, 1)
        with open(self.path("state") + ".evidence", encoding="utf-8") as f:
            evidence = json.load(f)
        held, shown = (base64.b64decode(evidence[x])[:208] for x in ("held", "shown"))
        self.assertEqual(held, state.accepted.answer[:208])
        self.assertNotEqual(held, shown)
        self.assertEqual(trust.parse_checkpoint(shown).version, INCARNATION << 32 | 1)
        self.assertEqual(cl.State.load(self.path("state"), SERVICE, 1, 1), state)


if __name__ == "__main__":
    unittest.main()
