"""Certificates, good and bad, and a proxy that speaks TLS in front of a server that does not."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Certificate:
    """A server's certificate and its key, as files."""

    chain: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Certificates:
    """What servers of a test may show.

    Attributes:
        authority: the file of the authority that signed the first two.
        good: made out to localhost.
        of_another: signed as well, but made out to another host.
        self_signed: made out to localhost, by nobody but itself.
    """

    authority: Path
    good: Certificate
    of_another: Certificate
    self_signed: Certificate


def make_certificates(directory: Path) -> Certificates:
    """Make all of them, with openssl."""
    authority = _make(directory, "authority", "basicConstraints=critical,CA:TRUE")
    localhost = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    return Certificates(
        authority.chain,
        _make(directory, "good", localhost, signed_by=authority),
        _make(directory, "other", "subjectAltName=DNS:elsewhere.example", signed_by=authority),
        _make(directory, "self", localhost),
    )


def _make(
    directory: Path, name: str, extension: str, *, signed_by: Certificate | None = None
) -> Certificate:
    made = Certificate(directory / f"{name}.pem", directory / f"{name}.key")
    signer = () if signed_by is None else ("-CA", signed_by.chain, "-CAkey", signed_by.key)
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", f"/CN=andon test {name}", "-addext", extension, *signer),
            *("-keyout", made.key, "-out", made.chain),
        ],
        check=True,
        capture_output=True,
    )
    return made


@dataclass(slots=True)
class TlsProxy:
    """Decrypts what clients say, and says it to the server.

    Attributes:
        port: where it listens, on this machine.
        heard: everything that clients said once they trusted the certificate.
        refused: how many connections ended in the handshake.
    """

    port: int
    heard: bytearray = field(default_factory=bytearray)
    refused: int = 0


@contextmanager
def tls_proxy(certificate: Certificate, server_port: int) -> Iterator[TlsProxy]:
    """A proxy with this *certificate* in front of a server on this machine."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.chain, certificate.key)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        proxy = TlsProxy(listening.getsockname()[1])

        def serve() -> None:
            with suppress(OSError):
                while True:
                    near, _ = listening.accept()
                    threading.Thread(target=handle, args=(near,), daemon=True).start()

        def handle(plain: socket.socket) -> None:
            try:
                near = context.wrap_socket(plain, server_side=True)
            except OSError:
                proxy.refused += 1
                plain.close()
                return
            far = socket.create_connection(("127.0.0.1", server_port))
            _carry(near, far, proxy.heard)

        threading.Thread(target=serve, daemon=True).start()
        yield proxy


def _carry(near: ssl.SSLSocket, far: socket.socket, heard: bytearray) -> None:
    """Carry both ways, in one thread: an SSL object is not for two."""
    near.settimeout(0.01)
    far.settimeout(0.01)
    with suppress(OSError), near, far:
        while True:
            said = _read(near)
            answered = _read(far)
            if said == b"" or answered == b"":
                return
            if said:
                heard += said
                far.sendall(said)
            if answered:
                near.settimeout(10)
                near.sendall(answered)
                near.settimeout(0.01)


def _read(source: socket.socket) -> bytes | None:
    """What has come; None if nothing has yet, empty at the end."""
    try:
        return source.recv(65_536)
    except (TimeoutError, ssl.SSLWantReadError):
        return None
