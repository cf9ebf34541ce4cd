"""Chapters 1.5 and 4.5: how frames travel, and when to ask again."""

from __future__ import annotations

import random
import secrets
import socket
import ssl
import struct
import time
from typing import Callable, Optional, Set, Tuple

from . import frame as fr
from . import operations as op
from .frame import Frame, Ignored
from .operations import Question

DEFAULT_PORT = 8353  # 1.5.1, 1.5.2
ALPN = "tekd/1"
DAY = 86_400


class Unreachable(Exception):
    """No answer, or a conversation that broke."""


class NeedsStream(Exception):
    """UDP cannot carry this (1.3.5, 1.5.5, 2.6.3)."""


def parse_address(text: str) -> Tuple[str, int]:
    """HOST, HOST:PORT, [V6]:PORT or [V6]"""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
    else:
        host, colon, port = text.rpartition(":")
        host, rest = (host, ":" + port) if colon else (text, "")
    if not host or (rest and not rest[1:].isdigit()) or (rest and int(rest[1:]) > 65535):
        raise ValueError("not HOST:PORT: %s" % text)
    return host, int(rest[1:]) if rest else DEFAULT_PORT


def next_delay(delay: float, spread: Callable[[float, float], float] = random.uniform) -> Tuple[float, float]:
    """How long to wait for an answer now, and the delay to come here with next time (4.5.3)."""
    return delay * spread(0.5, 1.0), min(delay * 1.5, DAY)


def pause(
    wait: int, interval: int, in_person: bool, spread: Callable[[float, float], float] = random.uniform
) -> float:
    """How long to stay quiet between two syncs: what the server asks for, within the bounds of
    4.5.1, spread as 4.5.2 says."""
    return min(wait, max(60, interval)) + spread(0, 60 if in_person else interval)


def _grease() -> int:
    """Now and then random flags that mean nothing (1.1.7)."""
    return secrets.randbits(16) & fr.GREASE_FLAGS if secrets.randbelow(8) == 0 else 0


class Udp:
    """One server over UDP. A socket that is connected hears that server alone (4.5.4)."""

    name = "udp"
    longest_answer = fr.UDP_MAX

    def __init__(self, host: str, port: int, service: bytes, tries: int = 3, first_delay: float = 1.0):
        self.service = service
        self.tries = tries
        self.first_delay = self.delay = first_delay
        self.cookie = 0
        try:
            family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
            self._socket = socket.socket(family, kind, proto)
            self._socket.connect(address)
        except OSError as e:
            raise Unreachable(str(e))

    def close(self) -> None:
        self._socket.close()

    def forget(self) -> None:
        """When the network changes (1.6.6)."""
        self.cookie = 0

    def verified(self) -> None:
        """An answer over this transport has been verified: nothing else shortens the delay (4.5.3)."""
        self.delay = self.first_delay

    def ask(self, question: Question) -> Frame:
        """The answer, after COOKIE and TRUNCATED have been dealt with. Every datagram has a
        transaction of its own, and an answer to any of those sent for this question will do."""
        if question.operation in op.STREAM_ONLY:
            raise NeedsStream(op.NAMES[question.operation - 1])
        open_transactions: Set[int] = set()
        came_again = False
        for _ in range(self.tries):
            self._send(question, open_transactions, came_again)
            patience, longer = next_delay(self.delay)
            deadline = time.monotonic() + patience
            while True:
                frame = self._receive(question, open_transactions, deadline)
                if frame is None:
                    self.delay = longer
                    break
                if frame.cookie:
                    self.cookie = frame.cookie
                if frame.result == fr.BAD_TRANSPORT:
                    raise NeedsStream("TRANSPORT")
                if frame.result in (fr.COOKIE, fr.TRUNCATED):
                    (needed,) = struct.unpack_from("<I", frame.detail)
                    if frame.result == fr.TRUNCATED and (came_again or needed > fr.UDP_MAX):
                        raise NeedsStream("TRUNCATED")
                    if not came_again:
                        came_again = True
                        open_transactions.clear()
                        self._send(question, open_transactions, came_again)
                        deadline = time.monotonic() + patience
                        continue
                return frame
        raise Unreachable("no answer over UDP")

    def _send(self, question: Question, open_transactions: Set[int], came_again: bool) -> None:
        """A question is made as long as its answer may be unless a cookie does the same (1.3.4);
        the second time both, should the cookie be no good."""
        transaction = secrets.randbits(64)
        open_transactions.add(transaction)
        as_long_as_answer = question.operation in (op.INFO, op.LOOKUP)
        pad = 0 if as_long_as_answer or (self.cookie and not came_again) else fr.UDP_MAX
        data = question.pack(self.service, transaction, cookie=self.cookie, pad_to=pad, grease=_grease())
        try:
            self._socket.send(data)
        except OSError:
            pass  # as if it were lost: the deadline runs

    def _receive(self, question: Question, open_transactions: Set[int], deadline: float) -> Optional[Frame]:
        """The next datagram that answers the question; None when the time is up."""
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self._socket.settimeout(left)
            try:
                data = self._socket.recv(65_536)
            except socket.timeout:
                return None
            except OSError:  # for instance a refused port: it says nothing certain
                time.sleep(min(0.05, left))
                continue
            try:
                return op.answers(data, self.service, question, open_transactions)
            except Ignored:
                continue  # 1.1.4, 4.5.4


class Tls:
    """One server over TLS 1.3. Any certificate will do (1.5.4)."""

    name = "tls"
    longest_answer = fr.STREAM_ANSWER_MAX

    def __init__(self, host: str, port: int, service: bytes, timeout: float = 10.0):
        self.service = service
        self.timeout = timeout
        self._address = (host, port)
        self._stream: Optional[ssl.SSLSocket] = None

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def forget(self) -> None:
        self.close()

    def verified(self) -> None:
        pass

    def _connect(self) -> ssl.SSLSocket:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.set_alpn_protocols([ALPN])
        plain = socket.create_connection(self._address, self.timeout)
        try:
            stream = context.wrap_socket(plain, server_hostname=self._address[0])
        except Exception:
            plain.close()
            raise
        if stream.selected_alpn_protocol() != ALPN:
            stream.close()
            raise Unreachable("the server does not speak %s (1.5.2)" % ALPN)
        return stream

    def ask(self, question: Question) -> Frame:
        """The answer. A connection that was left open and has meanwhile been closed is made anew,
        once."""
        for fresh in (self._stream is None, True):
            try:
                if self._stream is None:
                    self._stream = self._connect()
                return self._ask(self._stream, question)
            except (OSError, EOFError) as e:
                self.close()
                if fresh:
                    raise Unreachable("over TLS: %s" % (e or type(e).__name__))
            except Unreachable:
                self.close()
                raise
        raise AssertionError("not reached")

    def _ask(self, stream: ssl.SSLSocket, question: Question) -> Frame:
        transaction = secrets.randbits(64)
        stream.sendall(question.pack(self.service, transaction, grease=_grease()))
        deadline = time.monotonic() + self.timeout
        while True:
            data = self._read_frame(stream, deadline)
            try:
                return op.answers(data, self.service, question, (transaction,), stream=True)
            except Ignored:
                continue  # 4.5.4

    def _read_frame(self, stream: ssl.SSLSocket, deadline: float) -> bytes:
        """Frames follow one another with no other prefix (1.5.2)."""
        head = self._read(stream, fr.HEADER_LEN, deadline)
        (length,) = struct.unpack_from("<I", head, 4)
        if not 0x80 <= head[0] <= 0xBF or not fr.HEADER_LEN <= length <= fr.STREAM_ANSWER_MAX:
            raise Unreachable("bytes that begin no frame (1.5.2)")
        return head + self._read(stream, length - fr.HEADER_LEN, deadline)

    def _read(self, stream: ssl.SSLSocket, count: int, deadline: float) -> bytes:
        out = bytearray()
        while len(out) < count:
            left = deadline - time.monotonic()
            if left <= 0:
                raise socket.timeout("no answer in time")
            stream.settimeout(left)
            part = stream.recv(min(65_536, count - len(out)))
            if not part:
                raise EOFError("the connection ended")
            out += part
        return bytes(out)
