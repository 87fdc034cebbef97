-- What must hold whenever nobody is at work; answers every sentence that does not. KEYS[1] is what all keys begin with.
local prefix, broken = KEYS[1], {}
local function must(holds, sentence, ...)
    if not holds then
        broken[#broken + 1] = string.format(sentence, ...)
    end
end
local function hex(id)
    return (string.gsub(id, '.', function(c) return string.format('%02x', string.byte(c)) end))
end
local function all_of(key)
    local found, stored = {}, redis.call('HGETALL', prefix .. key)
    for index = 1, #stored, 2 do
        found[stored[index]] = stored[index + 1]
    end
    return found
end

-- The jobs of a sorted set that is in pieces.
local pieces = {}
local function all_pieces_of(name)
    local ids, found = {}, redis.call('ZRANGE', prefix .. name, 0, -1, 'WITHSCORES')
    for index = 1, #found, 2 do
        local key = prefix .. 'piece:' .. name .. '/' .. found[index]
        local first, behind = tonumber(found[index + 1]), tonumber(found[index + 3] or math.huge)
        local jobs = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
        pieces[key] = true
        must(#jobs > 0, '%s is empty', key)
        for at = 1, #jobs, 2 do
            local score = first + jobs[at + 1]
            must(score >= first and (score < behind or score == first), '%s is in the wrong piece', hex(jobs[at]))
            ids[#ids + 1] = jobs[at]
        end
    end
    return ids
end

local NAMES = { [0] = 'scheduled', 'ready', 'held', 'ended:3', 'ended:4', 'ended:5', 'ended:6' }
local places, streams = {}, {}
for _, key in ipairs(redis.call('KEYS', prefix .. '*')) do
    local name = string.sub(key, #prefix + 1)
    local place = string.match(name, '^scheduled$') or string.match(name, '^(ready):') or string.match(name, '^(held):')
        or string.match(name, '^ended:%d$')
    if place then
        streams[name] = true
        for _, id in ipairs(place == 'ready' and all_pieces_of(name) or redis.call('ZRANGE', key, 0, -1)) do
            must(not places[id], '%s is in %s and in %s', hex(id), tostring(places[id]), place)
            places[id] = place
        end
    end
end
local created = {}
for _, id in ipairs(all_pieces_of('created')) do
    must(not created[id], '%s is in the list twice', hex(id))
    created[id] = true
end
for _, key in ipairs(redis.call('KEYS', prefix .. 'piece:*')) do
    must(pieces[key], '%s belongs to nothing', key)
end

local counted, lives, waiting, total = {}, {}, 0, 0
local specs, progress, outcomes = all_of('spec'), all_of('progress'), all_of('outcome')
local unique, remembered = all_of('unique'), {}
for _, id in ipairs(redis.call('LRANGE', prefix .. 'removed', 0, -1)) do
    remembered[id] = true
end
for id, raw in pairs(all_of('life')) do
    local state, form = string.byte(raw) % 8, math.floor(string.byte(raw) / 8)
    if string.byte(raw) == 255 then
        must(remembered[id], '%s is removed and will never be forgotten', hex(id))
    else
        lives[id], total = true, total + 1
        must(places[id] == NAMES[state], '%s in state %d is in %s', hex(id), state, tostring(places[id]))
        must(created[id], '%s is in no list', hex(id))
        local flags, made_at = 0, 2
        if form == 0 then
            flags, made_at = string.byte(raw, 2), select(15, struct.unpack('>BBBI4I4dddddddBc0Hc0', raw))
        elseif state == 2 then
            made_at = select(4, struct.unpack('>BBc0d', raw))
        elseif state > 2 then
            flags, made_at = form == 2 and 16 or 0, 18
        end
        local _, kind, extraordinary = struct.unpack('>dBc0B', raw, made_at)
        must((bit.band(flags, 8) > 0) == (progress[id] ~= nil), '%s and its progress', hex(id))
        must((bit.band(flags, 16) > 0) == (outcomes[id] ~= nil), '%s and its outcome', hex(id))
        must((bit.band(extraordinary, 2) > 0) == (specs[id] ~= nil), '%s and its spec', hex(id))
        local name = string.match(string.sub(kind, 6), '^[^/]*') .. '/' .. state
        counted[name] = (counted[name] or 0) + 1
        waiting = waiting + (state <= 1 and 1 or 0)
    end
end
for id, place in pairs(places) do
    must(lives[id], '%s is in %s, and nothing is known of it', hex(id), place)
end
for what, known in pairs({ spec = specs, progress = progress, outcome = outcomes }) do
    for id in pairs(known) do
        must(lives[id], 'the %s of %s, and nothing is known of it', what, hex(id))
    end
end
for key, id in pairs(unique) do
    must(places[id] and not string.match(places[id], '^ended'), '%s is held by %s', key, hex(id))
end
for id in pairs(created) do
    must(lives[id], '%s is in the list, and nothing is known of it', hex(id))
end
local stored = all_of('counts')
for name, count in pairs(counted) do
    must(tonumber(stored[name]) == count, '%d %s, counted as %s', count, name, tostring(stored[name]))
end
for name, count in pairs(stored) do
    must(counted[name], 'no %s, counted as %s', name, count)
end
must(tonumber(redis.call('HGET', prefix .. 'meta', 'waiting') or 0) == waiting, '%d wait, counted otherwise', waiting)
local ready = {}
for _, name in ipairs(redis.call('SMEMBERS', prefix .. 'ready')) do
    ready['ready:' .. name] = true
    must(streams['ready:' .. name], 'the stream %s has no jobs', name)
end
for name in pairs(streams) do
    must(ready[name] or not string.match(name, '^ready:'), '%s is not known', name)
    local worker = string.match(name, '^held:(.*)$')
    must(not worker or redis.call('ZSCORE', prefix .. 'workers', worker), '%s has no lease', tostring(worker))
end
return broken
