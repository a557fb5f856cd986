-- What Envoy's jwt_authn leaves open: the kind of token, its networks, and the scope that each place wants.

package.path = "/etc/envoy/?.lua;" .. package.path
local scopes = require("tenmint_scopes")

local AUDIENCE = "https://api.example"

-- The scope that a request wants; "" where any token does, nil where nobody may go.
local function wanted(method, path)
  if path == "/whoami" then
    return ""
  elseif path == "/files" then
    return "files.read"
  end
  local project = path:match("^/projects/([^/]+)$")
  return project and "read:projects/" .. project
end

local function refuse(handle, status, code, scope)
  local challenge = code and ('Bearer realm="%s", error="%s"'):format(AUDIENCE, code)
  -- What a stranger put into the path is not put into a header.
  if scope and scope:find("^[A-Za-z0-9._~*:/-]+$") then
    challenge = ('%s, scope="%s"'):format(challenge, scope)
  end
  handle:respond({ [":status"] = status, ["www-authenticate"] = challenge }, "")
end

-- To the byte. Envoy compares without scheme and without / at the end.
local function is_for_us(audience)
  for _, one in ipairs(type(audience) == "table" and audience or { audience }) do
    if one == AUDIENCE then
      return true
    end
  end
  return false
end

-- Of "203.0.113.7:4711" and "[2001:db8::1]:4711".
local function without_port(address)
  return address:match("^%[(.*)%]:%d+$") or address:match("^(.*):%d+$")
end

function envoy_on_request(handle)
  local info = handle:streamInfo()
  local token = info:dynamicMetadata():get("envoy.filters.http.jwt_authn") or {}
  local header, claims = token.header, token.payload
  if not header or not claims then
    return refuse(handle, "401", "invalid_token")
  end
  local typ = tostring(header.typ):lower():gsub("^application/", "")
  local is_whole = claims.sub and claims.client_id and claims.jti and claims.iat
  if typ ~= "at+jwt" or not is_whole or not is_for_us(claims.aud) then
    return refuse(handle, "401", "invalid_token")
  end
  if not scopes.allows(claims, without_port(info:downstreamRemoteAddress())) then
    return refuse(handle, "403")
  end
  local headers = handle:headers()
  local scope = wanted(headers:get(":method"), headers:get(":path"):match("^[^?]*"))
  if scope == nil then
    return refuse(handle, "403")
  elseif scope ~= "" and not scopes.permits(claims, scope) then
    return refuse(handle, "403", "insufficient_scope", scope)
  end
end
