"""A certificate and its key: loaded for TLS, or said what is wrong with them, in the same words everywhere."""

from __future__ import annotations

import ssl

_REMEDY = "store it without one, for this user's eyes only: (umask 077; openssl pkey -in {key} -out FILE)"


class UnfitPair(ValueError):
    """Files that can't serve TLS. `name` is that of the key in `http.tls` which is to blame."""

    def __init__(self, name: str, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}; {remedy}")
        self.name = name
        self.problem = problem
        self.remedy = remedy


def load_pair(context: ssl.SSLContext, cert: str, key: str) -> None:
    """Let a context use a certificate and its key, PEM files. Raises `UnfitPair`, and `OSError` for unreadable ones."""
    asked = False

    def refuse() -> str:
        # Without this function OpenSSL would ask at the terminal.
        nonlocal asked
        asked = True
        return ""

    try:
        context.load_cert_chain(cert, key, password=refuse)
    except (ssl.SSLError, ValueError) as error:
        if asked:
            raise UnfitPair("key", f"{key} is encrypted with a pass phrase", _REMEDY.format(key=key)) from None
        raise _explain(error, cert, key) from None


def _explain(error: Exception, cert: str, key: str) -> UnfitPair:
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        return UnfitPair("key", f"{key} is not the key of {cert}", "give both of one pair")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cert)
    except ssl.SSLError:
        remedy = "give the server's certificate, followed by those that lead to its authority"
        return UnfitPair("cert", f"{cert} holds no certificate in PEM format", remedy)
    return UnfitPair("key", f"{key} holds no key in PEM format", "give the key that belongs to the certificate")
