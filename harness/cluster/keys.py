"""The throw-away key and certificate by which the processes of one sweep on this machine know each other."""

from __future__ import annotations

import datetime
import json
import ssl
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True, repr=False)
class Keys:
    """Of a driver and its own workers; they live in these processes' memory, and travel through pipes."""

    certificate: str
    """PEM; signed with the key itself, and the only one that is trusted."""
    key: str
    """PEM, private."""

    @classmethod
    def new(cls) -> Self:
        """Make a pair that nobody has had; it holds at any time that a clock may be set to."""
        from cryptography import x509  # type: ignore[import-not-found,unused-ignore]
        from cryptography.hazmat.primitives import hashes, serialization  # type: ignore[import-not-found,unused-ignore]
        from cryptography.hazmat.primitives.asymmetric import ec  # type: ignore[import-not-found,unused-ignore]

        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "freewalk sweep")])
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(datetime.datetime(1970, 1, 1))
            .not_valid_after(datetime.datetime(9999, 12, 31))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return cls(certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode())

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Return what `to_line` has written."""
        return cls(**json.loads(line))

    def to_line(self) -> bytes:
        """Return both as one line that ends in a newline."""
        return json.dumps(asdict(self)).encode() + b"\n"

    def security(self) -> Any:
        """Return Dask's settings: TLS for everything, both sides show the certificate, whatever a user's own say."""
        from distributed.security import Security

        roles = ("client", "scheduler", "worker")
        certificates = {f"tls_{role}_cert": self.certificate for role in roles}
        keys = {f"tls_{role}_key": self.key for role in roles}
        return Security(
            require_encryption=True,
            tls_ca_file=self.certificate,
            tls_ciphers=None,
            tls_min_version=ssl.TLSVersion.TLSv1_3,
            tls_max_version=None,
            **certificates,
            **keys,
        )
