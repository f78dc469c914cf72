if redis.call('GET', KEYS[1]) ~= ARGV[1] then return false end
local left = redis.call('PTTL', KEYS[1])
redis.call('SET', KEYS[3], ARGV[2])
if left >= 0 then redis.call('PEXPIRE', KEYS[3], left) end
return {tonumber(redis.call('GET', KEYS[2]) or 0), left}
