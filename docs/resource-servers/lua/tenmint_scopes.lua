-- Scopes and networks of tenmint's access tokens. Without dependencies, for Lua 5.1 (and LuaJIT) or later:
-- copy this file. Checked against scope-vectors.json and network-vectors.json by tenmint's own tests.

local tenmint = {}

-- Actions of tenmint's own. The action * does not cover them.
tenmint.management_actions = {}
for action in ([[
  api_keys.read api_keys.create api_keys.update api_keys.revoke api_keys.any_network
  roles.read roles.write signing_keys.read signing_keys.rotate usage.read audit.read tokens.introspect
  organization.read organization.write organizations.read organizations.write
]]):gmatch("%S+") do
  tenmint.management_actions[action] = true
end

local MAX_BYTES, MAX_NETWORKS = 200, 100

local function starts_with(text, start)
  return text:sub(1, #start) == start
end

local function ends_with(text, ending)
  return #text >= #ending and text:sub(-#ending) == ending
end

local function split(text, separator)
  local parts = {}
  for part in (text .. separator):gmatch("([^%" .. separator .. "]*)%" .. separator) do
    parts[#parts + 1] = part
  end
  return parts
end

-- The segments of a filter, and whether any others may follow.
local function segments(filter)
  local is_open = ends_with(filter, "/**")
  return split(is_open and filter:sub(1, -4) or filter, "/"), is_open
end

-- An action and a filter, which is false for every resource. Nothing for what is no scope.
local function read(scope)
  if type(scope) ~= "string" or #scope > MAX_BYTES then
    return nil
  end
  local action, filter = scope:match("^([^:]*):(.*)$")
  action = action or scope
  if action ~= "*" then
    for _, word in ipairs(split((action:gsub("%.%*$", "")), ".")) do
      if not word:find("^[a-z0-9_-]+$") then
        return nil
      end
    end
  end
  if not filter or filter == "*" or filter == "**" or filter == "*/**" then
    return action, false
  end
  for _, segment in ipairs((segments(filter))) do
    local is_plain = segment:find("^[A-Za-z0-9._~-]+$") and segment ~= "." and segment ~= ".."
    if segment ~= "*" and not is_plain then
      return nil
    end
  end
  return action, filter
end

local function action_includes(held, asked)
  if held ~= "*" then
    return held == asked or ends_with(held, ".*") and starts_with(asked, held:sub(1, -2))
  end
  for action in pairs(tenmint.management_actions) do
    if action == asked or ends_with(asked, ".*") and starts_with(action, asked:sub(1, -2)) then
      return false
    end
  end
  return true
end

local function filter_includes(held, asked)
  if not held or not asked then
    return not held
  end
  local one, one_is_open = segments(held)
  local other, other_is_open = segments(asked)
  if #other < #one then
    return false
  end
  for at, segment in ipairs(one) do
    if segment ~= "*" and segment ~= other[at] then
      return false
    end
  end
  return one_is_open or #other == #one and not other_is_open
end

-- The one way to write a scope; nil for what is none.
function tenmint.canonical(scope)
  local action, filter = read(scope)
  return filter and action .. ":" .. filter or action
end

-- Whether everything that one scope permits, the other does too.
function tenmint.covers(held, asked)
  local held_action, held_filter = read(held)
  local asked_action, asked_filter = read(asked)
  if not held_action or not asked_action then
    return false
  end
  return action_includes(held_action, asked_action) and filter_includes(held_filter, asked_filter)
end

-- Whether a token with these claims may be used for a scope, such as "read:projects/42". What is not a
-- scope is not permitted, so that it may be put together from a path.
function tenmint.permits(claims, asked)
  if type(claims.scope) ~= "string" then
    return false
  end
  for _, held in ipairs(split(claims.scope, " ")) do
    if tenmint.covers(held, asked) then
      return true
    end
  end
  return false
end

local function decimal(text, limit)
  local is_decimal = text:find("^[0-9]+$") and #text <= 3 and (#text == 1 or text:sub(1, 1) ~= "0")
  local value = is_decimal and tonumber(text)
  return value and value <= limit and value or nil
end

-- An address as its bytes: 4 or 16. Nothing for what is none.
local function read_v4(text)
  local parts, bytes = split(text, "."), {}
  for at, part in ipairs(parts) do
    bytes[at] = decimal(part, 255)
    if not bytes[at] then
      return nil
    end
  end
  return #parts == 4 and bytes or nil
end

local function add_groups(bytes, half)
  if half == "" then
    return true
  end
  local groups = split(half, ":")
  for at, group in ipairs(groups) do
    -- The last two may be written as IPv4.
    local v4 = at == #groups and group:find(".", 1, true) and read_v4(group)
    if v4 then
      for _, byte in ipairs(v4) do
        bytes[#bytes + 1] = byte
      end
    elseif group:find("^%x%x?%x?%x?$") then
      local value = tonumber(group, 16)
      bytes[#bytes + 1] = math.floor(value / 256)
      bytes[#bytes + 1] = value % 256
    else
      return false
    end
  end
  return true
end

local function read_v6(text)
  local before, behind = text:match("^(.-)::(.*)$")
  local bytes, rest = {}, {}
  if not add_groups(bytes, before or text) or not add_groups(rest, behind or "") then
    return nil
  end
  -- IPv4 stands at the end only.
  if before and before:find(".", 1, true) or not before and text == "" then
    return nil
  end
  if before and #bytes + #rest > 14 then
    return nil
  end
  while before and #bytes + #rest < 16 do
    bytes[#bytes + 1] = 0
  end
  for _, byte in ipairs(rest) do
    bytes[#bytes + 1] = byte
  end
  return #bytes == 16 and bytes or nil
end

local function read_address(text)
  if type(text) ~= "string" then
    return nil
  end
  return read_v4(text) or read_v6(text)
end

-- IPv4 as IPv4, also where IPv6 writes it down: in ::ffff:0:0/96.
local function unmapped(bytes, bits)
  if #bytes ~= 16 or bits < 96 or bytes[11] ~= 255 or bytes[12] ~= 255 then
    return bytes, bits
  end
  for at = 1, 10 do
    if bytes[at] ~= 0 then
      return bytes, bits
    end
  end
  return { bytes[13], bytes[14], bytes[15], bytes[16] }, bits - 96
end

-- The leading bits of one byte.
local function leading(byte, bits)
  return byte - byte % 2 ^ (8 - bits)
end

local function masked_byte(bytes, at, bits)
  return leading(bytes[at], math.max(0, math.min(8, bits - 8 * (at - 1))))
end

local function read_network(text)
  if type(text) ~= "string" then
    return nil
  end
  local start, length = text:match("^([^/]*)/(.*)$")
  local bytes = read_address(start or text)
  local bits = bytes and (length and decimal(length, 8 * #bytes) or not length and 8 * #bytes)
  if not bits then
    return nil
  end
  for at = 1, #bytes do
    -- A network is written by its first address.
    if masked_byte(bytes, at, bits) ~= bytes[at] then
      return nil
    end
  end
  return unmapped(bytes, bits)
end

-- Whether a token with these claims may be used from a client's address. Without the claim from
-- everywhere. A claim that cannot be made out allows nobody; a JSON null must not arrive here as nil.
function tenmint.allows(claims, address)
  local list = claims.allowed_ip_cidrs
  if list == nil then
    return true
  end
  local client = read_address(address)
  if type(list) ~= "table" or #list < 1 or #list > MAX_NETWORKS or not client then
    return false
  end
  client = unmapped(client, 128)
  local is_allowed = false
  for _, entry in ipairs(list) do
    local bytes, bits = read_network(entry)
    if not bytes then
      return false
    end
    local is_inside = #bytes == #client
    for at = 1, is_inside and #bytes or 0 do
      is_inside = is_inside and masked_byte(client, at, bits) == bytes[at]
    end
    is_allowed = is_allowed or is_inside
  end
  return is_allowed
end

return tenmint
