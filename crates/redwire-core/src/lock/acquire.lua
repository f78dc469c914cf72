if redis.replicate_commands then redis.replicate_commands() end
local holder = redis.call('GET', KEYS[1])
local left = redis.call('PTTL', KEYS[1])
if holder and holder ~= ARGV[1] then return {0, left} end
local fence = tonumber(redis.call('GET', KEYS[2]) or 0)
local last = holder and redis.call('GET', KEYS[5])
if last and last > ARGV[3] and last:sub(1, 16) == ARGV[3]:sub(1, 16) then return {1, fence} end
if last ~= ARGV[3] then
  local time = redis.call('TIME')
  fence = math.max(fence + 1, time[1] * 1000000 + time[2])
  redis.call('SET', KEYS[2], string.format('%.0f', fence))
end
if not holder then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  redis.call('DEL', KEYS[3], KEYS[4])
elseif left >= 0 and left < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
redis.call('SET', KEYS[5], ARGV[3], 'PX', string.format('%.0f', math.max(left, tonumber(ARGV[2]))))
return {1, fence}
