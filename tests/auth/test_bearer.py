"""Tokens of a token server: which are believed, what they grant, and what clients are told."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.auth.tokens import SERVICE, Signer
from zot.auth.actions import Action
from zot.auth.bearer import Bearer, challenge
from zot.auth.principal import Credentials, Principal, Via
from zot.errors import StartupError, Unauthorized

NOW = int(time.time())


@pytest.fixture(scope="module")
def signer() -> Signer:
    """The token server's key."""
    return Signer()


@pytest.fixture
def bearer(signer: Signer, tmp_path: Path) -> Bearer:
    """The authenticator that knows it."""
    return Bearer(str(signer.write(tmp_path / "token.pem")), SERVICE)


def sent(token: str) -> Credentials:
    return Credentials(f"Bearer {token}")


def refused(bearer: Bearer, token: str) -> str:
    """Return why a token is not believed."""
    with pytest.raises(Unauthorized) as raised:
        bearer.authenticate(sent(token))
    assert not token or token not in str(raised.value)
    return str(raised.value)


def certificate(signer: Signer) -> x509.Certificate:
    """Return a certificate of a signer's key, signed by itself."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tokens")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        name, name, signer.private.public_key(), 7, now - timedelta(days=1), now + timedelta(days=1)
    )
    return builder.sign(signer.private, hashes.SHA256())


def unsigned(header: dict[str, Any], claims: dict[str, Any], sign: Callable[[bytes], bytes]) -> str:
    """Return a token that is signed with whatever function is given."""
    parts = [urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    body = b".".join(parts)
    return (body + b"." + urlsafe_b64encode(sign(body)).rstrip(b"=")).decode()


def good_claims() -> dict[str, Any]:
    return {"aud": SERVICE, "sub": "alice", "exp": NOW + 86_400, "access": []}


def test_a_good_token_says_who_and_what(bearer: Bearer, signer: Signer) -> None:
    """The subject is the user; the access entries grant what they name in the repositories that they name, only."""
    found = bearer.authenticate(sent(signer.token("repository:a/b:pull,push", "repository:c:delete", "repository:d:*")))
    assert found is not None
    assert (found.name, found.via, found.groups) == ("alice", Via.TOKEN, frozenset())
    may = {
        name: {action.value for action in Action if found.stays_within(action, name)} for name in ("a/b", "a", "c", "d")
    }
    assert may == {
        "a/b": {"read", "create", "update"},
        "a": set(),
        "c": {"delete"},
        "d": {"read", "create", "update", "delete", "detectManifestCollision"},
    }


@pytest.mark.parametrize(
    ("kind", "algorithms"),
    [
        ("rsa", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]), ("P-256", ["ES256"]), ("P-384", ["ES384"]),
        ("P-521", ["ES512"]), ("ed25519", ["EdDSA"]),
    ],
)  # fmt: skip
def test_every_good_algorithm_is_taken(kind: str, algorithms: list[str], tmp_path: Path) -> None:
    """RSA, the three curves and Ed25519, each from a public key, a certificate and a key set."""
    signer = Signer(kind)
    files = {"pem": signer.public_pem, "set": json.dumps({"keys": [signer.jwk()]}).encode()}
    files["one"] = json.dumps(signer.jwk()).encode()
    if kind != "ed25519":
        files["cert"] = certificate(signer).public_bytes(Encoding.PEM)
    if kind == "rsa":
        files["pkcs1"] = signer.private.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        for algorithm in algorithms:
            found = Bearer(str(tmp_path / name), SERVICE).authenticate(sent(signer.token(alg=algorithm)))
            assert found is not None


def test_cve_2025_24976_the_key_is_not_chosen_by_its_name(signer: Signer, tmp_path: Path) -> None:
    """A token that is signed with an attacker's own key, brought along under the trusted key's id, is refused."""
    (tmp_path / "set").write_text(json.dumps({"keys": [signer.jwk(kid="trusted")]}))
    bearer = Bearer(str(tmp_path / "set"), SERVICE)
    assert bearer.authenticate(sent(signer.sign(good_claims(), kid="trusted"))) is not None
    attacker = Signer("other-rsa")
    for header in ({"kid": "trusted"}, {"kid": "trusted", "jwk": attacker.jwk(kid="trusted")}, {"jwk": attacker.jwk()}):
        assert "not signed with a key" in refused(bearer, attacker.sign(good_claims(), **header))
    assert "not signed with a key" in refused(bearer, signer.sign(good_claims(), kid="foreign"))


def test_keys_that_a_token_brings_along_are_not_trusted(bearer: Bearer, signer: Signer) -> None:
    """A chain, a key or an address of one in the header changes nothing; only the configured key may be repeated."""
    attacker = Signer("other-rsa")
    for one, good in ((attacker, False), (signer, True)):
        chain = [b64encode(certificate(one).public_bytes(Encoding.DER)).decode()]
        for header in ({"x5c": chain}, {"jwk": one.jwk()}):
            token = one.sign(good_claims(), **header)
            if good:
                assert bearer.authenticate(sent(token)) is not None
            else:
                assert "not signed with a key" in refused(bearer, token)
            mixed = signer.sign(good_claims(), **header)
            assert good or "not signed with a key" in refused(bearer, mixed)
    for name in ("jku", "x5u"):
        token = signer.sign(good_claims(), **{name: "https://attacker.example/keys"})
        assert "not got from there" in refused(bearer, token)


def test_algorithms_can_not_be_confused(bearer: Bearer, signer: Signer) -> None:
    """Neither no signature, nor the public key as a shared secret, nor a signature that is cut or of another kind."""
    pem = signer.public_pem

    def hs256(body: bytes) -> bytes:
        return hmac.digest(pem, body, hashlib.sha256)

    for token in (
        unsigned({"alg": "none"}, good_claims(), lambda _: b""),
        unsigned({"alg": "None"}, good_claims(), lambda _: b""),
        unsigned({"alg": "HS256"}, good_claims(), hs256),
        unsigned({"alg": "RS256"}, good_claims(), hs256),
        unsigned({"alg": "ES256"}, good_claims(), lambda _: bytes(64)),
        unsigned({"alg": ["RS256"]}, good_claims(), lambda _: b"x"),
        unsigned({"alg": "RS256", "crit": ["b64"], "b64": False}, good_claims(), lambda _: b"x"),
        unsigned({}, good_claims(), lambda _: b"x"),
        signer.token().rpartition(".")[0] + ".",
        signer.token()[:-8] + "AAAAAAAA",
        Signer("P-256").token(alg="ES256"),
        "", ".", "..", "a.b.c", "é.é.é", "x" * 5000, "e30.e30.e30.e30.e30",
    ):  # fmt: skip
        refused(bearer, token)


def test_another_kind_of_header_is_left_alone(bearer: Bearer) -> None:
    """Basic is not for this way to judge."""
    assert bearer.authenticate(Credentials("Basic YTpi")) is None


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": NOW - 60}, "expired"),
        ({"exp": None}, "does not say its exp"),
        ({"exp": True}, "does not say its exp"),
        ({"exp": "9999999999"}, "does not say its exp"),
        ({"exp": float("nan")}, "does not say its exp"),
        ({"exp": float("inf")}, "does not say its exp"),
        ({"exp": 10**400}, "does not say its exp"),
        ({"exp": -float("inf")}, "does not say its exp"),
        ({"nbf": float("nan")}, "does not say its nbf"),
        ({"nbf": -(10**400)}, "does not say its nbf"),
        ({"nbf": NOW + 86_400}, "not valid yet"),
        ({"nbf": "now"}, "does not say its nbf"),
        ({"aud": "another"}, "aud is not"),
        ({"aud": None}, "aud is not"),
        ({"aud": ["another"]}, "aud is not"),
        ({"aud": {SERVICE: 1}}, "aud is not"),
        ({"sub": ["alice"]}, "sub is no name"),
        ({"sub": "a\nb"}, "sub is no name"),
        ({"access": {"type": "repository"}}, "access is no list"),
        ({"access": ["repository:a:pull"]}, "no object"),
        ({"access": [{"type": "repository", "name": 3, "actions": []}]}, "without type, name and actions"),
        ({"access": [{"type": "repository", "name": "a", "actions": "pull"}]}, "without type, name and actions"),
    ],
)
def test_claims_are_checked(bearer: Bearer, signer: Signer, claims: dict[str, Any], reason: str) -> None:
    """Times, the audience, the subject and the shape of the access are held to, and the answer says which is wrong."""
    assert reason in refused(bearer, signer.token(**claims))


@pytest.mark.parametrize(
    "claims",
    [{"aud": ["other", SERVICE]}, {"nbf": None}, {"sub": None}, {"sub": ""}, {"access": None}, {"exp": NOW + 86_400.5}],
)
def test_claims_may_be_missing(bearer: Bearer, signer: Signer, claims: dict[str, Any]) -> None:
    """Several audiences, no nbf, no subject and no access are good tokens."""
    assert bearer.authenticate(sent(signer.token(**claims))) is not None


def test_a_token_without_a_subject_is_known_all_the_same(bearer: Bearer, signer: Signer) -> None:
    """Token servers give tokens to the anonymous; such a caller has no name, and is more than nobody."""
    found = bearer.authenticate(sent(signer.token("repository:a:pull", sub="")))
    assert found is not None
    assert (found.name, found.is_known) == ("", True)


@pytest.mark.parametrize("name", ["**", "a/*", "a?", "[a]", "{a,b}", "A", "../a", "", "a\n"])
def test_patterns_grant_nothing(bearer: Bearer, signer: Signer, name: str) -> None:
    """A token names repositories; what would be a pattern elsewhere is none here, and grants nothing."""
    access = [{"type": "repository", "name": name, "actions": ["*", 3, "nothing"]}]
    found = bearer.authenticate(sent(signer.token(access=access)))
    assert found is not None
    assert not any(found.stays_within(action, one) for action in Action for one in ("a", "b", "a/b", "ab"))


def test_changed_keys_are_taken(signer: Signer, tmp_path: Path, bearer: Bearer) -> None:
    """A new key in the file counts from the next request on, and several at once while the server changes its own."""
    file = tmp_path / "token.pem"
    new = Signer("P-256")
    file.write_bytes(signer.public_pem + new.public_pem)
    assert bearer.authenticate(sent(signer.token())) is not None
    assert bearer.authenticate(sent(new.token(alg="ES256"))) is not None
    new.write(file)
    refused(bearer, signer.token())
    file.write_text("broken")
    assert bearer.authenticate(sent(new.token(alg="ES256"))) is not None
    os.remove(file)
    assert bearer.authenticate(sent(new.token(alg="ES256"))) is not None


def test_files_that_can_not_be_used(signer: Signer, tmp_path: Path) -> None:
    """No file, no key, a private key, a short one, a shared secret and a kind that is not taken stop the start."""
    short = rsa.generate_private_key(65537, 1024).public_key()
    contents = {
        "empty": b"",
        "text": b"hello",
        "private": signer.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "short": short.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "secret": json.dumps({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}).encode(),
        "for-encryption": json.dumps(signer.jwk(use="enc")).encode(),
        "list": b'{"keys": 3}',
        "json": b"{",
    }
    with pytest.raises(StartupError, match=r"http\.auth\.bearer\.cert"):
        Bearer(str(tmp_path / "missing"), SERVICE)
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(StartupError, match=r"http\.auth\.bearer\.cert"):
            Bearer(str(tmp_path / name), SERVICE)


def test_clients_are_told_what_to_ask_for() -> None:
    """The challenge has the realm, the service and the scope of what was tried; the base has none."""
    header = challenge("https://auth.example/token", SERVICE)
    start = f'Bearer realm="https://auth.example/token",service="{SERVICE}"'
    expected = {
        (Action.PING, None, ""): start,
        (Action.READ, "a/b", ""): f'{start},scope="repository:a/b:pull"',
        (Action.CREATE, "a", ""): f'{start},scope="repository:a:pull,push"',
        (Action.DELETE, "a", ""): f'{start},scope="repository:a:pull,delete"',
        (Action.LIST, None, ""): f'{start},scope="registry:catalog:*"',
        (Action.READ, "a", "invalid_token"): f'{start},scope="repository:a:pull",error="invalid_token"',
    }
    assert {case: header(*case)["WWW-Authenticate"] for case in expected} == expected


def test_the_list_of_repositories_is_a_grant_of_its_own(bearer: Bearer, signer: Signer) -> None:
    """Who may list the registry may see all names and read none of what they name."""
    found = bearer.authenticate(sent(signer.token("registry:catalog:*")))
    assert isinstance(found, Principal)
    assert found.stays_within(Action.LIST, "a")
    assert not found.stays_within(Action.READ, "a")
