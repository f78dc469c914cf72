local holder = redis.call('GET', KEYS[1])
local ours = holder == ARGV[1]
if ours then
  redis.call('DEL', KEYS[1])
  redis.call('SET', KEYS[3], 1, 'PX', ARGV[2])
end
if ours or not holder then
  redis.call('DEL', KEYS[2])
  redis.call('RPUSH', KEYS[2], 1)
  redis.call('PEXPIRE', KEYS[2], 1000)
end
return (ours or redis.call('EXISTS', KEYS[3]) == 1) and 1 or 0
