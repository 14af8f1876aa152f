"""What the configuration says of a provider of identities, apart from the code that asks it, which loads slowly."""

from __future__ import annotations

from typing import NamedTuple

from zot.auth.identity import ClaimNames


class ProviderSettings(NamedTuple):
    """How a provider knows this registry, and how it is reached.

    `key` is a private key in PEM, which signs instead of the secret. `issuer` is for OpenID Connect, the two addresses
    are for GitHub.
    """

    name: str
    client_id: str
    secret: str = ""
    key: str = ""
    issuer: str = ""
    auth_url: str = ""
    token_url: str = ""
    scopes: tuple[str, ...] = ()
    claims: ClaimNames = ClaimNames()
