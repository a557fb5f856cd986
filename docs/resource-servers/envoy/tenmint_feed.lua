-- Fetches what tenmint has revoked when the last answer is some seconds old, and lays it before jwt_authn. Only a
-- request whose token was good so far comes here, and only one of each worker at a time waits for the answer.

local AUTHORITY = "127.0.0.1:8080"
-- Milliseconds; bytes. A larger feed would hold up this worker for long.
local EVERY, OLDEST, ALONE, TIMEOUT, LARGEST = 5000, 15000, 1000, 2000, 1024 * 1024

local answered, asked = 0, 0

-- Whether an instant is less than this long ago. Clocks are set back now and then.
local function is_within(instant, length, now)
  return now >= instant and now < instant + length
end

function envoy_on_request(handle)
  local now = handle:timestamp()
  local another_asks = is_within(asked, ALONE, now) and is_within(answered, OLDEST, now)
  if is_within(answered, EVERY, now) or another_asks then
    return
  end
  asked = now
  local request = { [":method"] = "GET", [":path"] = "/.well-known/revocations", [":authority"] = AUTHORITY }
  local headers, feed = handle:httpCall("tenmint", request, "", TIMEOUT)
  -- Also when it is no good: what is held counts until it ends, and tenmint is not asked by every request.
  answered = handle:timestamp()
  local is_there = headers[":status"] == "200" and feed and #feed <= LARGEST
  if is_there and feed:find("^[%w_-]+%.[%w_-]+%.[%w_-]+$") then
    handle:headers():replace("x-tenmint-feed", feed)
  else
    handle:logWarn("the revocation feed was not fetched: the answer is " .. tostring(headers[":status"]))
  end
end
