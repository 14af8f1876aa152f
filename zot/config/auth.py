"""`http.auth`: who may log in, and how."""

from __future__ import annotations

from datetime import timedelta

from zot.config.drivers import SessionDriver
from zot.config.section import REQUIRED, Section, setting
from zot.config.values import NO_SECRET, Many, Secret, Span


class Htpasswd(Section):
    """Users and passwords in a file."""

    path: str = setting(REQUIRED, "A file of lines `user:hash`, as `htpasswd -B` writes it.", min_length=1)


class Ldap(Section):
    """Users and passwords in a directory."""

    address: str = setting("", "The server's name.")
    port: int | None = setting(None, "The server's port; 389, or 636 with LDAPS, if left out.", ge=1, le=65535)
    insecure: bool | None = setting(
        None, "True is a plain connection, or StartTLS; false is LDAPS; left out, port 636 is LDAPS and others are not."
    )
    start_tls: bool = setting(False, "Turn a plain connection into TLS before anything is sent.", name="startTLS")
    skip_verify: bool = setting(False, "Accept any certificate of the server.")
    cacert: str = setting("", "Certificates, a PEM file, that must have signed the server's; the system's if left out.")
    base_dn: str = setting("", "Where users are searched.", name="baseDN")
    subtree_search: bool = setting(False, "Search below that too, not only directly under it.")
    user_attribute: str = setting("", "The attribute that holds the name that users log in with: `uid`.")
    user_filter: str = setting("", "A filter that users must match: `(!(nsaccountlock=TRUE))`.")
    user_group_attribute: str = setting("", "The attribute that holds a user's groups: `memberOf`.")
    bind_dn: str = setting("", "Who searches; anonymous if left out.", name="bindDN")
    bind_password: Secret = setting(NO_SECRET, "The password of who searches.", secret=True)
    credentials_file: str = setting("", "A file with bindDN and bindPassword, instead of the two here.")


class Variable(Section):
    """A name for an expression over a token's claims."""

    name: str = setting("", "The name.")
    expression: str = setting("", "The expression, in CEL.")


class Validation(Section):
    """What a token's claims must satisfy."""

    expression: str = setting("", "The expression, in CEL.")
    message: str = setting("", "What is said when it does not hold.")


class ClaimExpressions(Section):
    """How a workload's token becomes a user."""

    variables: tuple[Variable, ...] = setting((), "Names for expressions.")
    validations: tuple[Validation, ...] = setting((), "What must hold.")
    username: str = setting("", "The user's name, an expression.")
    groups: str = setting("", "The user's groups, an expression.")


class WorkloadIssuer(Section):
    """An issuer of workloads' tokens."""

    issuer: str = setting(REQUIRED, "The issuer's address.", min_length=1)
    audiences: Many[str] = setting((), "The audiences of which a token must name one.")
    claim_mapping: ClaimExpressions | None = setting(None, "How a token becomes a user.")
    certificate_authority: str = setting("", "Certificates, in PEM, that must have signed the issuer's.")
    certificate_authority_file: str = setting("", "A file with them.")
    skip_issuer_verification: bool = setting(False, "Accept tokens whose issuer is spelled otherwise.")


class UpstreamTokenEndpoint(Section):
    """The token server that requests for tokens are handed to."""

    realm: str = setting("", "Its address.")
    service: str = setting("", "The service that it knows this registry by.")
    allow_insecure_http: bool = setting(False, "Let it be reached without TLS.")


class SecretsManager(Section):
    """Keys of tokens in AWS Secrets Manager."""

    region: str = setting("", "The region.")
    secret_name: str = setting("", "The name of the secret that holds the keys.")
    refresh_interval: Span = setting(timedelta(minutes=1), "How often it is read.")


class Bearer(Section):
    """Tokens of an external token server."""

    realm: str = setting("", "The address of the token server, which clients are sent to.")
    service: str = setting("", "The name that the token server knows this registry by; tokens must be made for it.")
    cert: str = setting("", "The certificate or public key, a PEM file, that tokens are checked with.")
    upstream_token_endpoint: UpstreamTokenEndpoint | None = setting(
        None, "A token server to hand requests to.", acted_on=False
    )
    oidc: tuple[WorkloadIssuer, ...] = setting((), "Issuers of workloads' tokens.", acted_on=False)
    aws_secrets_manager: SecretsManager | None = setting(None, "Keys of tokens in AWS Secrets Manager.", acted_on=False)


class ClaimNames(Section):
    """Which claims hold a user's name and groups."""

    username: str = setting("", "The claim of the name: `preferred_username`; `email` if left out.")
    groups: str = setting("", "The claim of the groups; `groups` if left out.")


class Provider(Section):
    """One provider of identities."""

    name: str = setting("", "What the login page calls it.")
    clientid: str = setting("", "The id that the provider knows this registry by.", name="clientid")
    clientsecret: Secret = setting(NO_SECRET, "The secret that goes with it.", name="clientsecret", secret=True)
    credentials_file: str = setting("", "A file with clientid and clientsecret, instead of the two here.")
    keypath: str = setting("", "A private key that signs instead of a secret.", name="keypath")
    issuer: str = setting("", "The provider's address.")
    authurl: str = setting("", "GitHub: where users log in, if not at github.com.", name="authurl")
    tokenurl: str = setting("", "GitHub: where tokens are got, if not at github.com.", name="tokenurl")
    scopes: Many[str] = setting((), "What is asked of the provider: `openid`, `email`, `groups`.")
    claim_mapping: ClaimNames | None = setting(None, "Which claims hold a user's name and groups.")


class OpenId(Section):
    """Login in a browser."""

    providers: dict[str, Provider] = setting({}, "Providers by name: `google`, `github`, `gitlab` or `oidc`.")
    callback_allow_origins: Many[str] = setting(
        (), "The origins that a login may send a browser back to, beside this registry's own."
    )


class Mtls(Section):
    """How a client's certificate becomes a user."""

    identity_attributes: Many[str] = setting(
        ("CommonName",), "Where the name stands: `CommonName`, `Subject`, `Email`, `URI` or `DNSName`; the first found."
    )
    uri_san_pattern: str = setting("", "A regular expression whose first group is the name in a URI.")
    uri_san_index: int = setting(0, "Which of several URIs is meant.", ge=0)
    dns_san_index: int = setting(0, "Which of several DNS names is meant.", ge=0)
    email_san_index: int = setting(0, "Which of several email addresses is meant.", ge=0)


class Auth(Section):
    """Who may log in, and how."""

    fail_delay: int = setting(0, "Seconds that a failed login is answered later.", ge=0)
    htpasswd: Htpasswd | None = setting(None, "Users and passwords in a file.")
    ldap: Ldap | None = setting(None, "Users and passwords in a directory; asked before htpasswd.")
    bearer: Bearer | None = setting(None, "Tokens of an external token server; with it no other way to log in counts.")
    openid: OpenId | None = setting(None, "Login in a browser, by other services; it turns API keys on.", name="openid")
    apikey: bool = setting(False, "Users may make API keys, to be used as passwords.", name="apikey")
    session_keys_file: str = setting(
        "",
        "A file with hashKey and encryptKey, which sign and encrypt sessions; made by the server if left out.",
    )
    session_driver: SessionDriver | None = setting(
        None, "Where sessions are kept; in the store if left out.", acted_on=False
    )
    secure_session: bool | None = setting(
        None,
        "Send session cookies over TLS only; as TLS is on, if left out.",
    )
    mtls: Mtls | None = setting(None, "How a client's certificate becomes a user; see tls.cacert.", name="mtls")
