"""Servers on the loopback, at ports the system chooses."""

from __future__ import annotations

import datetime
import os
import socket
import ssl
import struct
import tempfile
import threading
from typing import Callable, List, Optional

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.world import Responder

# What a server makes of an answer before it sends it: any number of datagrams or pieces instead.
Twist = Callable[[bytes, bytes], List[bytes]]


class UdpServer:
    def __init__(self, responder: Responder, twist: Optional[Twist] = None):
        self.responder = responder
        self.twist = twist
        self.questions: List[bytes] = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        while True:
            try:
                data, address = self.socket.recvfrom(65_536)
            except OSError:
                return
            if not data:
                return
            self.questions.append(data)
            answer = self.responder.answer(data, False, address[0])
            out = [answer] if answer is not None else []
            if self.twist and answer is not None:
                out = self.twist(data, answer)
            for datagram in out:
                self.socket.sendto(datagram, address)

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", self.port))
        self.thread.join(5)
        self.socket.close()


def certificate(folder: str) -> str:
    """A certificate nobody has a reason to believe, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nobody.example")])
    start = datetime.datetime(2000, 1, 1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = os.path.join(folder, "certificate.pem")
    with open(path, "wb") as f:
        f.write(made.public_bytes(serialization.Encoding.PEM))
        f.write(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
    return path


class TlsServer:
    def __init__(
        self,
        responder: Responder,
        twist: Optional[Twist] = None,
        alpn: str = "tekd/1",
        maximum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
        one_question: bool = False,
        port: int = 0,
    ):
        self.responder = responder
        self.twist = twist
        self.one_question = one_question  # per connection
        self.connections = 0
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.maximum_version = maximum
        with tempfile.TemporaryDirectory() as folder:
            self.context.load_cert_chain(certificate(folder))
        self.context.set_alpn_protocols([alpn])
        self.socket = socket.create_server(("127.0.0.1", port))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        while True:
            try:
                plain, _ = self.socket.accept()
            except OSError:
                return
            try:
                plain.settimeout(5)
                with self.context.wrap_socket(plain, server_side=True) as stream:
                    self.connections += 1
                    self.converse(stream)
            except (OSError, EOFError):
                plain.close()

    def converse(self, stream: ssl.SSLSocket) -> None:
        while True:
            head = self.read(stream, 64)
            (length,) = struct.unpack_from("<I", head, 4)
            if not 0x80 <= head[0] <= 0xBF or not 64 <= length <= 4096:
                return
            data = head + self.read(stream, length - 64)
            answer = self.responder.answer(data, True)
            if answer is not None:
                for piece in self.twist(data, answer) if self.twist else [answer]:
                    stream.sendall(piece)
            if self.one_question:
                return

    @staticmethod
    def read(stream: ssl.SSLSocket, count: int) -> bytes:
        out = b""
        while len(out) < count:
            part = stream.recv(count - len(out))
            if not part:
                raise EOFError
            out += part
        return out

    def close(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(6)
