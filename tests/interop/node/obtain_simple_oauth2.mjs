// Obtains a token with simple-oauth2. Prints what came of each way.

import { ClientCredentials } from 'simple-oauth2'

const { TOKEN_URL, CLIENT_ID, CLIENT_SECRET, SCOPE } = process.env
const { origin, pathname } = new URL(TOKEN_URL)

async function obtain(options) {
  const client = new ClientCredentials({
    client: { id: CLIENT_ID, secret: CLIENT_SECRET },
    auth: { tokenHost: origin, tokenPath: pathname },
    options,
  })
  try {
    const { token } = await client.getToken(SCOPE ? { scope: SCOPE } : {})
    return token
  } catch (refusal) {
    if (!refusal.data?.payload?.error) throw refusal
    return refusal.data.payload
  }
}

const ways = {
  'header, strict': await obtain({}),
  'header, loose': await obtain({ credentialsEncodingMode: 'loose' }),
  body: await obtain({ authorizationMethod: 'body' }),
}
console.log(JSON.stringify(ways))
