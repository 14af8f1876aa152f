"""Client certificates for tests: issued, revoked, expired, by an authority of one's own or by a foreign one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = timedelta(days=1)


def uri(text: str) -> x509.GeneralName:
    """Return an alternative name."""
    return x509.UniformResourceIdentifier(text)


class Issued:
    """A certificate and its key; `files` writes them where clients want them."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate, self.key = certificate, key

    @property
    def der(self) -> bytes:
        """The certificate as the handshake hands it on."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def files(self, directory: Path, name: str = "client") -> tuple[Path, Path]:
        """Write `NAME.cert` and `NAME.key`, as docker looks for them."""
        cert, key = directory / f"{name}.cert", directory / f"{name}.key"
        cert.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        key.write_bytes(
            self.key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return cert, key


class ClientAuthority:
    """An authority that signs clients' certificates."""

    def __init__(self, name: str = "clients") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        self._certificate = (
            _builder(self._name, self._name, self._key, now - DAY, now + DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def pem(self) -> bytes:
        """The authority's own certificate."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self,
        *names: str,
        alternatives: Sequence[x509.GeneralName] = (),
        ends: datetime | None = None,
        usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
    ) -> Issued:
        """Sign a certificate of a subject with these common names."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])
        now = datetime.now(UTC)
        builder = _builder(subject, self._name, key, min(now, ends or now) - DAY, ends or now + DAY)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        return Issued(builder.sign(self._key, hashes.SHA256()), key)

    def revoke(self, *revoked: Issued) -> bytes:
        """Return a list of revoked certificates, in PEM."""
        now = datetime.now(UTC)
        builder = x509.CertificateRevocationListBuilder(self._name, now - DAY, now + DAY)
        for one in revoked:
            entry = x509.RevokedCertificateBuilder(one.certificate.serial_number, now - timedelta(hours=1)).build()
            builder = builder.add_revoked_certificate(entry)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number(), begins, ends)
