-- Lets through what carries a token that counts here, and asks tenmint nothing per request. nginx.conf calls it.

local Issuer = require("tenmint_issuer")
local scopes = require("tenmint_scopes")

local ISSUER, AUDIENCE = "http://127.0.0.1:8080", "https://api.example"
-- For clocks that are apart, in seconds.
local LEEWAY = 5

local issuer = Issuer.new(ISSUER, 8001)

-- The scope that a request wants; "" where any token does, nil where nobody may go. The path is as it was sent,
-- because the service gets that.
local function wanted(method, path)
  if path == "/whoami" then
    return ""
  elseif path == "/files" then
    return "files.read"
  end
  local project = path:match("^/projects/([^/]+)$")
  return project and "read:projects/" .. project
end

-- RFC 6750, section 3. Does not return.
local function refuse(status, code, scope)
  local challenge = ('Bearer realm="%s"'):format(AUDIENCE)
  challenge = code and ('%s, error="%s"'):format(challenge, code) or challenge
  -- What a stranger put into the path is not put into a header.
  if scope and scope:find("^[A-Za-z0-9._~*:/-]+$") then
    challenge = ('%s, scope="%s"'):format(challenge, scope)
  end
  ngx.header["WWW-Authenticate"] = (code or status == 401) and challenge or nil
  ngx.header["Retry-After"] = status == 503 and "2" or nil
  ngx.exit(status)
end

-- The one token of a request.
local function bearer(headers)
  local written = headers["authorization"] or ""
  if type(written) ~= "string" then
    return refuse(400, "invalid_request")
  end
  local scheme, token = written:match("^(%S+) +(.-) *$")
  if not scheme or scheme:lower() ~= "bearer" then
    return refuse(401)
  end
  return token
end

local function is_for_us(audience)
  for _, one in ipairs(type(audience) == "table" and audience or { audience }) do
    if one == AUDIENCE then
      return true
    end
  end
  return false
end

-- Whether these are claims of an access token that is in force here and now.
local function is_in_force(header, claims)
  local typ = tostring(header.typ):lower():gsub("^application/", "")
  if typ ~= "at+jwt" or claims.iss ~= ISSUER or not is_for_us(claims.aud) then
    return false
  end
  for _, name in ipairs({ "sub", "client_id", "jti", "org", "scope" }) do
    if type(claims[name]) ~= "string" then
      return false
    end
  end
  local from = claims.nbf == nil and 0 or claims.nbf
  if type(claims.iat) ~= "number" or type(claims.exp) ~= "number" or type(from) ~= "number" then
    return false
  end
  local now = ngx.time()
  return now < claims.exp + LEEWAY and now >= from - LEEWAY and not issuer:voids(claims, header.kid)
end

local function guard()
  local headers = ngx.req.get_headers(0)
  -- Nobody but this gateway speaks in tenmint's name.
  for name in pairs(headers) do
    if name:lower():find("^x[-_]tenmint[-_]") then
      ngx.req.clear_header(name)
    end
  end
  local token = bearer(headers)
  if not issuer:is_known() then
    return refuse(503)
  end
  local header, claims = issuer:verified(token)
  if not header or not is_in_force(header, claims) then
    return refuse(401, "invalid_token")
  end
  -- The connection's address. Behind a proxy, say by set_real_ip_from which one tells the client's.
  if not scopes.allows(claims, ngx.var.remote_addr) then
    return refuse(403)
  end
  local scope = wanted(ngx.req.get_method(), ngx.var.request_uri:match("^[^?]*"))
  if scope == nil then
    return refuse(403)
  elseif scope ~= "" and not scopes.permits(claims, scope) then
    return refuse(403, "insufficient_scope", scope)
  end
  ngx.req.set_header("X-Tenmint-Key-Id", claims.client_id)
  ngx.req.set_header("X-Tenmint-Org", claims.org)
  ngx.req.set_header("X-Tenmint-Scope", claims.scope)
end

return {
  guard = guard,
  start = function()
    issuer:follow()
  end,
}
