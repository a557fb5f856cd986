// Validates tokens with jose, knowing the JWKS URL, issuer and audience. Prints a verdict on each.

import * as jose from 'jose'

const { JWKS_URL, ISSUER, AUDIENCE, TOKENS } = process.env

const keys = jose.createRemoteJWKSet(new URL(JWKS_URL))

async function validate(token) {
  try {
    const { payload } = await jose.jwtVerify(token, keys, {
      issuer: ISSUER,
      audience: AUDIENCE,
      typ: 'at+jwt',
      requiredClaims: ['exp', 'iat', 'sub', 'client_id', 'jti'],
    })
    return { claims: payload }
  } catch (refusal) {
    if (!(refusal instanceof jose.errors.JOSEError)) throw refusal
    return { refused: [refusal.code, refusal.claim].filter(Boolean).join(' ') }
  }
}

const verdicts = {}
for (const [name, token] of Object.entries(JSON.parse(TOKENS))) {
  verdicts[name] = await validate(token)
}
console.log(JSON.stringify(verdicts))
