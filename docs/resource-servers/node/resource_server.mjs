// A resource server on Express: its routes take tokens that tenmint issued, and nothing else.
//
// npm install express jose
// ISSUER=https://auth.example AUDIENCE=https://api.example node resource_server.mjs

import express from 'express'
import * as jose from 'jose'

import { Revocations } from './tenmint-revocations.mjs'
import { allows, permits } from './tenmint-scopes.mjs'

const { ISSUER, AUDIENCE, PORT = '8090' } = process.env

// Once, at the start: the metadata say where the keys are.
const metadata = await (await fetch(`${ISSUER}/.well-known/openid-configuration`)).json()
if (metadata.issuer !== ISSUER) throw new Error('the metadata are of another issuer')
// Held for five minutes; a key that is not known is looked for, at most every ten seconds.
const keys = jose.createRemoteJWKSet(new URL(metadata.jwks_uri), {
  cacheMaxAge: 300_000,
  cooldownDuration: 10_000,
})
const algorithms = ['ES256', 'EdDSA', 'RS256'] // of these, the one that the key is for

/** Header and claims of whatever the issuer signed. */
async function signed(text) {
  const { payload, protectedHeader } = await jose.compactVerify(text, keys, { algorithms })
  return { header: protectedHeader, claims: JSON.parse(new TextDecoder().decode(payload)) }
}

// What is revoked, asked every five seconds: tokens of a revoked key do not count until their end.
const revocations = new Revocations(ISSUER, signed, { url: metadata.tenmint_revocations_uri })
await revocations.follow()

/** RFC 6750, section 3. */
function refuse(response, status, error, description, scope) {
  const said = { realm: AUDIENCE, error, error_description: description, scope }
  const parameters = Object.entries(said).filter(([, value]) => value)
  const text = parameters.map(([name, value]) => `${name}="${value}"`).join(', ')
  response.status(status).set('WWW-Authenticate', `Bearer ${text}`).json({ error, error_description: description })
}

async function caller(request, response, next) {
  // Node would pass over all but the first of several.
  const lines = request.headersDistinct.authorization ?? []
  if (lines.length > 1) return refuse(response, 400, 'invalid_request', 'send one Authorization header')
  const [, token] = /^bearer +(\S+) *$/i.exec(lines[0] ?? '') ?? []
  if (!token) return refuse(response, 401)
  try {
    const { payload, protectedHeader } = await jose.jwtVerify(token, keys, {
      algorithms,
      issuer: ISSUER,
      audience: AUDIENCE,
      typ: 'at+jwt',
      clockTolerance: 5,
      requiredClaims: ['exp', 'iat', 'sub', 'client_id', 'jti'],
    })
    if (revocations.voids(payload, protectedHeader.kid)) {
      return refuse(response, 401, 'invalid_token', 'this token is revoked')
    }
    if (!revocations.isKnown) throw new Error('what is revoked is not known')
    request.claims = payload
  } catch (why) {
    const ofTheToken = /^ERR_(JWT|JWS|JOSE_ALG|JOSE_NOT|JWKS_NO|JWKS_MULTIPLE)/.test(why.code ?? '')
    if (ofTheToken) return refuse(response, 401, 'invalid_token', 'this token does not count here, or no longer')
    return response.status(503).set('Retry-After', '2').json({ error: 'temporarily_unavailable' })
  }
  // The peer's address. Behind a proxy, name the proxy: app.set('trust proxy', '10.0.0.5').
  // Otherwise anybody could write an address.
  if (!allows(request.claims, request.ip)) return response.status(403).json({ error: 'access_denied' })
  next()
}

function require(scopeOf) {
  return (request, response, next) => {
    const scope = scopeOf(request)
    if (permits(request.claims, scope)) return next()
    // What a stranger put into the path is not put into a header.
    const named = /^[A-Za-z0-9._~*:/-]+$/.test(scope) ? scope : undefined
    refuse(response, 403, 'insufficient_scope', 'this needs another scope', named)
  }
}

const app = express()
app.use(caller)
app.get('/whoami', (request, response) => {
  response.json({ key: request.claims.client_id, organization: request.claims.org })
})
app.get('/files', require(() => 'files.read'), (request, response) => {
  response.json({ files: [] })
})
app.get('/projects/:project', require((request) => `read:projects/${request.params.project}`), (request, response) => {
  response.json({ project: request.params.project })
})
app.listen(Number(PORT), '127.0.0.1')
