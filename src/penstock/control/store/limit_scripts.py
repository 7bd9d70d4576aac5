"""Scripts that lease slices of a budget or a rate, and settle what was spent: each one key.

A budget's key has of each balancer ``SPENT SLICE UNTIL SEQ``: what it has given out of slices
before, what it holds, and until when (milliseconds of the server's clock). Both are told
absolutely, so an answer that got lost does no harm; what comes after something newer is refused by
its number. ``id`` tells a key from another that a flush put in its place: whoever finds another one
writes back what it knew of all.
"""

from typing import Final

_LEND: Final = """
local function number(value) return string.format('%.17g', value) end
local function lend(left, need, least, ahead, balancers, most, whole)
  if whole then left = math.floor(left + 1e-6) end
  if need > left then need = left end
  if need < least or (least > 0 and need <= 0) then return 0 end
  local extra = 0
  if ahead then extra = math.min(math.max(left - need, 0) / (2 * balancers), most) end
  if whole then extra = math.floor(extra) end
  return math.max(need, 0) + extra
end
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
"""

# ARGV: me, known id, new id, amount, spent ('' where that is to be told), held, need, least, ahead,
# balancers, most ahead, whole, lease (ms), expiry (ms; 0: none),
# a number that goes up, names and spent of others.
BUDGET: Final = (
    _LEND
    + """
local id = redis.call('HGET', KEYS[1], 'id')
if not id then
  id = ARGV[3]
  redis.call('HSET', KEYS[1], 'id', id)
end
local me = ARGV[1]
local all = redis.call('HGETALL', KEYS[1])
local spent, out, ended, count = {}, 0, {}, 0
local own = 0
for at = 1, #all, 2 do
  local name = string.match(all[at], '^b:(.*)$')
  if name then
    local used, slice, till, seq = string.match(all[at + 1], '^(%S+) (%S+) (%S+) (%S+)$')
    count = count + 1
    if name == me then
      own = tonumber(used)
      if tonumber(seq) > tonumber(ARGV[15]) then
        return redis.error_reply('ERR a later one came before')
      end
    else
      spent[name] = tonumber(used)
      if tonumber(till) > now then
        out = out + tonumber(slice)
      elseif name ~= '-' then
        table.insert(ended, name)
      end
    end
  end
end
if id ~= ARGV[2] then
  for at = 16, #ARGV, 2 do
    local name, used = ARGV[at], tonumber(ARGV[at + 1])
    if name ~= me and used > (spent[name] or 0) then
      if not spent[name] then
        redis.call('HSET', KEYS[1], 'b:' .. name, ARGV[at + 1] .. ' 0 0 0')
      end
      spent[name] = used
    end
  end
end
if count > 64 then
  local sum = spent['-'] or 0
  for _, name in ipairs(ended) do
    sum = sum + spent[name]
    spent[name] = nil
    redis.call('HDEL', KEYS[1], 'b:' .. name)
  end
  spent['-'] = sum
  redis.call('HSET', KEYS[1], 'b:-', number(sum) .. ' 0 0 0')
end
if ARGV[5] ~= '' then own = tonumber(ARGV[5]) end
local left = tonumber(ARGV[4]) - own - out - tonumber(ARGV[6])
for _, used in pairs(spent) do left = left - used end
local amount = lend(left, tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9] == '1',
  tonumber(ARGV[10]), tonumber(ARGV[11]), ARGV[12] == '1')
redis.call('HSET', KEYS[1], 'b:' .. me, number(own) .. ' ' .. number(ARGV[6] + amount) .. ' '
  .. number(now + ARGV[13]) .. ' ' .. ARGV[15])
if ARGV[14] ~= '0' then redis.call('PEXPIRE', KEYS[1], ARGV[14]) end
local told = {id, number(amount), number(left - amount), number(out), number(own)}
for name, used in pairs(spent) do
  table.insert(told, name)
  table.insert(told, number(used))
end
return told
"""
)

# ARGV: known id, new id, when it was known to be whole, ms of one, burst, given back, owed, need,
# least, ahead, balancers, most ahead, whole.
RATE: Final = (
    _LEND
    + """
local each, burst = tonumber(ARGV[4]), tonumber(ARGV[5])
local id = redis.call('HGET', KEYS[1], 'id')
local at = tonumber(redis.call('HGET', KEYS[1], 'at') or '0')
if id ~= ARGV[1] then at = math.max(at, math.min(tonumber(ARGV[3]), now + 2 * burst * each)) end
if not id then id = ARGV[2] end
at = math.max(at - ARGV[6] * each, now) + ARGV[7] * each
local left = burst - (at - now) / each
local amount = lend(left, tonumber(ARGV[8]), tonumber(ARGV[9]), ARGV[10] == '1',
  tonumber(ARGV[11]), tonumber(ARGV[12]), ARGV[13] == '1')
at = at + amount * each
redis.call('HSET', KEYS[1], 'id', id, 'at', number(at))
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', at - now + 1000))
local wait = math.max(tonumber(ARGV[9]) - left, 0) * each
return {id, number(amount), number(left - amount), number(wait), number(at), number(at - now)}
"""
)

# Another than before: all was forgotten.
SINCE: Final = """
redis.call('SET', KEYS[1], ARGV[1], 'NX')
return redis.call('GET', KEYS[1])
"""
