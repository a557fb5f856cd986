-- What Envoy's jwt_authn leaves open: the kind of token, whether it is revoked, its networks, and the scope that each
-- place wants.

package.path = "/etc/envoy/?.lua;" .. package.path
local Revocations = require("tenmint_revocations")
local scopes = require("tenmint_scopes")

local ISSUER, AUDIENCE = "http://127.0.0.1:8080", "https://api.example"

-- Of each worker, for as long as Envoy runs.
local revocations = Revocations.new(ISSUER)

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

-- RFC 6750, section 3.
local function refuse(handle, status, code, scope)
  local challenge = code and ('Bearer realm="%s", error="%s"'):format(AUDIENCE, code)
  -- What a stranger put into the path is not put into a header.
  if scope and scope:find("^[A-Za-z0-9._~*:/-]+$") then
    challenge = ('%s, scope="%s"'):format(challenge, scope)
  end
  local wait = status == "503" and "2" or nil
  handle:respond({ [":status"] = status, ["www-authenticate"] = challenge, ["retry-after"] = wait }, "")
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

local function guard(handle)
  local info = handle:streamInfo()
  local token = info:dynamicMetadata():get("envoy.filters.http.jwt_authn") or {}
  -- A feed whose signature is good.
  handle:headers():remove("x-tenmint-feed")
  if token.feed and token.feed_header then
    revocations:keep(token.feed_header, token.feed)
  end
  local header, claims = token.header, token.payload
  if not header or not claims then
    return refuse(handle, "401", "invalid_token")
  end
  local typ = tostring(header.typ):lower():gsub("^application/", "")
  local is_whole = claims.sub and claims.client_id and claims.jti and type(claims.iat) == "number"
  if typ ~= "at+jwt" or not is_whole or not is_for_us(claims.aud) then
    return refuse(handle, "401", "invalid_token")
  end
  if revocations:voids(claims, header.kid) then
    return refuse(handle, "401", "invalid_token")
  elseif not revocations:is_known() then
    return refuse(handle, "503")
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

function envoy_on_request(handle)
  local is_done, why = pcall(guard, handle)
  -- By itself Envoy lets through what a script fails on.
  if not is_done then
    handle:logErr(tostring(why))
    refuse(handle, "500")
  end
end
