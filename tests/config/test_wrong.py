"""A table of wrong configurations: each is refused in the right line, with the key and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.certificates import Authority
from zot.config import ConfigError, Problem, check

# Line 1 of each file below that does not begin with `storage` or a brace.
STORAGE = "storage: {rootDirectory: /r}\n"
AUTH = "http:\n  auth:\n    "
TLS = "  tls: {cert: cert.pem, key: key.pem, cacert: authority.pem}\n"
CONTROL = "http:\n  auth: {htpasswd: {path: here}}\n  accessControl:\n    "
SYNC = "extensions:\n  sync:\n    registries:\n      - "

# The text, the line, the key, what to do; every one is the only error of its file.
WRONG = [
    ("storage:\n\trootDirectory: /r\n", 2, "", "indent with spaces"),
    ("storage:\n  rootDirectory: /r\n\tgc: true\n", 3, "", "indent with spaces"),
    ("storage:\n  rootDirectory: /r\n  \tgc: true\n", 3, "", "indent with spaces"),
    ("storage:\n  rootDirectory: /r\n \tgc: true\n  commit: true\n", 3, "", "indent with spaces"),
    ("storage:\n  rootDirectory: /r\n gc: true\n", 3, "", "the same indent"),
    ("storage:\n  rootDirectory: /r\n   gc: true\n", 3, "", "indent as the line before does"),
    ("storage:\n  rootDirectory: '/r\n", 3, "", "close them"),
    # Patterns without the quotes that YAML wants.
    (f"{CONTROL}repositories:\n      **:\n        defaultPolicy: read\n", 6, "", 'write "**"'),
    (f"{CONTROL}repositories:\n      */app: {{}}\n", 6, "", 'write "*/app"'),
    (f"{CONTROL}repositories: {{*: {{}}}}\n", 5, "", 'write "*"'),
    ("storage:\n  rootDirectory: /r\n  retention:\n    policies:\n    - repositories: [a, **]\n", 5, "", 'write "**"'),
    ("storage:\n  rootDirectory: /r\n  retention:\n    policies:\n    - repositories: *b\n", 5, "", "put it between quotes"),
    # What is no document.
    ("", 1, "", "write its keys"),
    ("null\n", 1, "", "write its keys"),
    ("- storage\n", 1, "", "use a section with keys of its own"),
    ("storage: {rootDirectory: /r\nhttp: {}\n", 2, "", "close it"),
    ("storage: {rootDirectory: *nothing}\n", 1, "", "write &nothing before it"),
    ("storage: {rootDirectory: !!python/object/apply:os.system [x]}\n", 1, "", "leave the tag out"),
    ("storage: {rootDirectory: /r}\n---\nhttp: {}\n", 2, "", "keep one of them"),
    ("? [a]\n: b\n", 1, "", "write it so"),
    ("x: " + "[" * 100 + "]" * 100, 1, "", "write it as the examples do"),
    ('{"storage": {"rootDirectory": "/r"},\n}', 1, "", "leave it out"),
    ('{"storage": {"rootDirectory": "/r"}\n "http": {}}', 2, "", "write one after the value before"),
    ('{"storage": {"rootDirectory": "/r"', 1, "", "add what is missing"),
    ('{"storage":\n{"rootDirectory": /r}}', 2, "", "put texts in double quotes"),
    ('{"storage": {"rootDirectory":\n"/r}}', 2, "", "write a double quote at its end"),
    ('{"storage": {"rootDirectory": "C:\\zot"}}', 1, "", "write \\\\ for a backslash"),
    ('{storage: {"rootDirectory": "/r"}}', 1, "", "write it so"),
    ('{"storage" {"rootDirectory": "/r"}}', 1, "", "write one, and a value after it"),
    ('{"storage": {"rootDirectory": "/r"}} {}', 1, "", "leave it out, or mend the braces"),
    ('{"storage": {"rootDirectory": "\\ud800"}}', 1, "", "write the character itself"),
    ('{"storage": {"rootDirectory": "/r", "maxRepos": ' + "9" * 50 + "}}", 1, "", "write a shorter one"),
    # Keys.
    ('{"storage": {"rootDirectory": "/r"},\n"Storage": {}}', 2, "Storage", "leave one of them out"),
    ("storage:\n  rootDirectory: /r\n  rootDirectry: /s\n", 3, "storage.rootDirectry", "storage.rootDirectory?"),
    ("storag: {rootDirectory: /r}\nstorage: {rootDirectory: /r}\n", 1, "storag", "did you mean storage?"),
    ("metrics: {enable: true}\n", 2, "metrics", "move it to extensions.metrics"),
    ("sync: {registries: []}\n", 2, "sync", "move it to extensions.sync"),
    ("tls: {cert: here}\n", 2, "tls", "move it to http.tls"),
    ("rootDirectory: /r\n", 2, "rootDirectory", "move it to storage.rootDirectory"),
    ("http:\n  accessControll: {}\n", 3, "http.accessControll", "did you mean http.accessControl?"),
    ("zzz: 1\n", 2, "zzz", "leave it out"),
    ("http:\n  apikey: true\n", 3, "http.apikey", "move it to http.auth.apikey"),
    ("apikey: true\n", 2, "apikey", "move it to http.auth.apikey"),
    (f"{CONTROL}anonymousPolicy: [read]\n", 5, "http.accessControl.anonymousPolicy",
     "move it to http.accessControl.repositories.<name>.anonymousPolicy"),
    (f"{AUTH}htpasswd: {{path: here, apikey: true}}\n", 4, "http.auth.htpasswd.apikey", "move it to http.auth.apikey"),
    ("clientid: c\n", 2, "clientid", "move it to http.auth.openid.providers.<name>.clientid"),
    ("server: {}\n", 2, "server", "leave it out"),
    ("htpassword: {path: here}\n", 2, "htpassword", "did you mean http.auth.htpasswd?"),
    (f"{AUTH}path: here\n", 4, "http.auth.path", "move it to http.auth.htpasswd.path"),
    (f"{CONTROL}'fast/**': {{}}\n", 5, "http.accessControl.fast/**", "move it to http.accessControl.repositories.fast/**"),
    (f"{CONTROL}'**': {{}}\n", 5, "http.accessControl.**", "move it to http.accessControl.repositories.**"),
    ("storage:\n  rootDirectory: /r\n  /fast: {}\n", 3, "storage./fast", "move it to storage.subPaths./fast"),
    ("storage:\n  rootDirectory: /r\n  subPaths:\n    /x: {rootDirectory: /s, gc: true,\n      keepTags: []}\n", 5,
     "storage.subPaths./x.keepTags", "move it to storage.subPaths./x.retention.policies[].keepTags"),
    ("http: 8080\n", 2, "http", "use a section with keys of its own"),
    (f"{AUTH}htpasswd: here\n", 4, "http.auth.htpasswd", 'as {"path": "…"}'),
    ("log: /x.log\n", 2, "log", 'as {"output": "…"}'),
    ("extensions: {metrics: true}\n", 2, "extensions.metrics", 'as {"enable": true}'),
    (f"{CONTROL}adminPolicy: [{{users: a}}]\n", 5, "http.accessControl.adminPolicy", "users, groups, actions"),
    (f"{CONTROL}repositories: {{'a/**': [{{users: a}}]}}\n", 5, "http.accessControl.repositories.a/**", 'as {"policies": […]}'),
    (f"{CONTROL}repositories: ['a/**']\n", 5, "http.accessControl.repositories", "names of your own"),
    ("# x: storage:\n[storage]\nrootDirectory = '/r'\nstorage: x\n", 2, "", "write it in JSON or YAML"),
    ("rootDirectory = '/r'\nstorage: x\n", 1, "", "write it in JSON or YAML"),
    # Values.
    ("http: {port: 080}\n", 2, "http.port", "write 80"),
    ("storage: {}\nhttp: {}\n", 1, "storage.rootDirectory", "add it"),
    ("http: {port: 70000}\n", 2, "http.port", "use 65535 or less"),
    ("http: {port: http}\n", 2, "http.port", "use a whole number"),
    ("http:\n  compat: [docker2s2, docker1]\n", 3, "http.compat[1]", "use one of 'docker2s2' or 'sparse'"),
    ("log:\n  level: loud\n", 3, "log.level", "use one of trace, debug, info"),
    ("storage:\n  rootDirectory: /r\n  dedupe: perhaps\n", 3, "storage.dedupe", "use true or false"),
    ("storage:\n  rootDirectory: /r\n  gcDelay: 2 hours\n", 3, "storage.gcDelay", "write one as 90s, 1h30m or 24h"),
    ("storage:\n  rootDirectory: /r\n  gcDelay: 7d\n", 3, "storage.gcDelay", "write 168h"),
    ("storage:\n  rootDirectory: /r\n  gcDelay: 2 weeks\n", 3, "storage.gcDelay", "write 336h"),
    ("storage:\n  rootDirectory: /r\n  gcDelay: -2h\n", 3, "storage.gcDelay", "use 0s or more"),
    ("storage:\n  rootDirectory: /r\n  gcInterval: -1s\n", 3, "storage.gcInterval", "use 0s or more"),
    ("storage:\n  rootDirectory: /r\n  retention:\n    delay: -1h\n", 4, "storage.retention.delay", "use 0s or more"),
    ("storage:\n  rootDirectory: /r\n  retention:\n    policies:\n    - repositories: ['a[']\n", 5,
     "storage.retention.policies[0].repositories[0]", "mend it"),
    ("storage:\n  rootDirectory: /r\n  gcTimeWindow: 25:00-26:00\n", 3, "storage.gcTimeWindow", "as 22:00-04:00"),
    ("storage:\n  rootDirectory: /r\n  gcTimeWindow: 02:00-02:00\n", 3, "storage.gcTimeWindow", "different times"),
    # Storage.
    ("storage:\n  rootDirectory: /r\n  subPaths: {/a: {rootDirectory: /r/}}\n", 3,
     "storage.subPaths./a.rootDirectory", "give each store a place of its own"),
    ("storage:\n  rootDirectory: /r\n  subPaths: {/a: {rootDirectory: /r/a}}\n", 3,
     "storage.subPaths./a.rootDirectory", "give each store a place of its own"),
    ("storage:\n  rootDirectory: /r\n  subPaths: {a: {rootDirectory: /s}}\n", 3, "storage.subPaths.a", "as in /team"),
    ("storage:\n  rootDirectory: /r\n  subPaths: {/a/b: {rootDirectory: /s}}\n", 3, "storage.subPaths./a/b", "/team"),
    ("storage:\n  rootDirectory: /r\n  subPaths:\n    /a: {rootDirectory: /s, gc: true, gcDelay: 0}\n", 4,
     "storage.subPaths./a.gcDelay", "use a delay longer than a push takes"),
    ("storage:\n  rootDirectory: /r\n  storageDriver: {name: s4}\n", 3, "storage.storageDriver.name", "use s3"),
    ("storage:\n  storageDriver:\n    {name: s3, region: r}\n", 2, "storage.storageDriver.bucket", "add it"),
    ("storage:\n  storageDriver: {name: s3, bucket: b}\n", 2, "storage.storageDriver.region", "add it, or regionendpoint"),
    ("storage:\n  storageDriver: {name: s3, bucket: b, region: r, accesskey: k}\n", 2,
     "storage.storageDriver.secretkey", "add it, or leave both out"),
    ("storage:\n  storageDriver: {name: s3, bucket: b, region: r, chunksize: 1024}\n", 2,
     "storage.storageDriver.chunksize", "use 5242880 or more"),
    ("storage:\n  storageDriver:\n    name: s3\n    bucket: b\n    region: r\n    secretkey: ${NOT_SET}\n"
     "    accesskey: k\n", 6, "storage.storageDriver.secretkey", "set NOT_SET"),
    ("storage:\n  storageDriver:\n    name: s3\n    bucket: b\n    region: r\n    accesskey: k\n"
     "    secretkey: ${file:missing}\n", 7, "storage.storageDriver.secretkey", "name one that holds the secret"),
    ("storage:\n  rootDirectory: /r\n  redirectBlobURL: true\n", 3, "storage.redirectBlobURL", "use a storageDriver"),
    ("storage:\n  rootDirectory: /r\n  cacheDriver: {name: bolt}\n", 3, "storage.cacheDriver.name", "dynamodb or redis"),
    ("storage:\n  rootDirectory: /r\n  retention:\n    policies:\n      - repoNames: '{1..999}'\n", 5,
     "storage.retention.policies[0].repoNames[0]", "mend it"),
    ("storage:\n  rootDirectory: /r\n  retention:\n    policies:\n      - keepTags:\n          - patterns: ['v[']\n"
     "        repoNames: '**'\n", 6, "storage.retention.policies[0].keepTags[0].patterns[0]", "mend it"),
    # HTTP.
    ("http:\n  address: 0.0.0.0:5000\n", 3, "http.address", "the port in http.port"),
    ("http:\n  address: http://localhost\n", 3, "http.address", "write the host only"),
    ("http:\n  tls: {cert: here}\n", 3, "http.tls.key", "name a PEM file, or leave tls out"),
    ("http:\n  tls: {cert: missing, key: here}\n", 3, "http.tls.cert", "name one that is there"),
    ("http:\n  tls: {cert: here, key: key.pem}\n", 3, "http.tls.cert", "give the server's certificate"),
    ("http:\n  tls:\n    cert: cert.pem\n    key: here\n", 5, "http.tls.key", "give the key that belongs to the certificate"),
    ("http:\n  tls:\n    cert: authority.pem\n    key: key.pem\n", 5, "http.tls.key", "give both of one pair"),
    ("http:\n  externalUrl: zot.example.com\n", 3, "http.externalUrl", "write https://zot.example.com"),
    ("http:\n  allowOrigin: ui.example.com\n", 3, "http.allowOrigin", "write a scheme and a host"),
    ('http:\n  realm: say "friend"\n', 3, "http.realm", "use letters and spaces"),
    ("http:\n  ratelimit: {methods: [{method: get, rate: 5}]}\n", 3, "http.ratelimit.methods[0].method", "mean GET?"),
    ("http:\n  ratelimit: {methods: [{method: GET}]}\n", 3, "http.ratelimit.methods[0].rate", "add it"),
    ("http:\n  ratelimit: {rate: 0}\n", 3, "http.ratelimit.rate", "use 1 or more"),
    # Who may log in.
    (f"{AUTH}htpasswd: {{path: missing}}\n", 4, "http.auth.htpasswd.path", "name one that is there"),
    (f"{AUTH}ldap: {{address: l, userAttribute: uid}}\n", 4, "http.auth.ldap.baseDN", "add it"),
    (f"{AUTH}ldap: {{address: l, userAttribute: uid, baseDN: d, bindDN: b}}\n", 4, "http.auth.ldap.bindPassword", "add it"),
    (f"{AUTH}ldap: {{address: l, userAttribute: uid, baseDN: d, userFilter: (a=b}}\n", 4,
     "http.auth.ldap.userFilter", "write it as"),
    (f"{AUTH}ldap: {{address: l, userAttribute: u, baseDN: d, credentialsFile: missing}}\n", 4,
     "http.auth.ldap.credentialsFile", "name one that is there"),
    (f"{AUTH}bearer: {{realm: 'https://a/t', cert: here}}\n", 4, "http.auth.bearer.service", "a token server needs it"),
    (f"{AUTH}bearer: {{realm: a, service: s, cert: here}}\n", 4, "http.auth.bearer.realm", "https://auth.example.com"),
    (f"{AUTH}openid: {{providers: {{dex: {{clientid: c}}}}}}\n", 4, "http.auth.openid.providers.dex", "oidc is for any"),
    (f"{AUTH}openid: {{providers: {{oidc: {{clientid: c, scopes: openid}}}}}}\n", 4,
     "http.auth.openid.providers.oidc.issuer", "a login needs it"),
    (f"{AUTH}openid: {{providers: {{github: {{scopes: user}}}}}}\n", 4,
     "http.auth.openid.providers.github.clientid", "a login needs it"),
    (f"{AUTH}openid: {{providers: {{github: {{scopes: user, clientid: c}}}}, callbackAllowOrigins: /home}}\n", 4,
     "http.auth.openid.callbackAllowOrigins[0]", "write a scheme and a host"),
    (f"{AUTH}apikey: true\n", 4, "http.auth.apikey", "add htpasswd, ldap or openid to http.auth"),
    (f"{AUTH}apikey: true\n  accessControl: {{repositories: {{'**': {{defaultPolicy: read}}}}}}\n", 4, "http.auth.apikey",
     "add htpasswd, ldap or openid to http.auth"),
    (f"{AUTH}mtls: {{}}\n", 4, "http.auth.mtls", "add cert, key and cacert to http.tls"),
    (f"http:\n{TLS}  auth:\n    mtls: {{identityAttributes: [Name]}}\n", 5,
     "http.auth.mtls.identityAttributes[0]", "use one of CommonName"),
    (f"http:\n{TLS}  auth:\n    mtls: {{uriSanIndex: 1}}\n", 5, "http.auth.mtls.uriSanIndex", "add URI to them"),
    (f"http:\n{TLS}  auth:\n    mtls: {{identityAttributes: URI, uriSanPattern: '('}}\n", 5,
     "http.auth.mtls.uriSanPattern", "write it as spiffe://"),
    (f"{AUTH}sessionDriver: {{name: memcached}}\n", 4, "http.auth.sessionDriver.name", "use local or redis"),
    (f"{AUTH}sessionKeysFile: here\n    sessionDriver: {{name: redis}}\n", 4, "http.auth.sessionKeysFile", "leave it out"),
    # Who may do what.
    ("http:\n  accessControl: {repositories: {'**': {defaultPolicy: read}}}\n", 3, "http.accessControl", "add htpasswd"),
    (f"{CONTROL}repositories:\n      '**': {{defaultPolicy: [read, write]}}\n", 6,
     "http.accessControl.repositories.**.defaultPolicy[1]", "use one of 'read', 'create'"),
    (f"{CONTROL}repositories:\n      '{{1..999}}': {{defaultPolicy: read}}\n", 6,
     "http.accessControl.repositories.{1..999}", "write it as"),
    # Extensions.
    ("extensions:\n  metrics: {prometheus: {path: metrics}}\n", 3, "extensions.metrics.prometheus.path", "/metrics"),
    ("extensions:\n  metrics: {prometheus: {path: /v2/metrics}}\n", 3, "extensions.metrics.prometheus.path", "/metrics"),
    ("extensions:\n  metrics: {prometheus: {path: /a/../b}}\n", 3, "extensions.metrics.prometheus.path", "write /b"),
    ("extensions:\n  ui: {}\n", 3, "extensions.ui", "add extensions.search"),
    ("extensions:\n  events: {enable: true, sinks: [{type: smtp}]}\n", 3, "extensions.events.sinks[0].type", "'http' or"),
    ("extensions:\n  events: {enable: true, sinks: [{type: http, address: x}]}\n", 3,
     "extensions.events.sinks[0].address", "write https://events.example.com"),
    (f"{SYNC}{{urls: r.example.com, onDemand: true}}\n", 5, "extensions.sync.registries[0].urls[0]", "write https://"),
    (f"{SYNC}{{onDemand: true}}\n", 5, "extensions.sync.registries[0].urls", "add it"),
    (f"{SYNC}{{urls: 'https://r', onDemand: true, maxRetries: 3}}\n", 5,
     "extensions.sync.registries[0].retryDelay", "add it, for example 5m"),
    (f"{SYNC}{{urls: 'https://r', onDemand: true, retryDelay: 5m, maxRetryDelay: 1m}}\n", 5,
     "extensions.sync.registries[0].maxRetryDelay", "use a longer one"),
    (f"{SYNC}{{urls: 'https://r', onDemand: true, reqConcurrent: 0}}\n", 5,
     "extensions.sync.registries[0].reqConcurrent", "use 1 or more"),
    (f"{SYNC}{{urls: 'https://r', onDemand: true, reqPerSec: .inf}}\n", 5,
     "extensions.sync.registries[0].reqPerSec", "use a number"),
    (f"{SYNC}{{urls: 'https://r', onDemand: true, preserveDigest: true}}\n", 5,
     "extensions.sync.registries[0].preserveDigest", "add docker2s2 to http.compat"),
    (f"{SYNC}{{urls: 'https://r', onDemand: true, credentialHelper: aws}}\n", 5,
     "extensions.sync.registries[0].credentialHelper", "use ecr, gcp or oauth2"),
    (f"{SYNC}{{urls: 'https://r', onDemand: true, content: [{{prefix: a, destination: /, stripPrefix: true}}]}}\n", 5,
     "extensions.sync.registries[0].content[0].stripPrefix", "set it to false"),
    (f"{SYNC}{{urls: 'https://r', onDemand: true, content: [{{prefix: a, tags: {{regex: '4.('}}}}]}}\n", 5,
     "extensions.sync.registries[0].content[0].tags.regex", "mend it"),
    (f"{SYNC}{{urls: 'https://r', onDemand: true, content: [{{prefix: '/{{1..999}}'}}]}}\n", 5,
     "extensions.sync.registries[0].content[0].prefix", "write it as /repo1/repo"),
    (f"{SYNC}{{urls: 'https://r', onDemand: true, certDir: missing}}\n", 5,
     "extensions.sync.registries[0].certDir", "name one that is there"),
    ("extensions:\n  sync: {credentialsFile: missing}\n", 3, "extensions.sync.credentialsFile", "name one that is there"),
    ("cluster: {members: [a], hashKey: short}\n", 2, "cluster.hashKey", "write 16 of them"),
    ("log: {output: /l, audit: /l}\n", 2, "log.audit", "name another"),
]  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that the server is started in, with a file `here`, which holds session keys, and a certificate."""
    Authority(tmp_path)
    (tmp_path / "here").write_text("hashKey: 0123456789")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def problems_of(text: str, directory: Path) -> list[Problem]:
    """Return what is wrong with a text."""
    file = directory / ("c.json" if text.startswith("{") else "c.yaml")
    is_whole = text.startswith(("{", "- ", "? ", "x: ")) or "\nstorage:" in f"\n{text}" or text in ("", "null\n")
    file.write_text(text if is_whole else STORAGE + text)
    try:
        return check(str(file), {}).problems
    except ConfigError as error:
        return error.problems


@pytest.mark.parametrize(("text", "line", "key", "remedy"), WRONG, ids=range(1, len(WRONG) + 1))
def test_what_is_wrong_is_said_in_its_line(here: Path, text: str, line: int, key: str, remedy: str) -> None:
    """Each wrong file has one error, in the line, with the key, and what to do."""
    (problem,) = (one for one in problems_of(text, here) if not one.warning)
    assert (problem.line, problem.key) == (line, key), str(problem)
    assert remedy in problem.remedy, str(problem)
    assert problem.what


RETAINED = "storage:\n  rootDirectory: /r\n  retention: {policies: [{repositories: '**',\n    "
BELOW = "storage:\n  rootDirectory: /r\n  subPaths:\n    /x: {rootDirectory: /s, gc: true, retention: {policies: [\n"
POLICY = "storage.retention.policies[0]"

# The text, the line, the key, what is said: the file is valid all the same.
DOUBTFUL = [
    (f"{BELOW}{{repositories: ['y/**']}}]}}}}\n", 5, "storage.subPaths./x.retention.policies[0].repositories[0]", "begin with x/"),
    (f"{BELOW}{{repositories: ['*']}}]}}}}\n", 5, "storage.subPaths./x.retention.policies[0].repositories[0]", "begin with x/"),
    ("storage:\n  rootDirectory: /r\n  subPaths: {/x: {rootDirectory: /s, gc: true}}\n  retention:\n    policies:\n"
     "      - repositories: [b, 'x/**']\n", 6, f"{POLICY}.repositories[1]", "storage.subPaths./x has them"),
    (f"{RETAINED}keepTags: [{{patterns: ['release-*']}}]}}]}}\n", 4, f"{POLICY}.keepTags[0].patterns[0]",
     "'release' and then any number of '-', or none"),
    (f"{RETAINED}immutable: [{{patterns: ['^v*']}}]}}]}}\n", 4, f"{POLICY}.immutable[0].patterns[0]", "every tag"),
    (f"{RETAINED}immutable: [{{except: ['v1.2*']}}]}}]}}\n", 4, f"{POLICY}.immutable[0].except[0]", "'v1.' and then"),
    (f"{RETAINED}keepTags: [{{patterns: [^v, 'v.*']}}]}}]}}\n", 4, f"{POLICY}.keepTags[0].patterns[1]", "begin with something else"),
    (f"{RETAINED}keepTags: [{{patterns: ['v\\d.+$']}}]}}]}}\n", 4, f"{POLICY}.keepTags[0].patterns[0]", "begin with something else"),
    (f"{RETAINED}immutable: [{{patterns: ['.*-prod']}}]}}]}}\n", 4, f"{POLICY}.immutable[0].patterns[0]", "go on after it"),
    (f"{RETAINED}immutable: [{{except: ['^.*-rc']}}]}}]}}\n", 4, f"{POLICY}.immutable[0].except[0]", "go on after it"),
    (f"{CONTROL}adminPolicy: {{users: a, actions: read}}\nextensions: {{metrics: {{}}}}\n", 4,
     "http.accessControl.metrics", "nobody may read the metrics"),
    (f"{CONTROL}adminPolicy: {{users: [a], actions: [read],\n conditions: [{{expression: 'true'}}]}}\n", 6,
     "http.accessControl.adminPolicy.conditions", "the policy grants nothing"),
    ("storage:\n  rootDirectory: /r\n  subPaths:\n    /a: {rootDirectory: /s}\n", 4,
     "storage.subPaths./a.gc", "gc is off unless it is asked for"),
    ("storage:\n  rootDirectory: data\n", 2, "storage.rootDirectory", "relative"),
    ("storage:\n  rootDirectory: /r\n  gc: false\n  gcDelay: 2h\n", 4, "storage.gcDelay", "while gc is off"),
    ("storage:\n  rootDirectory: /r\n  gcDelay: 0\n", 3, "storage.gcDelay", "between their push"),
    ("storage:\n  rootDirectory: /r\n  gcDelay: 59s\n", 3, "storage.gcDelay", "uploads still under way may lose layers"),
    ("storage:\n  rootDirectory: /r\n  gcDelay: 3600\n", 3, "storage.gcDelay", "3600 is 3600 nanoseconds"),
    ('{"storage": {"rootDirectory": "/r",\n"gcInterval": 60}}', 2, "storage.gcInterval", "60 is 60 nanoseconds"),
    ("extensions:\n  scrub: {interval: '5'}\n", 3, "extensions.scrub.interval", "5 is 5 nanoseconds"),
    ("storage:\n  rootDirectory: /r\n  retention:\n    delay: 30s\n", 4, "storage.retention.delay", "may lose layers"),
    ("storage:\n  rootDirectory: /r\n  retention:\n    delay: 1m\n", 4, "storage.retention.delay", "wait for gcDelay"),
    ("storage:\n  rootDirectory: /r\n  retention: {policies: [{repositories: '**'},\n    {repositories: a}]}\n", 4,
     "storage.retention.policies[1]", "never used"),
    ("storage:\n  rootDirectory: /r\n  retention: {policies: [{deleteUntagged: true}]}\n", 3,
     "storage.retention.policies[0]", "for no repository"),
    ("storage:\n  rootDirectory: /r\n  retention: {policies: [{repoNames: a, keepTags: [{patterns: '.*'},\n"
     "    {patterns: v1}]}]}\n", 4, "storage.retention.policies[0].keepTags[1]", "never used"),
    ("storage:\n  storageDriver: {name: gcs, bucket: b}\n", 2, "storage.storageDriver.name", "zot serve will refuse"),
    ("storage:\n  storageDriver: {name: s3, bucket: b, region: r,\n    regoin: q}\n", 3,
     "storage.storageDriver.regoin", "ignores it"),
    ("storage:\n  rootDirectory: /r\n  fastRestart: true\n", 3, "storage.fastRestart", "changes nothing"),
    ("http:\n  address: 0.0.0.0\n  auth: {htpasswd: {path: here}}\n", 4, "http.auth", "in the clear"),
    (f"{AUTH}ldap: {{address: l, userAttribute: u, baseDN: d}}\n", 4, "http.auth.ldap.startTLS", "in the clear"),
    (f"{AUTH}ldap: {{address: l, userAttribute: u, baseDN: d, startTLS: true, insecure: false}}\n", 4,
     "http.auth.ldap.startTLS", "TLS from the start"),
    (f"{CONTROL}repositories: {{'**': {{anonymousPolicy: [read, create]}}}}\n", 5,
     "http.accessControl.repositories.**.anonymousPolicy", "without logging in"),
    (f"{CONTROL}repositories: {{'**': {{defaultPolicy: [read, update]}}}}\n", 5,
     "http.accessControl.repositories.**.defaultPolicy", "update does not count without create"),
    (f"{CONTROL}repositories: {{'**': {{policies: [{{actions: read}}]}}}}\n", 5,
     "http.accessControl.repositories.**.policies[0]", "for nobody"),
    (f"{CONTROL}repositories: {{'**': {{policies: [{{users: a}}]}}}}\n", 5,
     "http.accessControl.repositories.**.policies[0]", "allows nothing"),
    (f"{CONTROL}adminPolicy: {{groups: admins, actions: read}}\n", 5, "http.accessControl.adminPolicy.groups[0]", "no group"),
    (f"http:\n{TLS}  auth: {{mtls: {{}}, apikey: true}}\n", 4, "http.auth.apikey", "nobody can have an API key"),
    ("extensions:\n  scrub: {interval: 1m}\n", 3, "extensions.scrub.interval", "shorter than 2h"),
    ("extensions:\n  lint: {enable: true}\n", 3, "extensions.lint", "asks for nothing"),
    ("extensions:\n  trust: {}\n", 3, "extensions.trust", "checks nothing"),
    ("extensions:\n  events: {enable: true}\n", 3, "extensions.events.sinks", "go nowhere"),
    (f"{SYNC}{{urls: 'https://r'}}\n", 5, "extensions.sync.registries[0]", "ever fetched"),
    ("distSpecVersion: 1.0.0\n", 2, "distSpecVersion", "follows 1.1.1"),
]  # fmt: skip


def test_the_caret_is_below_the_star(here: Path) -> None:
    """Where a pattern lacks its quotes, the line is shown with a caret below its first character."""
    (problem,) = problems_of(f"{CONTROL}repositories:\n      **:\n", here)
    line, caret = problem.excerpt.split("\n")
    assert line[caret.index("^") :] == "**:"


@pytest.mark.parametrize(("text", "line", "key", "what"), DOUBTFUL, ids=range(1, len(DOUBTFUL) + 1))
def test_what_is_doubtful_is_warned_of(here: Path, text: str, line: int, key: str, what: str) -> None:
    """Each of these files is valid, with a warning in the line, with the key."""
    problems = problems_of(text, here)
    assert all(problem.warning for problem in problems), problems
    assert any((one.line, one.key) == (line, key) and what in one.what for one in problems), problems


@pytest.mark.parametrize(
    "policies",
    [
        "{repositories: ['x/**']}", "{repositories: ['**']}", "{repositories: ['*/**', '{x,y}/a', '?/a']}",
        "{repositories: ['**'], keepTags: [{patterns: ['^release-.*$', '^v.*', '.*-prod$', '.*rc.*', 'v\\.*', 'v[0-9]*', '\\d*', latest]}]}",
    ],
)  # fmt: skip
def test_policies_that_may_hold_are_no_doubt(here: Path, policies: str) -> None:
    """Nothing is said of globs that names in the store may match, nor of what is clearly a regular expression."""
    assert problems_of(f"{BELOW}{policies}]}}}}\n", here) == []
    top = f"storage:\n  rootDirectory: /r\n  subPaths: {{/q: {{rootDirectory: /s, gc: true}}}}\n  retention: {{policies: [{policies}]}}\n"
    assert problems_of(top, here) == []


def test_many_nanoseconds_are_no_doubt(here: Path) -> None:
    """A number that is a second or more is a duration as zot's own files have it; 0 is what it says."""
    assert problems_of("storage:\n  rootDirectory: /r\n  gcDelay: 3600000000000\n  gcInterval: 0\n", here) == []


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (f"{AUTH}users: [alice]\n", "http.auth.users"),
        (f"{CONTROL}users: [alice]\n", "http.accessControl.users"),
        ("user: alice\n", "user"),
        ("http: {metrics: {users: [alice]}}\n", "http.metrics"),
        ("storage:\n  rootDirectory: /r\n  path: /s\n", "storage.path"),
        ("extensions: {mgmtt: {}}\n", "extensions.mgmtt"),
    ],
)
def test_no_proposal_gives_rights_or_leads_astray(here: Path, text: str, key: str) -> None:
    """A key in the wrong section is never moved to where it makes administrators or opens the metrics, nor far away."""
    (problem,) = (one for one in problems_of(text, here) if not one.warning and one.key == key)
    for wrong in ("adminPolicy", "accessControl.metrics", "htpasswd.path", "groups"):
        assert wrong not in problem.remedy


def test_all_problems_of_all_kinds_come_at_once(here: Path) -> None:
    """Unknown and repeated keys, wrong values, broken rules and missing files are told together, in their order."""
    problems = problems_of(
        """
http:
  prt: 1
  port: x
  tls: {cert: missing}
  auth: {ldap: {port: 389}}
storage:
  dedupe: 7
  gcDelay: soon
  gcDelay: 1h
extensions: {ui: {}}
""",
        here,
    )
    assert [problem.line for problem in problems] == sorted(problem.line for problem in problems)
    assert [problem.key for problem in problems if not problem.warning] == [
        "http.prt", "http.port", "http.tls.key", "http.tls.cert", "http.auth.ldap.address", "http.auth.ldap.baseDN",
        "http.auth.ldap.userAttribute", "storage.rootDirectory", "storage.dedupe", "storage.gcDelay", "storage.gcDelay",
        "extensions.ui",
    ]  # fmt: skip


def test_a_side_file_is_checked_too(here: Path) -> None:
    """What a side file lacks is said with the side file's own line."""
    (here / "ldap.json").write_text('{"bindDN": "cn=x",\n "bindPasword": "CANARY"}')
    problems = problems_of(
        f"{AUTH}ldap: {{address: l, userAttribute: u, baseDN: d, port: 636, credentialsFile: ldap.json}}\n", here
    )
    assert [(Path(one.file).name, one.line, one.key) for one in problems if not one.warning] == [
        ("ldap.json", 1, "bindPassword"), ("ldap.json", 2, "bindPasword"),
    ]  # fmt: skip
    assert "CANARY" not in str(problems)
    (here / "sync.json").write_text('{"registry.example.com:5000": {"username": "u"}}')
    problems = problems_of("extensions: {sync: {credentialsFile: sync.json}}\n", here)
    assert [one.key for one in problems if not one.warning] == ["registries.registry.example.com:5000.password"]


def test_users_who_are_in_no_file(here: Path) -> None:
    """Where a file of users is the only login, names that are not in it are warned of, each at its place."""
    (here / "users").write_text("# staff:\nalice:$2y$05$x\nbob:none\n")
    auth = "http:\n  auth:\n    htpasswd: {path: users}\n"
    control = (
        "  accessControl:\n    adminPolicy: {users: [alice, root], actions: read}\n    groups: {g: {users: carol}}\n"
        "    repositories: {'**': {policies: [{users: [bob,\n      alcie], actions: read}]}}\n"
    )
    places = [
        (6, "http.accessControl.adminPolicy.users[1]"), (7, "http.accessControl.groups.g.users[0]"),
        (9, "http.accessControl.repositories.**.policies[0].users[1]"),
    ]  # fmt: skip
    found = problems_of(auth + control, here)
    assert [(one.line, one.key, one.warning) for one in found] == [(*place, True) for place in places]
    assert "nobody can log in as 'alcie'" in found[2].what
    others = "    ldap: {address: l, port: 636, baseDN: d, userAttribute: u}\n"
    assert problems_of(auth + others + control, here) == []
    with (here / "users").open("a") as users:
        users.write("#" * 300_000)
    assert problems_of(auth + control, here) == []
