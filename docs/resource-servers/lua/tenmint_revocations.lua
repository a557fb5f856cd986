-- Revocation feeds of tenmint, and which tokens they void. Without dependencies, for LuaJIT, which Envoy and
-- nginx have: copy this file. Checked against revocation-vectors.json by tenmint's own tests.

local bit = require("bit")

local Revocations = {}
Revocations.__index = Revocations

local KINDS = { keys = "client_id", organizations = "org", tokens = "jti" }
local AHEAD = 300

-- What an issuer has revoked. `now` gives the Unix time in seconds.
function Revocations.new(issuer, now)
  return setmetatable({ issuer = issuer, now = now or os.time }, Revocations)
end

-- Whether it is known at present what is revoked. If not, refuse with 503.
function Revocations:is_known()
  return self.held ~= nil and self.now() < self.held.exp
end

-- Whether a token with these claims, that this key signed, must be refused.
function Revocations:voids(claims, kid)
  local revoked = self.held and self.held.revoked or {}
  local function is_void(kind, name)
    local listed = revoked[kind]
    return listed ~= nil and next(listed) ~= nil and claims.iat < (listed[Revocations.alias(name)] or 0)
  end
  for kind, claim in pairs(KINDS) do
    if is_void(kind, tostring(claims[claim])) then
      return true
    end
  end
  return is_void("signing_keys", tostring(kid))
end

local function is_whole(value)
  return type(value) == "number" and value == math.floor(value) and math.abs(value) <= 2 ^ 53
end

-- What a feed lists of one kind; nil for what is no list of instants by alias. (Lua has one kind of table: an
-- empty array passes for an object in which nothing is.)
local function read(claims, kind)
  if type(claims.revoked) ~= "table" then
    return nil
  end
  local listed = claims.revoked[kind]
  if listed == nil then
    return {}
  end
  local read = {}
  for name, instant in pairs(type(listed) == "table" and listed or { false }) do
    if type(name) ~= "string" or not is_whole(instant) then
      return nil
    end
    read[name] = instant
  end
  return read
end

-- Takes header and claims of a JWT for what is known, if they are a feed that counts, and says so. Whoever calls
-- this has checked the signature by the issuer's keys, of a JWKS no older than its max-age, and nothing else.
function Revocations:keep(header, claims)
  local held, now = self.held, self.now()
  local typ = tostring(header.typ):lower():gsub("^application/", "")
  if typ ~= "revocations+jwt" or claims.iss ~= self.issuer then
    return false
  end
  if not (is_whole(claims.iat) and is_whole(claims.exp) and is_whole(claims.seq)) then
    return false
  end
  if claims.exp <= now or claims.iat > now + AHEAD then
    return false
  end
  -- Whoever stole a key must not be able to say that nothing is revoked.
  if held and held.revoked.signing_keys[Revocations.alias(tostring(header.kid))] then
    return false
  end
  local revoked = {}
  for _, kind in ipairs({ "keys", "organizations", "tokens", "signing_keys" }) do
    revoked[kind] = read(claims, kind)
    if not revoked[kind] then
      return false
    end
  end
  local is_newer = not held or claims.seq > held.seq
  if not is_newer then
    -- It adds to what is known, and takes nothing away.
    for kind, listed in pairs(held.revoked) do
      for name, before in pairs(listed) do
        revoked[kind][name] = math.max(before, revoked[kind][name] or 0)
      end
    end
  end
  local last = is_newer and claims or held
  self.held = { seq = last.seq, exp = last.exp, revoked = revoked }
  return true
end

local BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

local function base64url(bytes)
  local text = {}
  for at = 1, #bytes, 3 do
    local one, two, three = bytes:byte(at, at + 2)
    local group = one * 65536 + (two or 0) * 256 + (three or 0)
    for place = 0, three and 3 or two and 2 or 1 do
      local sextet = math.floor(group / 64 ^ (3 - place)) % 64 + 1
      text[#text + 1] = BASE64URL:sub(sextet, sextet)
    end
  end
  return table.concat(text)
end

-- The first bits behind the point of the square roots of the first 8 primes and of the cube roots of the first 64.
local ROOTS, CUBE_ROOTS = {}, {}
do
  local function fraction(root)
    return math.floor(root % 1 * 2 ^ 32)
  end
  local candidate = 2
  while #CUBE_ROOTS < 64 do
    local is_prime = true
    for divisor = 2, math.sqrt(candidate) do
      is_prime = is_prime and candidate % divisor ~= 0
    end
    if is_prime then
      ROOTS[#ROOTS + 1] = #ROOTS < 8 and fraction(candidate ^ 0.5) or nil
      CUBE_ROOTS[#CUBE_ROOTS + 1] = fraction(candidate ^ (1 / 3))
    end
    candidate = candidate + 1
  end
end

-- SHA-256 (FIPS 180-4), for names that are no secrets: Envoy's Lua has none.
local function sha256(text)
  local band, bnot, bxor, ror, rshift = bit.band, bit.bnot, bit.bxor, bit.ror, bit.rshift
  local bits = #text * 8
  text = text .. "\128" .. ("\0"):rep((55 - #text) % 64)
  for place = 7, 0, -1 do
    text = text .. string.char(math.floor(bits / 256 ^ place) % 256)
  end
  local hash = { unpack(ROOTS) }
  for start = 1, #text, 64 do
    local w = {}
    for at = 1, 16 do
      local a, b, c, d = text:byte(start + 4 * at - 4, start + 4 * at - 1)
      w[at] = bit.tobit(a * 2 ^ 24 + b * 2 ^ 16 + c * 2 ^ 8 + d)
    end
    for at = 17, 64 do
      local x, y = w[at - 15], w[at - 2]
      local s0 = bxor(ror(x, 7), ror(x, 18), rshift(x, 3))
      local s1 = bxor(ror(y, 17), ror(y, 19), rshift(y, 10))
      w[at] = bit.tobit(w[at - 16] + s0 + w[at - 7] + s1)
    end
    local a, b, c, d, e, f, g, h = unpack(hash)
    for at = 1, 64 do
      local s1 = bxor(ror(e, 6), ror(e, 11), ror(e, 25))
      local one = h + s1 + bxor(band(e, f), band(bnot(e), g)) + CUBE_ROOTS[at] + w[at]
      local s0 = bxor(ror(a, 2), ror(a, 13), ror(a, 22))
      local two = s0 + bxor(band(a, b), band(a, c), band(b, c))
      h, g, f, e, d, c, b, a = g, f, e, bit.tobit(d + one), c, b, a, bit.tobit(one + two)
    end
    for at, word in ipairs({ a, b, c, d, e, f, g, h }) do
      hash[at] = bit.tobit(hash[at] + word)
    end
  end
  local bytes = {}
  for at, word in ipairs(hash) do
    bytes[at] = string.char(
      rshift(word, 24), band(rshift(word, 16), 255), band(rshift(word, 8), 255), band(word, 255)
    )
  end
  return table.concat(bytes)
end

-- How a feed calls what has this name.
function Revocations.alias(name)
  return base64url(sha256(name):sub(1, 16))
end

-- A feed that is read with other aliases would void nothing.
assert(Revocations.alias("acme") == "giszrYfBSKCiClunzV68qg")

return Revocations
