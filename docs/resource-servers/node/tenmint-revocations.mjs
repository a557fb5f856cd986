// Revocation feeds of tenmint, and which tokens they void. Without dependencies: copy this file.
// Checked against revocation-vectors.json by tenmint's own tests.

import { createHash } from 'node:crypto'

const KINDS = { keys: 'client_id', organizations: 'org', tokens: 'jti' }
const AHEAD = 300

/** How a feed calls what has this name. */
export function alias(name) {
  return createHash('sha256').update(name).digest().subarray(0, 16).toString('base64url')
}

/**
 * What an issuer has revoked.
 *
 * `verify(text)` checks a JWT's signature by the issuer's keys, of a JWKS no older than its max-age, and
 * nothing else. It resolves to `{ header, claims }`, or rejects.
 */
export class Revocations {
  #issuer
  #verify
  #url
  #clock
  #held
  #etag

  constructor(issuer, verify, { url = `${issuer}/.well-known/revocations`, clock = () => Date.now() / 1000 } = {}) {
    this.#issuer = issuer
    this.#verify = verify
    this.#url = url
    this.#clock = clock
  }

  /** Whether a token with these claims, that this key signed, must be refused. */
  voids(claims, kid) {
    const names = Object.entries(KINDS).map(([kind, claim]) => [kind, claims[claim]])
    return [...names, ['signing_keys', kid]].some(([kind, name]) => {
      const listed = this.#held?.revoked[kind]
      return listed?.size > 0 && claims.iat < (listed.get(alias(String(name))) ?? 0)
    })
  }

  /** Whether it is known at present what is revoked. If not, refuse with 503. */
  get isKnown() {
    return this.#held !== undefined && this.#clock() < this.#held.exp
  }

  /** Takes a feed for what is known, if it counts. Otherwise rejects, and changes nothing. */
  async keep(text) {
    const { header, claims } = await this.#verify(text)
    const typ = String(header.typ).toLowerCase().replace(/^application\//, '')
    const [held, now] = [this.#held, this.#clock()]
    if (typ !== 'revocations+jwt' || claims.iss !== this.#issuer) throw new Error('not a revocation feed of this issuer')
    if (![claims.iat, claims.exp, claims.seq].every(Number.isSafeInteger)) throw new Error('not a revocation feed')
    if (claims.exp <= now || claims.iat > now + AHEAD) throw new Error('a revocation feed of another time')
    if (held?.revoked.signing_keys.has(alias(header.kid))) throw new Error('signed by a key that is withdrawn')
    const revoked = {}
    for (const kind of [...Object.keys(KINDS), 'signing_keys']) revoked[kind] = read(claims.revoked, kind)
    const isNewer = !held || claims.seq > held.seq
    if (!isNewer) {
      // It adds to what is known, and takes nothing away.
      for (const [kind, listed] of Object.entries(held.revoked)) {
        for (const [name, before] of listed) {
          revoked[kind].set(name, Math.max(before, revoked[kind].get(name) ?? 0))
        }
      }
    }
    const { seq, exp } = isNewer ? claims : held
    this.#held = { seq, exp, revoked }
  }

  /** Asks the issuer once. */
  async update() {
    const mayWait = this.#etag && this.#held.exp > this.#clock() + 60
    const headers = mayWait ? { 'If-None-Match': this.#etag } : {}
    const response = await fetch(this.#url, { headers, redirect: 'error', signal: AbortSignal.timeout(5000) })
    if (response.status === 304) return
    if (response.status !== 200) throw new Error(`the answer is ${response.status}`)
    await this.keep(await response.text())
    this.#etag = response.headers.get('etag')
  }

  /** Asks the issuer now, and then again and again behind the requests' backs. */
  async follow(every = 5000) {
    await this.update()
    const again = async () => {
      // It is tried again, and what is known ends by itself.
      await this.update().catch((why) => console.warn(`the revocation feed was not fetched: ${why.message}`))
      setTimeout(again, every).unref()
    }
    setTimeout(again, every).unref()
  }
}

function read(revoked, kind) {
  const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value)
  const listed = isObject(revoked) ? (revoked[kind] ?? {}) : undefined
  if (!isObject(listed) || !Object.values(listed).every(Number.isSafeInteger)) throw new Error('not a revocation feed')
  return new Map(Object.entries(listed))
}
