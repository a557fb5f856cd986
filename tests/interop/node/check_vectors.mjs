// Holds the JavaScript helpers against the shared vectors. Prints what differs.

import { readFileSync } from 'node:fs'

import * as jose from 'jose'

const helpers = await import(`${process.env.HELPERS}/tenmint-scopes.mjs`)
const { Revocations } = await import(`${process.env.HELPERS}/tenmint-revocations.mjs`)
const scopes = JSON.parse(readFileSync(process.env.SCOPE_VECTORS))
const networks = JSON.parse(readFileSync(process.env.NETWORK_VECTORS))
const revocations = JSON.parse(readFileSync(process.env.REVOCATION_VECTORS))

const wrong = []
let count = 0
for (const vector of scopes.parse) {
  count += 1
  if (helpers.canonical(vector.input) !== vector.canonical) wrong.push(vector)
}
for (const vector of scopes.covers) {
  count += 1
  const { held, asked } = vector
  const claims = { scope: `x.y ${held}` }
  const found = [helpers.covers(held, asked), helpers.permits(claims, asked)]
  if (found.some((verdict) => verdict !== vector.covers)) wrong.push(vector)
}
for (const vector of networks.cases) {
  for (const verdict of ['allowed', 'refused']) {
    for (const address of vector[verdict]) {
      count += 1
      if (helpers.allows(vector.claims, address) !== (verdict === 'allowed')) wrong.push([vector, address])
    }
  }
}
const known = [...helpers.MANAGEMENT_ACTIONS].sort().join()
if (known !== scopes.management_actions.sort().join()) wrong.push('management_actions')

const keys = jose.createLocalJWKSet(revocations.jwks)
async function signed(text) {
  const { payload, protectedHeader } = await jose.compactVerify(text, keys, { algorithms: ['EdDSA'] })
  return { header: protectedHeader, claims: JSON.parse(new TextDecoder().decode(payload)) }
}
for (const vector of revocations.cases) {
  count += 1
  const known = new Revocations(revocations.issuer, signed, { clock: () => revocations.now })
  for (const { feed, counts } of vector.feeds) {
    const kept = await known.keep(feed).then(() => true, () => false)
    if (kept !== counts) wrong.push([vector.name, feed])
  }
  for (const { token, void: expected } of vector.tokens) {
    count += 1
    const { header, claims } = await signed(token)
    if (known.voids(claims, header.kid) !== expected) wrong.push([vector.name, token])
  }
}
console.log(JSON.stringify({ count, wrong }))
