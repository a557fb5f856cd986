-- The keys of an issuer, and JWTs that they signed. The signatures are checked by OpenSSL, which nginx has with it
-- and LuaJIT calls. Nothing here looks at what a token says. Wants lua-cjson.

local ffi = require("ffi")
local cjson = require("cjson.safe").new()

-- Numbers that JSON does not know are no numbers.
cjson.decode_invalid_numbers(false)
cjson.decode_max_depth(20)

ffi.cdef([[
  int EVP_DecodeBlock(unsigned char *to, const unsigned char *from, int length);
  void *d2i_PUBKEY(void **into, const unsigned char **from, long length);
  void EVP_PKEY_free(void *key);
  void *EVP_MD_CTX_new(void);
  void EVP_MD_CTX_free(void *context);
  const void *EVP_sha256(void);
  int EVP_DigestVerifyInit(void *context, void **key_context, const void *digest, void *engine, void *key);
  int EVP_DigestVerify(void *context, const unsigned char *signature, size_t signature_length,
                       const unsigned char *text, size_t text_length);
  void ERR_clear_error(void);
]])
local crypto = ffi.load("libcrypto.so.3")

local Keys = {}
Keys.__index = Keys

local LARGEST_TOKEN = 16 * 1024 * 1024

-- No keys. `keep` gives it some.
function Keys.new()
  return setmetatable({ by_id = {} }, Keys)
end

local function base64url(text)
  if type(text) ~= "string" or #text > LARGEST_TOKEN or #text % 4 == 1 or text:find("[^A-Za-z0-9_-]") then
    return nil
  end
  local padded = text:gsub("%-", "+"):gsub("_", "/") .. ("="):rep(-#text % 4)
  local bytes = ffi.new("unsigned char[?]", #padded / 4 * 3 + 1)
  if crypto.EVP_DecodeBlock(bytes, padded, #padded) < 0 then
    return nil
  end
  return ffi.string(bytes, math.floor(#text * 3 / 4))
end

-- One element in DER.
local function der(tag, content)
  local length = ""
  local rest = #content
  while rest > 0 do
    length = string.char(rest % 256) .. length
    rest = math.floor(rest / 256)
  end
  local is_short = #content < 128
  return string.char(tag, is_short and #content or 128 + #length) .. (is_short and "" or length) .. content
end

-- A whole number that is not negative, of its bytes.
local function der_number(bytes)
  bytes = bytes:gsub("^%z+", "")
  return der(0x02, (bytes == "" or bytes:byte() > 127) and "\0" .. bytes or bytes)
end

local OIDS = {
  p256 = "\6\7\42\134\72\206\61\2\1\6\8\42\134\72\206\61\3\1\7",
  ed25519 = "\6\3\43\101\112",
  rsa = "\6\9\42\134\72\134\247\13\1\1\1\5\0",
}

-- The public key of a JWK, as certificates hold it, by the algorithm that tenmint uses it with.
local PUBLIC = {
  ES256 = function(jwk)
    local x, y = base64url(jwk.x), base64url(jwk.y)
    if jwk.kty == "EC" and jwk.crv == "P-256" and x and y and #x == 32 and #y == 32 then
      return OIDS.p256, "\4" .. x .. y
    end
  end,
  EdDSA = function(jwk)
    local x = base64url(jwk.x)
    if jwk.kty == "OKP" and jwk.crv == "Ed25519" and x and #x == 32 then
      return OIDS.ed25519, x
    end
  end,
  RS256 = function(jwk)
    local n, e = base64url(jwk.n), base64url(jwk.e)
    if jwk.kty == "RSA" and n and e and #n >= 256 then
      return OIDS.rsa, der(0x30, der_number(n) .. der_number(e))
    end
  end,
}

local function public_key(jwk)
  local read = type(jwk) == "table" and PUBLIC[jwk.alg]
  if not read or type(jwk.kid) ~= "string" then
    return nil
  end
  local oids, bits = read(jwk)
  if not oids then
    return nil
  end
  local text = der(0x30, der(0x30, oids) .. der(0x03, "\0" .. bits))
  local key = crypto.d2i_PUBKEY(nil, ffi.new("const unsigned char *[1]", { text }), #text)
  crypto.ERR_clear_error()
  return key ~= nil and { key = ffi.gc(key, crypto.EVP_PKEY_free), alg = jwk.alg } or nil
end

-- Takes a JWKS in place of the keys before, and says whether it is one. Keys of other kinds are passed over.
function Keys:keep(text)
  local set = cjson.decode(text)
  if type(set) ~= "table" or type(set.keys) ~= "table" then
    return false
  end
  local by_id = {}
  for _, jwk in ipairs(set.keys) do
    by_id[type(jwk) == "table" and jwk.kid or false] = public_key(jwk)
  end
  self.by_id = by_id
  return true
end

-- ECDSA's two numbers as OpenSSL reads them.
local SIGNATURE = {
  ES256 = function(bytes)
    return #bytes == 64 and der(0x30, der_number(bytes:sub(1, 32)) .. der_number(bytes:sub(33)))
  end,
}

local function is_signed(held, text, signature)
  local read = SIGNATURE[held.alg]
  signature = read and read(signature) or not read and signature
  if not signature then
    return false
  end
  local context = crypto.EVP_MD_CTX_new()
  -- Ed25519 hashes by itself.
  local digest = held.alg ~= "EdDSA" and crypto.EVP_sha256() or nil
  local is_good = context ~= nil
    and crypto.EVP_DigestVerifyInit(context, nil, digest, nil, held.key) == 1
    and crypto.EVP_DigestVerify(context, signature, #signature, text, #text) == 1
  crypto.EVP_MD_CTX_free(context)
  -- nginx would take what is left here for its own connections'.
  crypto.ERR_clear_error()
  return is_good
end

-- The `kid` that a JWT names; nil for what is no JWT.
function Keys.id_in(token)
  local header = cjson.decode(base64url(token:match("^([^.]*)%.")) or "")
  return type(header) == "table" and type(header.kid) == "string" and header.kid or nil
end

-- Header and claims of a JWT that one of the keys signed, with the algorithm of that key; nil for any other.
function Keys:verified(token)
  local text, head, payload, signature = token:match("^(([^.]*)%.([^.]*))%.([^.]*)$")
  local header = text and cjson.decode(base64url(head) or "")
  local held = type(header) == "table" and type(header.kid) == "string" and self.by_id[header.kid]
  -- What must be understood (RFC 7515, section 4.1.11) is not.
  if not held or header.alg ~= held.alg or header.crit ~= nil then
    return nil
  end
  local bytes = base64url(signature)
  if not bytes or not is_signed(held, text, bytes) then
    return nil
  end
  local claims = cjson.decode(base64url(payload) or "")
  return type(claims) == "table" and header or nil, claims
end

return Keys
