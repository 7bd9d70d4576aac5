"""Scripts that the shared store runs, each on one key.

A value is stored as ``REVISION:VALUE``. Revisions are the server's clock in microseconds, or one
more than the last where that stands still: so none comes twice, after a removal or a flush either.
"""

from typing import Final

# Names, not bytes, compare what was read: a value may be megabytes.
_REVISION: Final = """
local found = redis.call('HGET', KEYS[1], ARGV[1])
local revision = '0'
if found then revision = string.match(found, '^(%d+):') or '0' end
"""

GET: Final = """
if redis.call('HSTRLEN', KEYS[1], ARGV[1]) > tonumber(ARGV[2]) + 20 then
  return redis.error_reply('ERR the value is larger than any of ours')
end
return redis.call('HGET', KEYS[1], ARGV[1])
"""

PUT: Final = (
    _REVISION
    + """
if revision ~= ARGV[2] then return '0' end
if not found and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then
  return redis.error_reply('ERR there are too many keys')
end
local now = redis.call('TIME')
local next = now[1] * 1000000 + now[2]
if next <= tonumber(revision) then next = tonumber(revision) + 1 end
next = string.format('%.0f', next)
redis.call('HSET', KEYS[1], ARGV[1], next .. ':' .. ARGV[3])
redis.call('PUBLISH', ARGV[5], ARGV[1])
return next
"""
)

REMOVE: Final = (
    _REVISION
    + """
if revision ~= ARGV[2] then return 0 end
if redis.call('HDEL', KEYS[1], ARGV[1]) == 1 then redis.call('PUBLISH', ARGV[3], ARGV[1]) end
return 1
"""
)

KEYS: Final = """
if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[2]) then
  return redis.error_reply('ERR there are too many keys')
end
local found = {}
for _, key in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.sub(key, 1, #ARGV[1]) == ARGV[1] then table.insert(found, key) end
end
return found
"""

LEASE: Final = """
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
local left = owner and redis.call('PTTL', KEYS[1]) or 0
redis.call('SET', KEYS[1], ARGV[1], 'PX', math.max(left, tonumber(ARGV[2])))
return 1
"""

RELEASE: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
"""
