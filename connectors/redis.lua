-- Stores ARGV[1] under KEYS[1], to expire at ARGV[2] (milliseconds since the epoch, or ''), unless the value that is
-- there has a newer write version; equal versions overwrite. Returns 1 if it was stored, else 0.
--
-- A value is a MessagePack array whose first element, the write version, is always an int64: 0xd3 and 8 bytes after a
-- header of 1 byte, or of 3 bytes beginning with 0xdc. Versions are compared as two halves of 32 bits, because Lua's
-- numbers are doubles (which hold 53 bits) and its strings compare by locale.
--
-- A value that has expired already is stored as a tombstone for a week: SET would delete the key, and with it the
-- version that keeps older writers out.

local function place(value)
  return string.byte(value, 1) == 0xdc and 4 or 2
end

local value, expiry = ARGV[1], ARGV[2]
local at = place(value)
local old = redis.call('GETRANGE', KEYS[1], 0, 11)
local old_at = place(old)
if string.byte(old, old_at) == 0xd3 and #old >= old_at + 8 then
  local old_high, old_low = struct.unpack('>i4I4', old, old_at + 1)
  local high, low = struct.unpack('>i4I4', value, at + 1)
  if old_high > high or (old_high == high and old_low > low) then
    return 0
  end
end
if expiry == '' then
  redis.call('SET', KEYS[1], value)
  return 1
end
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
if tonumber(expiry) <= now_ms then
  value = '\146' .. string.sub(value, at, at + 17)
  expiry = string.format('%.0f', now_ms + 604800000)
end
redis.call('SET', KEYS[1], value, 'PXAT', expiry)
return 1
