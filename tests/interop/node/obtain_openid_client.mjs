// Obtains tokens with openid-client, knowing only the issuer. Prints what came of each way.

import * as client from 'openid-client'

const { ISSUER, CLIENTS } = process.env

async function obtain({ client_id, client_secret, scope }, algorithm, clientAuthentication) {
  const config = await client.discovery(
    new URL(ISSUER),
    client_id,
    undefined,
    clientAuthentication(client_secret),
    // The server under test speaks plain http, on loopback.
    { algorithm, execute: [client.allowInsecureRequests] },
  )
  try {
    return await client.clientCredentialsGrant(config, scope ? { scope } : undefined)
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

async function eachWay(given) {
  const ways = {}
  for (const algorithm of ['oidc', 'oauth2']) {
    for (const authentication of ['ClientSecretBasic', 'ClientSecretPost']) {
      const way = `${algorithm}, ${authentication}`
      ways[way] = await obtain(given, algorithm, client[authentication])
    }
  }
  return ways
}

console.log(JSON.stringify(await Promise.all(JSON.parse(CLIENTS).map(eachWay))))
