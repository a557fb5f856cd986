-- Holds the Lua helpers against the shared vectors. Prints what differs.

local Keys = require("tenmint_keys")
local Revocations = require("tenmint_revocations")
local helpers = require("tenmint_scopes")
local vectors = dofile(os.getenv("VECTORS"))

local wrong, count = {}, 0
local function expect(found, said, what)
  count = count + 1
  if found ~= said then
    wrong[#wrong + 1] = ("%q"):format(what)
  end
end

for _, vector in ipairs(vectors.scopes.parse) do
  -- A token says scopes as text alone.
  if type(vector.input) == "string" then
    expect(helpers.canonical(vector.input), vector.canonical, vector.input)
  end
end
for _, vector in ipairs(vectors.scopes.covers) do
  local held, asked = vector.held, vector.asked
  local permits = helpers.permits({ scope = "x.y " .. held }, asked)
  expect(helpers.covers(held, asked) and permits, vector.covers, held .. " " .. asked)
  expect(permits, vector.covers, held .. " " .. asked)
end
for _, vector in ipairs(vectors.networks.cases) do
  for _, address in ipairs(vector.allowed) do
    expect(helpers.allows(vector.claims, address), true, address)
  end
  for _, address in ipairs(vector.refused) do
    expect(helpers.allows(vector.claims, address), false, address)
  end
end
local known = 0
for _, action in ipairs(vectors.scopes.management_actions) do
  expect(helpers.management_actions[action], true, action)
  known = known + 1
end
for _ in pairs(helpers.management_actions) do
  known = known - 1
end
expect(known, 0, "management_actions")
-- Lua has one kind of table: what holds nothing is an object as well as an array.
local SAME_IN_LUA = { ["what is revoked is a list"] = true }
local revocations, keys = vectors.revocations, Keys.new()
expect(keys:keep(vectors.jwks), true, "jwks")
for _, case in ipairs(revocations.cases) do
  local known = Revocations.new(revocations.issuer, function()
    return revocations.now
  end)
  for _, feed in ipairs(case.feeds) do
    local header, claims = keys:verified(feed.feed)
    local counts = header ~= nil and known:keep(header, claims)
    expect(counts, feed.counts or SAME_IN_LUA[case.name] or false, case.name)
  end
  for _, token in ipairs(case.tokens) do
    local header, claims = keys:verified(token.token)
    expect(known:voids(claims, header.kid), token.void, case.name)
  end
end
print(('{"count":%d,"wrong":[%s]}'):format(count, table.concat(wrong, ",")))
