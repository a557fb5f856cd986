// Scopes and networks of tenmint's access tokens. Without dependencies: copy this file.
// Checked against scope-vectors.json and network-vectors.json by tenmint's own tests.

/** Actions of tenmint's own. The action * does not cover them. */
export const MANAGEMENT_ACTIONS = new Set(
  `api_keys.read api_keys.create api_keys.update api_keys.revoke api_keys.any_network
   roles.read roles.write signing_keys.read signing_keys.rotate usage.read audit.read tokens.introspect
   organization.read organization.write organizations.read organizations.write`.split(/\s+/),
)

const MAX_BYTES = 200
const MAX_NETWORKS = 100
const WORD = /^[a-z0-9_-]+$/
const SEGMENT = /^[A-Za-z0-9._~-]+$/
const DECIMAL = /^(0|[1-9][0-9]{0,2})$/

/**
 * Whether a token with these claims may be used for a scope, such as 'read:projects/42'. What is
 * not a scope is not permitted, so that it may be put together from a path.
 */
export function permits(claims, asked) {
  if (typeof claims.scope !== 'string') return false
  return claims.scope.split(' ').some((held) => covers(held, asked))
}

/** Whether everything that one scope permits, the other does too. */
export function covers(held, asked) {
  const [one, other] = [read(held), read(asked)]
  if (!one || !other) return false
  return actionIncludes(one.action, other.action) && filterIncludes(one.filter, other.filter)
}

/** The one way to write a scope; undefined for what is none. */
export function canonical(scope) {
  const known = read(scope)
  if (!known) return undefined
  return known.filter === null ? known.action : `${known.action}:${known.filter}`
}

/**
 * Whether a token with these claims may be used from a client's address, a string. Without the
 * claim from everywhere. A claim that cannot be made out allows nobody.
 */
export function allows(claims, address) {
  if (!Object.hasOwn(claims, 'allowed_ip_cidrs')) return true
  const list = claims.allowed_ip_cidrs
  if (!Array.isArray(list) || list.length < 1 || list.length > MAX_NETWORKS) return false
  const client = unmapped(readAddress(address), 0)
  const networks = list.map(readNetwork)
  if (!client || networks.some((network) => !network)) return false
  return networks.some(
    ({ value, free, bits }) => bits === client.bits && client.value >> free === value >> free,
  )
}

function read(scope) {
  let action, filter
  if (typeof scope === 'string') {
    const colon = scope.indexOf(':')
    action = colon < 0 ? scope : scope.slice(0, colon)
    filter = colon < 0 ? undefined : scope.slice(colon + 1)
  } else if (scope && typeof scope === 'object' && !Array.isArray(scope)) {
    if (Object.keys(scope).some((name) => name !== 'action' && name !== 'resource')) return undefined
    if (Object.values(scope).some((half) => typeof half !== 'string')) return undefined
    ;({ action, resource: filter } = scope)
  }
  if (action === undefined) return undefined
  if (action.length + (filter === undefined ? 0 : filter.length + 1) > MAX_BYTES) return undefined
  const words = action.endsWith('.*') ? action.slice(0, -2) : action
  if (action !== '*' && !words.split('.').every((word) => WORD.test(word))) return undefined
  if (filter === undefined || ['*', '**', '*/**'].includes(filter)) return { action, filter: null }
  const { segments } = split(filter)
  const isSegment = (text) => text === '*' || (SEGMENT.test(text) && text !== '.' && text !== '..')
  return segments.every(isSegment) ? { action, filter } : undefined
}

function split(filter) {
  const isOpen = filter.endsWith('/**')
  return { segments: (isOpen ? filter.slice(0, -3) : filter).split('/'), isOpen }
}

function actionIncludes(held, asked) {
  if (held === '*') {
    if (asked === '*') return true
    if (!asked.endsWith('.*')) return !MANAGEMENT_ACTIONS.has(asked)
    return ![...MANAGEMENT_ACTIONS].some((action) => action.startsWith(asked.slice(0, -1)))
  }
  return held.endsWith('.*') ? asked.startsWith(held.slice(0, -1)) : held === asked
}

function filterIncludes(held, asked) {
  if (held === null || asked === null) return held === null
  const [one, other] = [split(held), split(asked)]
  if (other.segments.length < one.segments.length) return false
  const matches = (segment, at) => segment === '*' || segment === other.segments[at]
  if (!one.segments.every(matches)) return false
  return one.isOpen || (other.segments.length === one.segments.length && !other.isOpen)
}

// An address as a number and how many bits it has.
function readAddress(text) {
  if (typeof text !== 'string') return undefined
  const v4 = readIPv4(text)
  if (v4 !== undefined) return { value: BigInt(v4), bits: 32 }
  const value = readIPv6(text)
  return value === undefined ? undefined : { value, bits: 128 }
}

function readIPv4(text) {
  const parts = text.split('.')
  if (parts.length !== 4 || !parts.every((part) => DECIMAL.test(part) && part < 256)) return undefined
  return parts.reduce((value, part) => value * 256 + Number(part), 0)
}

function readIPv6(text) {
  // The last two groups may be written as IPv4.
  const dotted = /^(.*:)([0-9.]+\.[0-9]+)$/.exec(text)
  if (dotted) {
    const v4 = readIPv4(dotted[2])
    if (v4 === undefined) return undefined
    text = dotted[1] + Math.floor(v4 / 65536).toString(16) + ':' + (v4 % 65536).toString(16)
  }
  const halves = text.split('::')
  const groups = halves.map((half) => (half === '' ? [] : half.split(':')))
  const count = groups.flat().length
  if (halves.length > 2 || (halves.length === 1 ? count !== 8 : count > 7)) return undefined
  if (!groups.flat().every((group) => /^[0-9A-Fa-f]{1,4}$/.test(group))) return undefined
  const zeros = Array(8 - count).fill('0')
  const all = [...groups[0], ...zeros, ...(groups[1] ?? [])]
  return all.reduce((value, group) => (value << 16n) | BigInt(`0x${group}`), 0n)
}

// IPv4 as IPv4, also where IPv6 writes it down: in ::ffff:0:0/96.
function unmapped(address, free) {
  if (address?.bits === 128 && address.value >> 32n === 0xffffn && free <= 32) {
    return { value: address.value & 0xffffffffn, bits: 32 }
  }
  return address
}

function readNetwork(text) {
  if (typeof text !== 'string') return undefined
  const [start, length, ...more] = text.split('/')
  const written = readAddress(start)
  if (!written || more.length > 0) return undefined
  if (length !== undefined && !(DECIMAL.test(length) && Number(length) <= written.bits)) return undefined
  const free = length === undefined ? 0 : written.bits - Number(length)
  // A network is written by its first address.
  if ((written.value >> BigInt(free)) << BigInt(free) !== written.value) return undefined
  return { ...unmapped(written, free), free: BigInt(free) }
}
