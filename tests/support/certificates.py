"""Certificates of the tests' own, made anew for each."""

import subprocess
from pathlib import Path

from producers.gateway.server import Certificate


def self_signed(directory: Path) -> Certificate:
    """One for 127.0.0.1 that nobody else has signed."""
    certificate = Certificate(directory / "chain.pem", directory / "key.pem")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", certificate.key, "-out", certificate.chain),
        ],
        check=True,
        capture_output=True,
    )
    return certificate
