#!/usr/bin/env node
// A provider of OpenID Connect for tests: npm's oidc-provider, with its own pages for login and consent.
//
//     oidc-provider SETTINGS
//
// SETTINGS is a file of JSON: `port`, `clients` as oidc-provider takes them, and `users`, claims by name. Users are read
// again whenever somebody logs in, so that a test can take one away. Any password will do.
import { readFileSync } from 'node:fs';
import { Provider } from 'oidc-provider';

const settings = () => JSON.parse(readFileSync(process.argv[2], 'utf8'));
const { port, clients } = settings();

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients,
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'], groups: ['groups'] },
  scopes: ['openid', 'email', 'profile', 'groups'],
  // What is asked for by scopes may stand in the ID token or come with userinfo; this provider chooses the latter.
  conformIdTokenClaims: true,
  cookies: { keys: ['of-a-test'] },
  features: { devInteractions: { enabled: true }, rpInitiatedLogout: { enabled: true } },
  pkce: { required: () => true },
  findAccount: (_context, name) => {
    const claims = settings().users[name];
    return claims && { accountId: name, claims: () => ({ sub: name, ...claims }) };
  },
  ttl: { AccessToken: 600, IdToken: 600, Interaction: 600, Session: 600, Grant: 600, AuthorizationCode: 60 },
});
provider.on('server_error', (_context, error) => console.error(error));
provider.listen(port, '127.0.0.1');
