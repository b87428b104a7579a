-- Stores values under KEYS, unless a key holds a value with a newer write version; equal versions
-- overwrite. ARGV has a value for each key, and when it expires (milliseconds since the epoch, or
-- ''). Returns how many values were stored.
--
-- A value is a MessagePack array whose first element, the write version, is always an int64: 0xd3
-- and 8 bytes after a header of 1 byte, or of 3 bytes that begin with 0xdc. Versions are compared as
-- two halves of 32 bits, because Lua's numbers are doubles (which hold 53 bits) and its strings
-- compare by locale.
--
-- A value that has already expired is stored as a tombstone for a week: SET would delete the key,
-- and with it the version that keeps older writers out.

local byte, sub, unpacked, call = string.byte, string.sub, struct.unpack, redis.call
local keys, arguments = KEYS, ARGV

local function version_at(value)
  return byte(value, 1) == 0xdc and 4 or 2
end

local existing, written, stored = call('MGET', unpack(keys)), {}, 0
local time = call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 1, #keys do
  local key, value, expiry = keys[i], arguments[2 * i - 1], arguments[2 * i]
  local at, old, kept = version_at(value), written[key] or existing[i], false
  if old then
    local old_at = version_at(old)
    if byte(old, old_at) == 0xd3 and #old >= old_at + 8 then
      local old_high, old_low = unpacked('>i4I4', old, old_at + 1)
      local high, low = unpacked('>i4I4', value, at + 1)
      kept = old_high > high or (old_high == high and old_low > low)
    end
  end
  if not kept then
    if expiry ~= '' and tonumber(expiry) <= now_ms then
      value = '\146' .. sub(value, at, at + 17)
      expiry = string.format('%.0f', now_ms + 604800000)
    end
    -- Where MGET returned nothing, the key may hold another type, which NX leaves alone.
    local done
    if expiry == '' then
      done = old and call('SET', key, value) or call('SET', key, value, 'NX')
    else
      done = old and call('SET', key, value, 'PXAT', expiry) or call('SET', key, value, 'PXAT', expiry, 'NX')
    end
    if not done then
      return redis.error_reply('WRONGTYPE Operation against a key holding the wrong kind of value')
    end
    written[key] = value
    stored = stored + 1
  end
end
return stored
