// Obtains a token with openid-client, knowing only the issuer. Prints what came of each way.

import * as client from 'openid-client'

const { ISSUER, CLIENT_ID, CLIENT_SECRET, SCOPE } = process.env

async function obtain(algorithm, clientAuthentication) {
  const config = await client.discovery(
    new URL(ISSUER),
    CLIENT_ID,
    undefined,
    clientAuthentication(CLIENT_SECRET),
    // The server under test speaks plain http, on loopback.
    { algorithm, execute: [client.allowInsecureRequests] },
  )
  try {
    return await client.clientCredentialsGrant(config, SCOPE ? { scope: SCOPE } : undefined)
  } catch (refusal) {
    if (refusal instanceof client.ResponseBodyError) {
      const { error, error_description } = refusal
      return { error, error_description }
    }
    if (refusal instanceof client.WWWAuthenticateChallengeError) {
      // The library reads the challenge and leaves the body to its caller.
      return await refusal.response.json()
    }
    throw refusal
  }
}

const ways = {}
for (const algorithm of ['oidc', 'oauth2']) {
  for (const authentication of ['ClientSecretBasic', 'ClientSecretPost']) {
    ways[`${algorithm}, ${authentication}`] = await obtain(algorithm, client[authentication])
  }
}
console.log(JSON.stringify(ways))
