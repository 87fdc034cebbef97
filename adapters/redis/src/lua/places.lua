-- Where a job is found: each is in exactly one sorted set, by where it stands. Those that may be long are in pieces, see
-- pieces.lua.
--
--   scheduled          by when it is due
--   ready:<stream>     by since when it could run, in pieces; a stream is a rank and a lane, `ready` the set of those
--                      with jobs
--   held:<worker>      by its run
--   ended:<state>      by when it ended
--
-- `created` has them all, by when they were enqueued, in pieces; `counts` how many of each queue are in which state.
local moves = {} -- by key: the scores of those that are to be added, and of those that have `left`, by their ids
-- `waiting`: scheduled or ready jobs; `starts`: so far, for ageing.
local kept_meta = call('HMGET', prefix .. 'meta', 'waiting', 'starts')
our.meta = { waiting = tonumber(kept_meta[1] or 0), starts = tonumber(kept_meta[2] or 0) }
local meta_before = { waiting = our.meta.waiting, starts = our.meta.starts }
-- Most is written as of this moment, which is put into words only once.
our.now_text = string.format('%.17g', now)

-- How many more jobs of a queue are in each state than when this tick began.
local queues_by_name = {}
function our.queue_of(name)
    local queue = queues_by_name[name]
    if not queue then
        queue = {}
        for state = SCHEDULED, CANCELLED do
            queue[state] = 0
        end
        queues_by_name[name] = queue
    end
    return queue
end

function our.count(queue, state, more)
    queue[state] = queue[state] + more
    if state <= READY then
        our.meta.waiting = our.meta.waiting + more
    end
end

local streams_by_name = {}
local function stream_named(name)
    local stream = streams_by_name[name]
    if not stream then
        local rank, lane, queue, task, version = string.match(name, '^(%d%d)/(([^/]*)/([^/]*)/(%d+))$')
        stream = {
            name = name, key = 'ready:' .. name, rank = tonumber(rank), lane = lane, queue_name = queue,
            queue = our.queue_of(queue), task = task, version = tonumber(version),
        }
        streams_by_name[name] = stream
    end
    return stream
end

function our.stream_of(rank, lane)
    return stream_named(string.format('%02d/%s', rank, lane))
end

function our.place(job)
    if job.state == SCHEDULED then
        return 'scheduled', job.due
    elseif job.state == READY then
        local stream = job.handed_back and our.stream_of(0, job.kind.lane) or job.kind.stream
        return stream.key, job.since
    elseif job.state == RUNNING then
        return 'held:' .. job.worker, job.run
    end
    return 'ended:' .. job.state, job.finished_at
end

local function moves_of(key)
    moves[key] = moves[key] or { added = {}, left = {} }
    return moves[key]
end

function our.leave(job)
    if job.key then
        local there = moves_of(job.key)
        if there.added[job.id] then
            there.added[job.id] = nil
        else
            there.left[job.id] = job.score
        end
    end
end

function our.move(job)
    local key, score = our.place(job)
    if key ~= job.key or score ~= job.score then
        our.leave(job)
        moves_of(key).added[job.id] = score
        job.key, job.score = key, score
    end
end

-- Counts a job where it stands now, and nowhere if it was removed.
function our.count_again(job)
    local state = not job.removed and job.state or nil
    if job.counted ~= state then
        if job.counted then
            our.count(job.kind.queue, job.counted, -1)
        end
        if state then
            our.count(job.kind.queue, state, 1)
        end
        job.counted = state
    end
end

-- The streams with jobs, by their names.
local streams
function our.know_streams()
    if not streams then
        streams = {}
        for _, name in ipairs(call('SMEMBERS', prefix .. 'ready')) do
            streams[name] = stream_named(name)
        end
    end
    return streams
end

function our.note_stream(name, added)
    if added then
        if not (streams and streams[name]) then
            if call('SADD', prefix .. 'ready', name) == 1 then
                -- From now on a worker might ask for it.
                call('HSETNX', prefix .. 'asked', string.sub(name, 4), our.now_text)
            end
            if streams then
                streams[name] = stream_named(name)
            end
        end
    elseif call('EXISTS', prefix .. 'ready:' .. name) == 0 then
        call('SREM', prefix .. 'ready', name)
        if streams then
            streams[name] = nil
        end
    end
end

-- Writes where jobs have gone, so that it can be read.
function our.write_moves()
    our.write_usual()
    for key, there in pairs(moves) do
        local stream = string.match(key, '^ready:(.*)$')
        if stream then
            our.remove_from(key, there.left)
            our.add_to(key, there.added)
            our.note_stream(stream, next(there.added) ~= nil)
        else
            local added, left = {}, {}
            for id in pairs(there.left) do
                left[#left + 1] = id
            end
            for id, score in pairs(there.added) do
                added[#added + 1], added[#added + 2] = score == now and our.now_text or score, id
            end
            call_with('ZREM', key, left)
            call_with('ZADD', key, added)
        end
    end
    moves = {}
end

function our.write_counts()
    for name, queue in pairs(queues_by_name) do
        for state, more in pairs(queue) do
            local field = name .. '/' .. state
            if more ~= 0 and call('HINCRBY', prefix .. 'counts', field, more) == 0 then
                call('HDEL', prefix .. 'counts', field)
            end
            queue[state] = 0
        end
    end
    if our.meta.waiting ~= meta_before.waiting or our.meta.starts ~= meta_before.starts then
        call('HSET', prefix .. 'meta', 'waiting', our.meta.waiting, 'starts', our.meta.starts)
        meta_before.waiting, meta_before.starts = our.meta.waiting, our.meta.starts
    end
end
