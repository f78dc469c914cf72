local holder = redis.call('GET', KEYS[1])
if not holder then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  redis.call('DEL', KEYS[3], KEYS[4])
  return {1, redis.call('INCR', KEYS[2])}
end
local left = redis.call('PTTL', KEYS[1])
if holder ~= ARGV[1] then return {0, left} end
if left >= 0 and left < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return {1, tonumber(redis.call('GET', KEYS[2]) or 0)}
