-- Sorted sets of very many jobs, in pieces so small that Redis keeps each of them in one packed block: some 35 bytes for
-- a job, not 120. A set is a sorted set of its pieces, each by the score of the first job that it was made for, from which
-- the scores in it count: a job is in the last piece whose score is not above its own. Of the pieces with the same score,
-- which a call with many jobs makes, it may be in any.
local PIECE = 64 -- half of what Redis packs unless told otherwise, so that there is room for who comes late

-- Byte by byte, as Redis sorts; `<` goes by the locale of the server.
local function precedes(one, other)
    local at = 1
    while at <= #one and string.byte(one, at) == string.byte(other, at) do
        at = at + 1
    end
    return (string.byte(one, at) or -1) < (string.byte(other, at) or -1)
end

-- Ids of jobs, which begin alike, so that comparing numbers is quicker by far.
local function sort(ids)
    local high, middle, low = {}, {}, {}
    for _, id in ipairs(ids) do
        high[id], middle[id], low[id] = struct.unpack('>I6I6I4', id)
    end
    table.sort(ids, function(one, other)
        if high[one] ~= high[other] then
            return high[one] < high[other]
        elseif middle[one] ~= middle[other] then
            return middle[one] < middle[other]
        end
        return low[one] < low[other]
    end)
end

local function piece_key(key, name)
    return 'piece:' .. key .. '/' .. name
end

-- The names sort as the pieces do.
local function begin_piece(key, score, number)
    local name = string.format('%017.0f.%04d', score, number)
    call('ZADD', prefix .. key, score, name)
    return name, score
end

-- The last of the pieces where such a job may be, and its score.
local function piece_of(key, score)
    local found = call('ZREVRANGEBYSCORE', prefix .. key, score, '-inf', 'WITHSCORES', 'LIMIT', 0, 1)
    return found[1], tonumber(found[2])
end

-- Adds jobs with the same score.
local function write_piece(key, name, first, score, ids)
    local arguments = {}
    for _, id in ipairs(ids) do
        arguments[#arguments + 1], arguments[#arguments + 2] = score - first, id
    end
    call_with('ZADD', piece_key(key, name), arguments)
end

-- Adds jobs with this score to the last piece, or behind it.
local function append(key, last, first, score, ids)
    local room = last and PIECE - call('ZCARD', prefix .. piece_key(key, last)) or 0
    if last and room < #ids then
        local highest = call('ZRANGE', prefix .. piece_key(key, last), -1, -1, 'WITHSCORES')[2]
        room = first + highest < score and 0 or #ids
    end
    if room >= #ids then
        write_piece(key, last, first, score, ids)
        return
    end
    if #ids > PIECE then
        sort(ids)
    end
    for at = 1, #ids, PIECE do
        local name = begin_piece(key, score, (at - 1) / PIECE)
        write_piece(key, name, score, score, { unpack(ids, at, math.min(at + PIECE - 1, #ids)) })
    end
end

-- Adds jobs with this score.
function our.add_together(key, score, ids)
    local last = call('ZREVRANGE', prefix .. key, 0, 0, 'WITHSCORES')
    local name, first = last[1], tonumber(last[2])
    if not name or score >= first then
        append(key, name, first, score, ids)
    else
        name, first = piece_of(key, score)
        if not name then
            name, first = begin_piece(key, score, 0)
        end
        write_piece(key, name, first, score, ids)
    end
end

-- Adds jobs with these scores, by their ids.
function our.add_to(key, scores)
    local by_score = {}
    for id, score in pairs(scores) do
        by_score[score] = by_score[score] or {}
        table.insert(by_score[score], id)
    end
    for score, ids in pairs(by_score) do
        our.add_together(key, score, ids)
    end
end

local function remove_from_piece(key, name, ids)
    call_with('ZREM', piece_key(key, name), ids)
    if call('EXISTS', prefix .. piece_key(key, name)) == 0 then
        call('ZREM', prefix .. key, name)
    end
end

-- Removes jobs with these scores, by their ids.
function our.remove_from(key, scores)
    local id, score = next(scores)
    while id do
        local name, first = piece_of(key, score)
        local ids = { id }
        scores[id] = nil
        if name and next(scores) then
            -- The others that are in the same place.
            local behind = call('ZRANGEBYSCORE', prefix .. key, '(' .. string.format('%.17g', first), '+inf',
                'WITHSCORES', 'LIMIT', 0, 1)[2]
            behind = tonumber(behind or math.huge)
            for other, its_score in pairs(scores) do
                if its_score >= first and its_score < behind then
                    ids[#ids + 1], scores[other] = other, nil
                end
            end
        end
        if name then
            local names = { name }
            if not string.match(name, '%.0000$') then
                names = call('ZRANGEBYSCORE', prefix .. key, first, first)
            end
            for _, each in ipairs(names) do
                remove_from_piece(key, each, ids)
            end
        end
        id, score = next(scores)
    end
end

-- Removes so many of the first jobs, which are there.
function our.remove_first(key, many)
    while many > 0 do
        local name = call('ZRANGE', prefix .. key, 0, 0)[1]
        local piece = prefix .. piece_key(key, name)
        many = many - call('ZREMRANGEBYRANK', piece, 0, many - 1)
        if many > 0 or call('EXISTS', piece) == 0 then
            call('ZREM', prefix .. key, name)
        end
    end
end

-- Up to so many of the first jobs, and their scores, in turn.
function our.first_of(key, most)
    local found, at = {}, 0
    while #found < 2 * most do
        local piece = call('ZRANGE', prefix .. key, at, at, 'WITHSCORES')
        if not piece[1] then
            break
        end
        local some = call('ZRANGE', prefix .. piece_key(key, piece[1]), 0, most - #found / 2 - 1, 'WITHSCORES')
        for index = 1, #some, 2 do
            found[#found + 1], found[#found + 2] = some[index], piece[2] + some[index + 1]
        end
        at = at + 1
    end
    return found
end

-- So many jobs and their scores, in turn, the last ones first, behind this one of this score; `nil` begins with the last.
-- Fewer if there are no more.
function our.last_of(key, behind, its_score, most)
    local highest = its_score and string.format('%.17g', its_score) or '+inf'
    local found, at = {}, 0
    while #found < 2 * most do
        local piece = call('ZREVRANGEBYSCORE', prefix .. key, highest, '-inf', 'WITHSCORES', 'LIMIT', at, 1)
        if not piece[1] then
            break
        end
        local some = call('ZREVRANGE', prefix .. piece_key(key, piece[1]), 0, -1, 'WITHSCORES')
        for index = 1, #some, 2 do
            local id, score = some[index], piece[2] + some[index + 1]
            if id == behind then
                found, behind = {}, nil
            elseif #found < 2 * most
                    and (not behind or score < its_score or (score == its_score and precedes(id, behind))) then
                found[#found + 1], found[#found + 2] = id, score
            end
        end
        at = at + 1
    end
    return found
end
