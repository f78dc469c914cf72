if redis.call('GET', KEYS[1]) ~= ARGV[1] then return false end
return {tonumber(redis.call('GET', KEYS[2]) or 0), redis.call('PTTL', KEYS[1])}
