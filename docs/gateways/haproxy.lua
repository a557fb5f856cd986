-- Asks tenmint whether a request may go through: `http-request lua.tenmint <base URL> <scope>`.
-- A yes puts who it is, and a token, into the request; a no is the client's answer.
-- It needs nothing but HAProxy's own HTTP client, which knows tenmint's certificate by the authorities of the
-- system, or of `httpclient.ssl.ca-file`, when the base URL is https.

-- Milliseconds for one try. HAProxy makes four of them when tenmint hangs: five seconds, and no more.
local TIMEOUT = 1250

local asked = { "authorization", "x-api-key", "x-forwarded-for", "user-agent" }
local told = { "www-authenticate", "content-type", "retry-after", "ratelimit", "ratelimit-policy" }
local taken = {
  "authorization", "x-tenmint-org", "x-tenmint-key-id", "x-tenmint-credential", "x-tenmint-scope",
  "x-tenmint-external-id",
}

-- All lines of one header, in order. HAProxy counts those of a request from 0, those of an answer from 0 or 1.
local function lines(headers, name)
  local found = {}
  local all = headers and headers[name] or {}
  for at = 0, 100 do
    if all[at] ~= nil then
      table.insert(found, all[at])
    end
  end
  return found
end

local function refuse(txn, status, answer)
  local reply = txn:reply({ status = status })
  for _, name in ipairs(told) do
    for _, value in ipairs(lines(answer and answer.headers, name)) do
      reply:add_header(name, value)
    end
  end
  reply:set_body(answer and answer.body or "")
  txn:done(reply)
end

core.register_action("tenmint", { "http-req" }, function(txn, base, scope)
  local request = txn.http:req_get_headers()
  local headers = {}
  for _, name in ipairs(asked) do
    local values = lines(request, name)
    if #values > 0 then
      headers[name] = values
    end
  end
  local answer = core.httpclient():get({
    url = base .. "/gateway/verify?exchange=true&scope=" .. scope,
    headers = headers,
    timeout = TIMEOUT,
  })
  local status = answer and answer.status or 503
  if status == 401 or status == 403 or status == 429 then
    return refuse(txn, status, answer)
  end
  if status ~= 200 then
    return refuse(txn, 503, nil)
  end
  for _, name in ipairs(taken) do
    local value = lines(answer.headers, name)[1]
    if value == nil then
      return refuse(txn, 503, nil)
    end
    txn.http:req_set_header(name, value)
  end
  txn:set_var("txn.tenmint_yes", true)
end, 2)
