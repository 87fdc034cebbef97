-- One unit of a client's share in this window, or what would be answered if it asked for one.
--
-- KEYS: its count, which lives for as long as the window. So the only time there is, is that of Redis.
-- ARGV: the units in a window; its length in milliseconds; whether one is taken, or '0'.
-- Answers: whether it is granted; how many are taken then; in how many milliseconds the window ends.
local count = KEYS[1]
local limit, window, takes = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1'

local taken, left = 0, nil
-- No count has more than ten digits. What else is there was put by somebody else, and however long it is, no more is read.
local found = redis.pcall('GETRANGE', count, 0, 10)
if type(found) == 'string' and #found <= 10 and string.match(found, '^%d+$') then
    taken, left = tonumber(found), redis.call('PTTL', count)
    -- A window that lasts longer than this one is the one that was configured before. Nobody is locked out by it.
    if left < 0 or left > window then
        redis.call('PEXPIRE', count, window)
        left = window
    end
elseif found ~= '' then
    redis.call('UNLINK', count)
end

local granted = taken < limit
if granted and takes then
    taken = taken + 1
    if left then
        redis.call('INCR', count)
    else
        redis.call('SET', count, '1', 'PX', window)
    end
end
return { granted and 1 or 0, taken, left or window }
