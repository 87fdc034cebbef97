-- What is in the way of the queue: commands that this user may not run on its keys, or else keys that hold what another
-- program put there. KEYS[1] is what all keys begin with.
local prefix = KEYS[1]

local denied = {}
local function must_be_allowed(command, ...)
    if not redis.acl_check_cmd(command, ...) then
        denied[#denied + 1] = command
    end
end
for _, command in ipairs({ 'TYPE', 'GET', 'SET', 'PEXPIRE', 'HGET', 'HMGET', 'HGETALL', 'HEXISTS', 'HSET', 'HSETNX',
    'HINCRBY', 'HDEL', 'ZADD', 'ZINCRBY', 'ZREM', 'ZREMRANGEBYRANK', 'ZCARD', 'ZRANGE', 'ZREVRANGE', 'ZRANGEBYSCORE',
    'ZREVRANGEBYSCORE', 'SADD', 'SREM', 'SMEMBERS', 'RPUSH', 'LLEN',
    'LINDEX', 'LRANGE', 'LTRIM', 'XADD', 'XTRIM' }) do
    must_be_allowed(command, prefix .. 'life', '1', '2', '3')
end
must_be_allowed('EXISTS', prefix .. 'life')
must_be_allowed('TIME')
must_be_allowed('PING')
must_be_allowed('XREAD', 'STREAMS', prefix .. 'told:', '0')
if #denied > 0 then
    return { 'denied', unpack(denied) }
end

local foreign = {}
for kind, names in pairs({
    hash = { 'life', 'spec', 'outcome', 'progress', 'unique', 'counts', 'meta', 'asked', 'parked' },
    zset = { 'scheduled', 'created', 'workers', 'ended:3', 'ended:4', 'ended:5', 'ended:6' },
    set = { 'ready', 'paused' }, list = { 'removed' }, string = { 'looked' },
}) do
    for _, name in ipairs(names) do
        local found = redis.call('TYPE', prefix .. name).ok
        if found ~= 'none' and found ~= kind then
            foreign[#foreign + 1] = prefix .. name
        end
    end
end
table.sort(foreign)
return { 'foreign', unpack(foreign) }
