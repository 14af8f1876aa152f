"""Tokens that somebody signed (RFC 7515, RFC 7519), and the public keys that they are checked with.

A key is one that the configuration names, or that a provider publishes; what a token brings along is never trusted.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

Claims = dict[str, Any]
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_LEAST_RSA_BITS = 2048
_BEGIN, _END = b"-----BEGIN ", b"-----END "
# Addresses where a token says that its key can be got.
_ELSEWHERE = ("jku", "x5u")


class TokenError(Exception):
    """The token is not one that can be believed; the text says why, and nothing that is in it."""


class _Registry(jws.JWSRegistry):
    """joserfc's rules, with room for a chain of certificates in the header."""

    max_header_length = 16 * 1024

    def get_alg(self, name: str) -> Any:
        """Return the algorithm; EdDSA is an older name of Ed25519, and joserfc warns of the name."""
        return super().get_alg("Ed25519" if name == "EdDSA" else name)


class Key(NamedTuple):
    """A public key, what may be signed with it, and its name, if it has one."""

    key: RSAKey | ECKey | OKPKey
    algorithms: tuple[str, ...]
    kid: str
    spki: bytes


class Signed(NamedTuple):
    """What a token says, once its signature is known to be good."""

    header: Mapping[str, Any]
    claims: Claims


class Keys:
    """The keys of one signer. Immutable."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = tuple(keys)
        allowed = sorted({name for key in self._keys for name in key.algorithms})
        self._registry = _Registry(algorithms=allowed, strict_check_header=False)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._keys)

    def open(self, token: str) -> Signed:
        """Return what is in a token that one of these keys has signed. Raises `TokenError`.

        Its times and its audience are for the caller to check.
        """
        try:
            signed = jws.extract_compact(token.encode("ascii"), None, self._registry)
        except (JoseError, ValueError):
            raise TokenError("it is no signed token") from None
        header: Mapping[str, Any] = signed.headers()
        if any(name in header for name in _ELSEWHERE):
            raise TokenError("it says where its key is to be got, and keys are not got from there")
        for key in self._keys:
            if _may_be_of(key, header) and self._is_signed(signed, key):
                return Signed(header, _claims(signed.payload))
        raise TokenError("it is not signed with a key that is known here, as such a key signs")

    def _is_signed(self, signed: jws.CompactSignature, key: Key) -> bool:
        try:
            return jws.validate_compact(signed, key.key, key.algorithms, self._registry)
        except (JoseError, ValueError):
            return False


def _may_be_of(key: Key, header: Mapping[str, Any]) -> bool:
    """Tell whether a header's algorithm, name of a key, and keys that it brings along are those of a key."""
    if header.get("alg") not in key.algorithms:
        return False
    if key.kid and "kid" in header and header["kid"] != key.kid:
        return False
    try:
        if "x5c" in header:
            leaf = x509.load_der_x509_certificate(b64decode(header["x5c"][0], validate=True))
            return _spki(leaf.public_key()) == key.spki
        if "jwk" in header:
            brought = _from_jwk(header["jwk"])
            return brought is not None and brought.spki == key.spki
    except (ValueError, TypeError, LookupError, JoseError):
        return False
    return True


def _claims(payload: bytes | None) -> Claims:
    try:
        claims = json.loads(payload or b"")
    except (ValueError, RecursionError):
        claims = None
    if not isinstance(claims, dict):
        raise TokenError("it holds no claims")
    return claims


def read_keys(content: bytes) -> Keys:
    """Return the keys in a file: certificates and public keys in PEM, one after the other, or a JSON Web Key Set.

    Raises `ValueError`, with a sentence, if there is none, or one that is no good.
    """
    if content.lstrip()[:1] == b"{":
        found = jwk_set(json.loads(content))
    else:
        found = Keys(_from_pem(_BEGIN + block) for block in content.split(_BEGIN)[1:])
    if not len(found):
        raise ValueError("it holds no public key")
    return found


def jwk_set(document: object) -> Keys:
    """Return the keys of a JSON Web Key Set (RFC 7517) that sign and are understood here; others are passed over.

    One key may stand for a set of one. Raises `ValueError` for a document of another shape.
    """
    if not isinstance(document, dict):
        raise ValueError("it is no set of keys")
    keys = document.get("keys", [document])
    if not isinstance(keys, list):
        raise ValueError("it is no set of keys")
    found = []
    for one in keys:
        try:
            key = _from_jwk(one)
        except (JoseError, ValueError, TypeError):
            continue
        if key is not None:
            found.append(key)
    return Keys(found)


def _from_pem(block: bytes) -> Key:
    if b"PRIVATE KEY" in block.partition(b"\n")[0]:
        raise ValueError("it holds a private key, where the public one belongs")
    try:
        if block.startswith(_BEGIN + b"CERTIFICATE"):
            return _key(x509.load_pem_x509_certificate(block).public_key())
        return _key(load_pem_public_key(block))
    except TypeError as error:
        raise ValueError(str(error)) from error


def _from_jwk(document: Any) -> Key | None:
    """Return a key of a set; None for one that is not for signatures or of a kind that is not taken."""
    kinds: dict[str, type[RSAKey | ECKey | OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
    kind = kinds.get(document.get("kty", "")) if isinstance(document, dict) else None
    if kind is None or document.get("use", "sig") != "sig":
        return None
    public = kind.import_key({name: value for name, value in document.items() if name not in _PRIVATE})
    key = _key(public.raw_value)
    if "alg" in document:
        key = key._replace(algorithms=tuple(name for name in key.algorithms if name == document["alg"]))
    return key._replace(kid=str(document.get("kid", "")))


# Of a private key that lies where a public one should nothing is kept.
_PRIVATE = ("d", "p", "q", "dp", "dq", "qi", "oth", "key_ops")


def _key(public: object) -> Key:
    spki = _spki(public)
    if isinstance(public, rsa.RSAPublicKey):
        if public.key_size < _LEAST_RSA_BITS:
            raise ValueError(f"an RSA key of {public.key_size} bits is too short; it needs {_LEAST_RSA_BITS}")
        return Key(RSAKey.import_key(spki), _RSA, "", spki)
    if isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name in _CURVES:
        return Key(ECKey.import_key(spki), (_CURVES[public.curve.name],), "", spki)
    if isinstance(public, ed25519.Ed25519PublicKey):
        return Key(OKPKey.import_key(spki), ("EdDSA", "Ed25519"), "", spki)
    raise ValueError("it holds a key of a kind that is not taken; use RSA, P-256, P-384, P-521 or Ed25519")


def _spki(public: Any) -> bytes:
    encoded: bytes = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return encoded
