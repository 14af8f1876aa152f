"""A real directory for tests: slapd on free ports of the loopback address, with TLS."""

from __future__ import annotations

import subprocess
from pathlib import Path

import trustme

from tests.servers import PATIENCE, free_port, wait_until
from tests.services import listens

BASE = "dc=example,dc=org"
ADMIN = f"cn=admin,{BASE}"
PEOPLE = f"ou=people,{BASE}"
DEVS = f"cn=devs,ou=groups,{BASE}"

_CONFIGURATION = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
TLSCertificateFile {directory}/server.pem
TLSCertificateKeyFile {directory}/server.pem
database mdb
suffix "{base}"
rootdn "{admin}"
rootpw adminpw
directory {directory}/db
maxsize 33554432
dbnosync
overlay memberof
access to attrs=userPassword by anonymous auth by self write by * none
access to * by users read by anonymous none
"""
_ENTRIES = f"""
dn: {BASE}
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: {PEOPLE}
objectClass: organizationalUnit
ou: people

dn: ou=groups,{BASE}
objectClass: organizationalUnit
ou: groups
"""
_PEOPLE = [
    ("alice", "staff", "alicepw"),
    ("bob", "guest", "bobpw"),
    ("both", "staff", "of-ldap"),
    ("a*b", "x", "starpw"),
]
_PERSON = """
dn: uid={uid},ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: {uid}
cn: {uid}
sn: {uid}
title: {title}
userPassword: {password}
"""
_GROUP = f"""
dn: {DEVS}
objectClass: groupOfNames
cn: devs
member: uid=alice,{PEOPLE}
"""


class Slapd:
    """The server; it is made and filled once, and can be stopped and started."""

    def __init__(self, program: str, directory: Path) -> None:
        self._program = program
        self._directory = directory
        self.port, self.tls_port = free_port(), free_port()
        self.ca = str(directory / "ca.pem")
        self._process: subprocess.Popen[bytes] | None = None
        self._prepare()
        self.start()
        self.change("ldapadd", _GROUP)

    def start(self) -> None:
        """Start it and wait until it answers."""
        urls = f"ldap://127.0.0.1:{self.port}/ ldaps://127.0.0.1:{self.tls_port}/"
        command = [self._program, "-h", urls, "-f", str(self._directory / "slapd.conf"), "-d", "0"]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(lambda: listens(self.port), "slapd answers")

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE)
            self._process = None

    def change(self, program: str, text: str) -> None:
        """Let ldapadd or ldapmodify make a change."""
        url = f"ldap://127.0.0.1:{self.port}"
        command = [program, "-x", "-H", url, "-D", ADMIN, "-w", "adminpw"]
        subprocess.run(command, input=text.encode(), check=True, capture_output=True, timeout=PATIENCE)

    def _prepare(self) -> None:
        (self._directory / "db").mkdir()
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.ca)
        authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(
            str(self._directory / "server.pem")
        )
        text = _CONFIGURATION.format(directory=self._directory, base=BASE, admin=ADMIN)
        (self._directory / "slapd.conf").write_text(text)
        entries = _ENTRIES + "".join(_PERSON.format(uid=uid, title=title, password=pw) for uid, title, pw in _PEOPLE)
        (self._directory / "entries.ldif").write_text(entries)
        command = [self._program, "-T", "add", "-q", "-f", str(self._directory / "slapd.conf")]
        subprocess.run([*command, "-l", str(self._directory / "entries.ldif")], check=True, timeout=PATIENCE)
