-- What an issuer publishes, its keys and what it has revoked, as each worker of nginx follows it. nginx itself is
-- the client: nginx.conf says where it has both from.

local Keys = require("tenmint_keys")
local Revocations = require("tenmint_revocations")

local Issuer = {}
Issuer.__index = Issuer

-- Seconds.
local FEED_EVERY, KEYS_EVERY, KEYS_LAST, COOLDOWN, AT_START = 5, 240, 300, 10, 2
-- Bytes.
local LARGEST = 16 * 1024 * 1024

-- `port` is that of the server in nginx.conf that answers /jwks and /revocations on this machine.
function Issuer.new(name, port)
  local self = { port = port, keys = Keys.new(), revocations = Revocations.new(name, ngx.time) }
  self.keys_at, self.keys_asked, self.started = 0, 0, 0
  return setmetatable(self, Issuer)
end

-- HTTP/1.0, so that the answer ends where the connection does. What is held already, by its entity tag `held`, is
-- not sent again: then nothing comes back. Otherwise what was asked for, and its entity tag if it has one.
local function fetch(port, path, held)
  local socket = ngx.socket.tcp()
  socket:settimeouts(1000, 1000, 6000)
  local is_open, why = socket:connect("127.0.0.1", port)
  if not is_open then
    return nil, why
  end
  local unless = held and "If-None-Match: " .. held .. "\r\n" or ""
  socket:send("GET " .. path .. " HTTP/1.0\r\nHost: tenmint\r\n" .. unless .. "\r\n")
  local too_large, ending, answer = socket:receive(LARGEST)
  socket:close()
  if too_large or ending ~= "closed" then
    return nil, ending or "the answer is too large"
  end
  local status, head, body = answer:match("^HTTP/1%.%d (%d+)[^\r\n]*(\r\n.-\r\n)\r\n(.*)$")
  if held and status == "304" then
    return nil
  elseif status ~= "200" then
    return nil, "the answer is " .. (status or "none")
  end
  return body, head:match("\r\n[Ee][Tt][Aa][Gg]:[ \t]*([^\r\n]+)")
end

function Issuer:update_keys()
  local now = ngx.time()
  if now < self.keys_asked + COOLDOWN then
    return
  end
  self.keys_asked = now
  local text, why = fetch(self.port, "/jwks")
  if text and self.keys:keep(text) then
    self.keys_at = now
  else
    ngx.log(ngx.WARN, "tenmint's keys were not fetched: ", why or "this is no JWKS")
  end
end

-- A feed that is not the one before, checked as a token is.
function Issuer:update_feed()
  local text, tag = fetch(self.port, "/revocations", self.tag)
  if not text then
    return tag and ngx.log(ngx.WARN, "the revocation feed was not fetched: ", tag)
  elseif text == self.feed then
    self.tag = tag
    return
  end
  if not self.keys.by_id[Keys.id_in(text) or ""] then
    self:update_keys()
  end
  local header, claims = self.keys:verified(text)
  local is_recent = ngx.time() < self.keys_at + KEYS_LAST
  if not header or not is_recent or not self.revocations:keep(header, claims) then
    return ngx.log(ngx.WARN, "what was fetched is no revocation feed that counts")
  end
  -- Only what counts is not to be sent again.
  self.feed, self.tag = text, tag
end

function Issuer:holds_a_withdrawn_key()
  local withdrawn = self.revocations.held and self.revocations.held.revoked.signing_keys or {}
  for id in pairs(next(withdrawn) and self.keys.by_id or {}) do
    if withdrawn[Revocations.alias(id)] then
      return true
    end
  end
  return false
end

function Issuer:update()
  if ngx.time() >= self.keys_at + KEYS_EVERY then
    self:update_keys()
  end
  self:update_feed()
  if self:holds_a_withdrawn_key() then
    self:update_keys()
  end
end

-- Follows the issuer from now on, behind the requests' backs.
function Issuer:follow()
  self.started = ngx.now()
  local function again(is_ending)
    -- One at a time, also when tenmint is slow. What is known ends by itself.
    if not is_ending and not self.is_asking then
      self.is_asking = true
      local is_done, why = pcall(self.update, self)
      self.is_asking = false
      if not is_done then
        ngx.log(ngx.ERR, "tenmint was not followed: ", why)
      end
    end
  end
  assert(ngx.timer.at(0, again))
  assert(ngx.timer.every(FEED_EVERY, again))
end

-- Whether it is known at present who signs and what is revoked. A worker that has just started waits for that.
function Issuer:is_known()
  while not self.revocations:is_known() and ngx.now() < self.started + AT_START do
    ngx.sleep(0.02)
  end
  return self.revocations:is_known()
end

-- The header and claims of a JWT that the issuer signed; nil for any other.
function Issuer:verified(token)
  local id = Keys.id_in(token)
  if id and not self.keys.by_id[id] then
    self:update_keys()
  end
  return self.keys:verified(token)
end

function Issuer:voids(claims, kid)
  return self.revocations:voids(claims, kid)
end

return Issuer
