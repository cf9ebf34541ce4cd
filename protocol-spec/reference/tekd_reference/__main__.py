"""The client on the command line: one JSON document on standard output.

Exit codes: 0 done, 1 failed (what came is not what was signed), 2 usage, 3 unreachable, 4 refused.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import datetime
import json
import re
import sys
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from . import client as cl
from . import delta, log, manifest, release, reporter, reports, trust
from . import operations as op
from .release import schema_of, serial_of
from .transport import Tls, Udp, Unreachable, parse_address

DONE, FAILED, USAGE, UNREACHABLE, REFUSED = range(5)


class Usage(Exception):
    pass


def rfc3339(time: int) -> Optional[str]:
    try:
        moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=time)
    except OverflowError:
        return None
    return moment.isoformat(timespec="seconds") + "Z"


def of_bytes(count: int) -> Callable[[str], bytes]:
    """So many bytes in hex."""

    def parse(text: str) -> bytes:
        if not re.fullmatch(r"[0-9a-fA-F]{%d}" % (2 * count), text):
            raise argparse.ArgumentTypeError("not %d hex digits" % (2 * count))
        return bytes.fromhex(text)

    return parse


def parse_day(text: str) -> int:
    try:
        return reporter.day_of(text)
    except ValueError:
        raise argparse.ArgumentTypeError("not YYYY-MM-DD")


def parse_code(text: str) -> str:
    """Opaque (7.8.2), but for what fits a grant."""
    if not 8 <= len(text) <= 24 or not text.isascii():
        raise argparse.ArgumentTypeError("not 8 to 24 ASCII characters")
    return text


def read_keys(path: str) -> List[reports.Key]:
    """The keys a phone hands over, as JSON."""
    try:
        with open(path, encoding="utf-8") as f:
            listed = json.load(f)["temporaryExposureKeys"]
        keys = []
        for k in listed:
            key = base64.b64decode(k["key"], validate=True)
            numbers = k["rollingStartNumber"], k["rollingPeriod"], k.get("transmissionRisk", 0)
            if any(isinstance(n, bool) or not isinstance(n, int) or not 0 <= n < 1 << 32 for n in numbers):
                raise ValueError("a number of a key")
            if len(key) not in (16, 32) or numbers[2] > 255:
                raise ValueError("a key of %d bytes, or its risk" % len(key))
            keys.append(reports.Key(key, *numbers))
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise Usage("keys: %s" % (e or type(e).__name__))
    if len(keys) > reports.MOST_KEYS or len({len(k.key) for k in keys}) > 1:
        raise Usage("keys: more than %d, or of different lengths (7.2.1)" % reports.MOST_KEYS)
    return keys


def parse_key(text: str) -> bytes:
    """A key of 16 or 32 bytes, in standard base64 or in hex."""
    if re.fullmatch(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{64}", text):
        return bytes.fromhex(text)
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        key = b""
    if len(key) not in (16, 32):
        raise Usage("not a key: %s" % text)
    return key


def parse_prefix(text: str) -> Tuple[int, int]:
    """PREFIXHEX/BITS: the bits, and the number they spell."""
    digits, slash, bits_text = text.partition("/")
    if not slash or not re.fullmatch(r"[0-9a-fA-F]*", digits) or not bits_text.isdigit():
        raise Usage("not PREFIXHEX/BITS: %s" % text)
    bits = int(bits_text)
    if bits > release.MAX_DEPTH or len(digits) * 4 < bits:
        raise Usage("not that many bits: %s" % text)
    return bits, int(digits, 16) >> (len(digits) * 4 - bits) if digits else 0


def prefix_text(bits: int, prefix: int) -> str:
    width = (bits + 7) // 8
    return "%s/%d" % ((prefix << (8 * width - bits)).to_bytes(width, "big").hex(), bits)


def parse_digest(text: str) -> bytes:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise argparse.ArgumentTypeError("not 64 hex digits")
    return bytes.fromhex(text)


def whole(text: str) -> int:
    if not text.isdigit() or int(text) >> 64:
        raise argparse.ArgumentTypeError("not a whole number")
    return int(text)


# --- One function per command --------------------------------------------------------------------


def info(client: cl.Client, args: argparse.Namespace) -> Dict[str, Any]:
    result = client.info()
    return {
        "version": result.info.newest,
        "node": result.info.node,
        "sets": [{"set": args.set, "serial": serial_of(result.version)}],
        "min_wait_s": result.wait,
    }


def checkpoint(client: cl.Client, args: argparse.Namespace) -> Dict[str, Any]:
    c = client.checkpoint()
    age, state = client.age(c)
    return {
        "set": c.set,
        "serial": serial_of(c.version),
        "time": rfc3339(c.time),
        "horizon": c.horizon,
        "live": c.live,
        "root": c.root.hex(),
        "verified": True,
        "age_s": age,
        "state": state,
    }


def show_manifest(client: cl.Client, args: argparse.Namespace) -> Dict[str, Any]:
    data = client.manifest()
    out = manifest.manifest_json(data)
    out["time"] = rfc3339(out["time"])
    for key in out["seal_keys"]:
        key["not_before"], key["not_after"] = rfc3339(key["not_before"]), rfc3339(key["not_after"])
    out["verified"] = True
    if args.state:
        state = load_state(args, delta.LIVE_KIND)
        state = cl.replace(state, manifest=data, accepted=client.verifier.accepted)
        state.save(args.state)
    return out


def lookup(client: cl.Client, args: argparse.Namespace) -> Dict[str, Any]:
    result = client.lookup([parse_key(args.key)])
    (slot,) = result.slots
    too_old = client.age(client.verifier.accepted.checkpoint)[1] == "too-old"
    return {
        "present": True if slot.fields else None if too_old else False,  # 4.2.2
        "serial": serial_of(result.version),
        "key": release.entry_json(result.schema, slot.entry(result.schema)) if slot.fields else None,
        "proved": False,
    }


def bucket(client: cl.Client, args: argparse.Namespace) -> Dict[str, Any]:
    bits, prefix = parse_prefix(args.prefix)
    result = client.bucket(bits, prefix)
    state = client.age(result.checkpoint)[1]
    return {
        "prefix": prefix_text(bits, prefix),
        "keys": [release.entry_json(result.schema, e) for e in result.entries],
        "proved": True,
        "serial": serial_of(result.checkpoint.version),
        "state": state,
    }


def _sync(client: cl.Client, args: argparse.Namespace, kind: int) -> cl.SyncResult:
    state = load_state(args, kind)
    try:
        result = client.sync(state, args.full)
    except Exception:
        # The set stays, but what was accepted must not be forgotten (3.5.2, 4.1.1).
        if args.state and client.verifier.accepted != state.accepted:
            cl.replace(state, accepted=client.verifier.accepted).save(args.state)
        raise
    if args.state:
        result.state.save(args.state)
    return result


def sync(client: cl.Client, args: argparse.Namespace) -> Dict[str, Any]:
    result = _sync(client, args, delta.LIVE_KIND)
    if args.keys_out:
        cl.replace_file(
            args.keys_out, cl.keys_json(schema_of(result.checkpoint.schema), result.state.entries)
        )
    age, state = client.age(result.checkpoint)
    return {
        "mode": result.mode,
        "from": serial_of(result.from_version),
        "to": serial_of(result.state.version),
        "added": result.added,
        "removed": result.removed,
        "live": len(result.state.entries),
        "bytes": result.bytes,
        "root": result.root.hex(),
        "verified": True,
        "age_s": age,
        "state": state,
    }


def history(client: cl.Client, args: argparse.Namespace) -> Dict[str, Any]:
    result = _sync(client, args, delta.HISTORY_KIND)
    age, state = client.age(result.checkpoint)
    return {
        "mode": result.mode,
        "from": serial_of(result.from_version),
        "to": serial_of(result.state.version),
        "entries": len(result.state.entries),
        "live": result.checkpoint.live,
        "leaves": len(result.state.leaves),
        "bytes": result.bytes,
        "root": result.root.hex(),
        "history": result.checkpoint.history.hex(),
        "log_root": result.checkpoint.log_root.hex(),
        "verified": True,
        "age_s": age,
        "state": state,
    }


def proof(client: cl.Client, args: argparse.Namespace) -> Dict[str, Any]:
    """What the proof starts from is given, or is the last checkpoint of the state."""
    kind = op.INCLUSION if args.kind == "inclusion" else op.CONSISTENCY
    leaf, old_root = args.leaf, args.old_root
    last = client.verifier.accepted.checkpoint
    if last is not None and last.log_size == args.first:
        leaf = leaf or log.leaf(client.verifier.accepted.answer[: trust.CHECKPOINT_LEN])
        old_root = old_root or last.log_root
    result = client.proof(kind, args.first, args.second, leaf, old_root)
    return {
        "kind": args.kind,
        "first": args.first,
        "second": args.second,
        "hashes": [h.hex() for h in result.hashes],
        "serial": serial_of(result.checkpoint.version),
        "log_size": result.checkpoint.log_size,
        "log_root": result.checkpoint.log_root.hex(),
        "verified": result.verified,
    }


# Reports (page 7)


def verdicts_json(keys: Sequence[reports.Key], answer: reports.Answer) -> List[Dict[str, Any]]:
    return [
        {
            "key": base64.b64encode(k.key).decode(),
            "accepted": v == reports.ACCEPTED,
            "reason": None if v == reports.ACCEPTED else reports.name_in(reports.VERDICTS, v),
        }
        for k, v in zip(keys, answer.verdicts)
    ]


def counts_json(a: reports.Answer) -> Dict[str, Any]:
    return {
        "state": a.state_name,
        "serial": a.serial,
        "keys": a.keys,
        "live": a.live,
        "embargo": a.embargo,
        "waiting": a.waiting,
        "withdrawn": a.withdrawn,
    }


def done_json(own: reporter.Own, done: reporter.Done) -> Dict[str, Any]:
    """With all that a receipt needs to be verified later by anybody (7.7.2)."""
    out: Dict[str, Any] = {"report": own.report.hex()}
    if done.receipt:
        out["seq"] = done.receipt.seq
        out["durability"] = done.receipt.durability
        out["received"] = rfc3339(done.receipt.time)
    out["secret"] = own.secret.hex()
    out["verdicts"] = verdicts_json(done.keys, done.answer)
    out.update(counts_json(done.answer))
    if done.receipt:
        out["receipt"] = done.answer.receipt.hex()
        out["signatures"] = done.answer.signatures.hex()
        out["delegation"] = done.delegation.hex()
    return out


def report(client: cl.Client, args: argparse.Namespace) -> Dict[str, Any]:
    """Every command that needs report id and secret. `args.own` is told whatever happens: who has it
    can ask again."""
    with_reports = reporter.Reporter(client)
    if args.command == "submit" and args.dummy:
        return {"dummy": True, "outcome": with_reports.dummy().answer.outcome_name}
    own = args.own
    if args.command == "submit":
        done = with_reports.submit(own, args.read_keys, args.code, args.onset)
    elif args.command == "report-amend":
        done = with_reports.amend(own, args.read_keys, args.code or "")
    elif args.command == "report-cancel":
        done = with_reports.cancel(own)
    else:
        return dict({"report": own.report.hex()}, **counts_json(with_reports.status(own).answer))
    return done_json(own, done)


def prepare_report(args: argparse.Namespace) -> None:
    """What can be wrong with a report before anybody is asked."""
    if args.command == "submit" and args.dummy:
        if args.code or args.keys or args.report_id or args.secret or args.onset:
            raise Usage("a dummy has nothing of a report")
        return
    if args.command == "submit" and not (args.code and args.keys):
        raise Usage("submit needs --code and --keys, or --dummy")
    args.own = reporter.Own.fresh(args.report_id, args.secret)
    if args.command in ("submit", "report-amend"):
        args.read_keys = read_keys(args.keys)


def not_done_json(e: reporter.NotDone) -> Dict[str, Any]:
    out = {"error": str(e), "outcome": e.answer.outcome_name, "wait_s": e.answer.wait}
    if e.answer.verdicts:
        out["verdicts"] = verdicts_json(e.keys, e.answer)
    return out


# --- Putting it together -------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    out = argparse.ArgumentParser(prog="tekd_reference", description=__doc__.split("\n")[0])
    out.add_argument("--server", required=True, metavar="HOST:PORT")
    out.add_argument("--trust", required=True, metavar="FILE")
    out.add_argument(
        "--transport", choices=("udp", "tls"), help="only this one; else UDP, and TLS where it is needed"
    )
    out.add_argument("--tls-server", metavar="HOST:PORT", help="where TLS is if not at the same port")
    out.add_argument("--set", type=whole, default=1)
    commands = out.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text)
        sub.set_defaults(run=run, kind_of_state=delta.LIVE_KIND)
        sub.add_argument(
            "--state", metavar="FILE", help="what was accepted before; replaced by sync and history"
        )
        return sub

    command("info", info, "what the server says of itself")
    command("checkpoint", checkpoint, "the newest checkpoint, verified")
    command("manifest", show_manifest, "the manifest of the newest checkpoint")
    command("lookup", lookup, "a hint whether a key is live").add_argument("key")
    command("bucket", bucket, "the live keys under a prefix, proved").add_argument(
        "prefix", metavar="PREFIXHEX/BITS"
    )
    sub = command("sync", sync, "the whole live set, verified")
    sub.add_argument("--full", action="store_true")
    sub.add_argument("--keys-out", metavar="FILE")
    sub = command("history", history, "the whole history and the log, verified")
    sub.add_argument("--full", action="store_true")
    sub.set_defaults(kind_of_state=delta.HISTORY_KIND)
    sub = command("proof", proof, "a proof from the log of checkpoints")
    sub.add_argument("kind", choices=("inclusion", "consistency"))
    sub.add_argument("first", type=whole, help="index of the leaf, or the older size")
    sub.add_argument("second", type=whole, help="size of the log")
    sub.add_argument("--leaf", type=parse_digest, metavar="HEX", help="hash of the leaf")
    sub.add_argument("--old-root", type=parse_digest, metavar="HEX", help="root at the older size")
    add_reports(command)
    return out


def add_reports(command: Callable[..., argparse.ArgumentParser]) -> None:
    report_id, secret = of_bytes(16), of_bytes(32)
    sub = command("submit", report, "a report under a code")
    sub.add_argument("--code", type=parse_code)
    sub.add_argument("--keys", metavar="FILE")
    sub.add_argument("--report-id", type=report_id, default=b"", metavar="HEX", help="to repeat a report")
    sub.add_argument("--secret", type=secret, default=b"", metavar="HEX", help="with its report id")
    sub.add_argument("--onset", type=parse_day, default=0, metavar="DATE", help="day of the first symptoms")
    sub.add_argument("--dummy", action="store_true", help="looks like a report and is none")
    for name, text in (
        ("report-status", "what became of a report"),
        ("report-cancel", "takes a report back"),
        ("report-amend", "more keys for a report, or another report type"),
    ):
        sub = command(name, report, text)
        sub.add_argument("report_id", type=report_id, metavar="ID")
        sub.add_argument("--secret", type=secret, required=True, metavar="HEX")
        if name == "report-amend":
            sub.add_argument("--keys", metavar="FILE", required=True)
            sub.add_argument("--code", type=parse_code)


def load_state(args: argparse.Namespace, kind: int) -> cl.State:
    if not args.state:
        return cl.State(args.trusted.service, args.set, kind)
    return cl.State.load(args.state, args.trusted.service, args.set, kind)


def make_client(args: argparse.Namespace) -> cl.Client:
    try:
        args.trusted = trust.read_trust(args.trust)
    except (OSError, UnicodeDecodeError, trust.TrustError) as e:
        raise Usage("trust: %s" % e)
    if args.set not in args.trusted.sets:
        raise Usage("set %d is not in the trust" % args.set)
    try:
        host, port = parse_address(args.server)
        tls_host, tls_port = parse_address(args.tls_server or args.server)
    except ValueError as e:
        raise Usage(str(e))
    if args.command == "lookup":
        parse_key(args.key)
    if args.command == "bucket":
        parse_prefix(args.prefix)
    if args.run is report:
        prepare_report(args)
    state = load_state(args, args.kind_of_state)
    service = args.trusted.service
    datagrams = Udp(host, port, service) if args.transport != "tls" else None
    stream = Tls(tls_host, tls_port, service) if args.transport != "udp" else None
    client = cl.Client(args.trusted, args.set, datagrams, stream, state.accepted)
    if state.manifest:
        client.use_manifest(manifest.parse(state.manifest).fields)
    return client


def keep_evidence(args: argparse.Namespace, e: trust.EquivocationError) -> None:
    """3.4.6: both answers, with all that is needed to show them to others."""
    if args.state:
        document = {"held": base64.b64encode(e.held).decode(), "shown": base64.b64encode(e.shown).decode()}
        cl.replace_file(args.state + ".evidence", json.dumps(document) + "\n")


def main(argv: Optional[List[str]] = None) -> int:
    args = parser().parse_args(argv)
    client = None
    try:
        client = make_client(args)
        out, code = args.run(client, args), DONE
    except Usage as e:
        print("tekd_reference: %s" % e, file=sys.stderr)
        return USAGE
    except cl.Refused as e:
        out, code = cl.error_json(e), REFUSED
    except reporter.NotDone as e:
        out, code = not_done_json(e), REFUSED
    except Unreachable as e:
        out, code = cl.error_json(e), UNREACHABLE
    except trust.EquivocationError as e:
        keep_evidence(args, e)
        out, code = cl.error_json(e), FAILED
    except (ValueError, OSError) + cl.WRONG as e:
        out, code = cl.error_json(e), FAILED
    finally:
        if client is not None:
            client.close()
    if code != DONE and getattr(args, "own", None):
        out.update(report=args.own.report.hex(), secret=args.own.secret.hex())
    print(json.dumps(out))
    return code


if __name__ == "__main__":
    sys.exit(main())
