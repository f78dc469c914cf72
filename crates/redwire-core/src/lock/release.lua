local holder = redis.call('GET', KEYS[1])
local ours = holder == ARGV[1]
local attempt = ours and redis.call('GET', KEYS[4])
if attempt and attempt ~= ARGV[3] then return 1 end
if ours then
  redis.call('DEL', KEYS[1], KEYS[4])
  redis.call('SET', KEYS[3], 1, 'PX', ARGV[2])
end
if ours or not holder then
  redis.call('DEL', KEYS[2])
  redis.call('RPUSH', KEYS[2], 1)
  redis.call('PEXPIRE', KEYS[2], 1000)
end
return (ours or redis.call('EXISTS', KEYS[3]) == 1) and 1 or 0
