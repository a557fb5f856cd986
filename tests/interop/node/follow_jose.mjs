// Obtains tokens without pause and validates each with jose, until told to stop. Prints what came of it.

import { existsSync, writeFileSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import * as jose from 'jose'

const { TOKEN_URL, CLIENT_ID, CLIENT_SECRET, JWKS_URL, ISSUER, AUDIENCE, MAX_AGE, READY, STOP } =
  process.env

// Only the lifetime of the cache is not jose's own: it is what the server tells validators.
const keys = jose.createRemoteJWKSet(new URL(JWKS_URL), { cacheMaxAge: Number(MAX_AGE) * 1000 })

const request = {
  method: 'POST',
  headers: { authorization: `Basic ${btoa(`${CLIENT_ID}:${CLIENT_SECRET}`)}` },
  body: new URLSearchParams({ grant_type: 'client_credentials' }),
}

let validated = 0
let lastRefused = null
const kids = new Set()
const refused = {}
while (!existsSync(STOP)) {
  const answer = await fetch(TOKEN_URL, request)
  if (!answer.ok) throw new Error(await answer.text())
  const { access_token: token } = await answer.json()
  try {
    // Its clock is the server's, and the same second may be the next one for either.
    const expected = { issuer: ISSUER, audience: AUDIENCE, typ: 'at+jwt', clockTolerance: 2 }
    const { protectedHeader } = await jose.jwtVerify(token, keys, expected)
    kids.add(protectedHeader.kid)
    validated += 1
    writeFileSync(READY, '')
  } catch (refusal) {
    if (!(refusal instanceof jose.errors.JOSEError)) throw refusal
    refused[refusal.code] = (refused[refusal.code] ?? 0) + 1
    lastRefused = Date.now() / 1000
  }
  await setTimeout(20)
}
const outcome = { validated, kids: [...kids], refused, last_refused: lastRefused }
console.log(JSON.stringify(outcome))
