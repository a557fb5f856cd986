// Obtains tokens with simple-oauth2. Prints what came of each way.

import { ClientCredentials } from 'simple-oauth2'

const { TOKEN_URL, CLIENTS } = process.env
const { origin, pathname } = new URL(TOKEN_URL)

async function obtain({ client_id, client_secret, scope }, options) {
  const client = new ClientCredentials({
    client: { id: client_id, secret: client_secret },
    auth: { tokenHost: origin, tokenPath: pathname },
    options,
  })
  try {
    const { token } = await client.getToken(scope ? { scope } : {})
    return token
  } catch (refusal) {
    if (!refusal.data?.payload?.error) throw refusal
    return refusal.data.payload
  }
}

async function eachWay(given) {
  return {
    'header, strict': await obtain(given, {}),
    'header, loose': await obtain(given, { credentialsEncodingMode: 'loose' }),
    body: await obtain(given, { authorizationMethod: 'body' }),
  }
}

console.log(JSON.stringify(await Promise.all(JSON.parse(CLIENTS).map(eachWay))))
