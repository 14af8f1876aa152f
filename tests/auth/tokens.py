"""A token server's keys and tokens, for tests."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from joserfc import jws, jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey

SERVICE = "registry.example"
_RSA = rsa.generate_private_key(65537, 2048)


class _AnyHeader(jws.JWSRegistry):
    """Signs headers that a good server would not send."""

    max_header_length = 16 * 1024

    def get_alg(self, name: str) -> Any:
        """Return the algorithm, without a warning of an old name."""
        return super().get_alg("Ed25519" if name == "EdDSA" else name)


class Signer:
    """A private key of one kind: `rsa`, `other-rsa`, `P-256`, `P-384`, `P-521` or `ed25519`."""

    def __init__(self, kind: str = "rsa") -> None:
        curves: dict[str, Any] = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-521": ec.SECP521R1}
        self._private: Any
        made: Any
        if kind in curves:
            self._private, made = ec.generate_private_key(curves[kind]()), ECKey
        elif kind == "ed25519":
            self._private, made = ed25519.Ed25519PrivateKey.generate(), OKPKey
        else:
            self._private, made = (_RSA if kind == "rsa" else rsa.generate_private_key(65537, 2048)), RSAKey
        pem = self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.key: Any = made.import_key(pem)

    @property
    def private(self) -> Any:
        """The key as cryptography has it."""
        return self._private

    @property
    def public_pem(self) -> bytes:
        """The public key, as `http.auth.bearer.cert` takes it."""
        pem: bytes = self._private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return pem

    def jwk(self, **more: str) -> dict[str, Any]:
        """The public key for a set."""
        return {**self.key.as_dict(private=False), **more}

    def write(self, file: Path) -> Path:
        """Put the public key into a file."""
        beside = file.with_suffix(".new")
        beside.write_bytes(self.public_pem)
        beside.replace(file)
        return file

    def sign(self, claims: dict[str, Any], alg: str = "RS256", key: Any = None, **header: Any) -> str:
        """Return a token with exactly these claims."""
        registry = _AnyHeader(algorithms=["Ed25519", alg], strict_check_header=False)
        return jwt.encode({"alg": alg, **header}, claims, key or self.key, registry=registry)

    def token(self, *access: str, alg: str = "RS256", **claims: Any) -> str:
        """Return a good token; `access` is as in a scope, `repository:a/b:pull,push`; None takes a claim out."""
        now = int(time.time())
        entries = []
        for one in access:
            kind, name, actions = one.split(":")
            entries.append({"type": kind, "name": name, "actions": actions.split(",")})
        good = {
            "iss": "tests",
            "sub": "alice",
            "aud": SERVICE,
            "exp": now + 300,
            "nbf": now - 5,
            "iat": now,
            "access": entries,
        }
        return self.sign({name: value for name, value in {**good, **claims}.items() if value is not None}, alg)
