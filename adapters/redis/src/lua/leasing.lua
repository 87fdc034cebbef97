-- Which jobs start next, and with whom.
local AGEING = 16
local ASKED_EVERY = 60 * 1000000
local UNSERVED = 24 * HOUR
local LONGEST_LOOK = HOUR
local LONGEST_BLINK, COUNTED, GRACE = 1500000, 500000, 10000000
local asked = {} -- by lane: when a worker last asked for it, or since when one might have, as far as it was read
our.asked_now = {}

function our.take_want()
    local want = { worker = take(), max = take_number(), lease = take_number(), tasks = {} }
    local queues = take_number()
    if queues > 0 then
        want.queues = {}
        for _ = 1, queues do
            want.queues[take()] = true
        end
    end
    for _ = 1, take_number() do
        local task, newest = take(), take_number()
        want.tasks[task] = math.max(want.tasks[task] or newest, newest)
    end
    return want
end

local function note_asked(lanes)
    local unread = {}
    for _, lane in ipairs(lanes) do
        if asked[lane] == nil then
            unread[#unread + 1] = lane
        end
    end
    for index, at in ipairs(#unread > 0 and fields_of('asked', unread) or {}) do
        asked[unread[index]] = tonumber(at or -1)
    end
    for _, lane in ipairs(lanes) do
        if math.abs(now - asked[lane]) >= ASKED_EVERY then
            asked[lane] = now
            our.asked_now[#our.asked_now + 1], our.asked_now[#our.asked_now + 2] = lane, now
        end
    end
end

-- The streams from which this worker may lease now, the highest rank first; they all count as asked for.
local function served(want)
    local found, lanes, paused = {}, {}, nil
    for _, stream in pairs(our.know_streams()) do
        local newest = want.tasks[stream.task]
        if newest and stream.version <= newest and (not want.queues or want.queues[stream.queue_name]) then
            found[#found + 1], lanes[#lanes + 1] = stream, stream.lane
        end
    end
    note_asked(lanes)
    local served_streams = {}
    for _, stream in ipairs(found) do
        if not paused then
            paused = {}
            for _, queue in ipairs(call('SMEMBERS', prefix .. 'paused')) do
                paused[queue] = true
            end
        end
        if not paused[stream.queue_name] then
            served_streams[#served_streams + 1] = stream
        end
    end
    table.sort(served_streams, function(one, other) return one.name < other.name end)
    return served_streams
end

-- The first jobs of these streams: enough to start `max` of them.
local function heads_of(these, max)
    local by_age = floor((our.meta.starts + max) / AGEING) - floor(our.meta.starts / AGEING)
    local heads, found, rank = {}, 0, nil
    for _, stream in ipairs(these) do
        -- Further ranks matter only where age decides.
        local most = (found >= max and stream.rank ~= rank) and by_age or max
        if most > 0 then
            local first = our.first_of(stream.key, most)
            heads[#heads + 1] = { stream = stream, rank = stream.rank, first = first, at = 1, taken = 0 }
            found = found + #first / 2
        end
        rank = stream.rank
    end
    return heads
end

-- The ids of up to `max` jobs, in the order in which they start, and for each of which of these streams it is the next.
local function next_of(these, max)
    local heads, ids, heads_by_id = heads_of(these, max), {}, {}
    for start_number = our.meta.starts + 1, our.meta.starts + max do
        local by_age = start_number % AGEING == 0
        local best, best_rank, best_since
        for _, head in ipairs(heads) do
            local id = head.first[head.at]
            if id then
                local since = head.first[head.at + 1]
                -- What was handed back is first in any case.
                local rank = by_age and math.min(head.rank, 1) or head.rank
                if not best or rank < best_rank or (rank == best_rank and (since < best_since
                        or (since == best_since and id < best.first[best.at]))) then
                    best, best_rank, best_since = head, rank, since
                end
            end
        end
        if not best then
            break
        end
        local id = best.first[best.at]
        ids[#ids + 1], heads_by_id[id] = id, best
        best.at = best.at + 2
    end
    return ids, heads_by_id, heads
end

function our.renew_lease(worker, duration)
    call('ZADD', prefix .. 'workers', math.min(now + duration, LATEST), worker)
end

-- Leases what a worker can run next, and renews its lease; answers the ids.
--
-- A suspect runs alone: when it is next, its worker gets nothing until its other jobs are done, then the suspect, and
-- nothing more until that is done.
function our.lease(want)
    our.write_moves()
    local leased, from = {}, served(want)
    local held = prefix .. 'held:' .. want.worker
    local hands = call('ZCARD', held)
    local may_start = want.max > 0 and #from > 0
    if may_start and hands == 1 then
        may_start = not our.known(call('ZRANGE', held, 0, 0)[1]).suspect
    end
    if may_start then
        local ids, heads_by_id, heads = next_of(from, want.max)
        our.load(ids)
        for _, id in ipairs(ids) do
            local head, is_suspect = heads_by_id[id], false
            if not our.start_usual(id, head.stream, want.worker) then
                local job = our.job_of(id)
                is_suspect = job.suspect
                if is_suspect and hands > 0 then
                    break
                end
                -- It leaves its stream with the others, below.
                job.key = nil
                our.start(job, want.worker)
            end
            our.meta.starts, hands, head.taken = our.meta.starts + 1, hands + 1, head.taken + 1
            leased[#leased + 1] = id
            if is_suspect then
                break
            end
        end
        for _, head in ipairs(heads) do
            if head.taken > 0 then
                our.remove_first(head.stream.key, head.taken)
                our.note_stream(head.stream.name, false)
            end
        end
    end
    if hands > 0 then
        our.renew_lease(want.worker, want.lease)
    end
    return leased
end

function our.held_by(worker)
    our.write_moves()
    local ids = call('ZRANGE', prefix .. 'held:' .. worker, 0, -1)
    our.load(ids)
    return ids
end

-- Gives back all jobs of a worker that crashed; answers how many.
function our.bury(worker)
    local held = our.held_by(worker)
    for _, id in ipairs(held) do
        our.crash(our.job_of(id), #held == 1)
    end
    call('ZREM', prefix .. 'workers', worker)
    return #held
end

-- A clock that was set back makes no lease longer: one that had not ended at the last look has as much time left as then.
local function shorten_leases(before)
    for _, worker in ipairs(call('ZRANGEBYSCORE', prefix .. 'workers', before, '+inf')) do
        call('ZINCRBY', prefix .. 'workers', now - before, worker)
    end
end

-- No lease ends while nobody can hear that it is renewed: `domain::job::Unwatched` is what this must agree with.
local function keep_leases(before)
    local held = call('ZRANGEBYSCORE', prefix .. 'workers', '-inf', now + GRACE, 'WITHSCORES')
    for index = 1, #held, 2 do
        local left = math.max(held[index + 1] - before - COUNTED, 0)
        local ends = math.max(held[index + 1], math.min(now + math.min(left, GRACE), LATEST))
        call('ZADD', prefix .. 'workers', ends, held[index])
    end
end

-- Sees to it that leases end in time, and only in time that somebody watched; answers when somebody last looked.
function our.look()
    local before = tonumber(call('GET', prefix .. 'looked') or nil)
    call('SET', prefix .. 'looked', now)
    if before and before > now then
        shorten_leases(before)
    elseif not before or now - before > LONGEST_BLINK then
        keep_leases(before or -math.huge)
    end
    return before or now
end

-- Time that nobody watched pass, or that passed by a clock that jumped, does not count against the jobs that waited.
local function forgive_unwatched_time(before)
    local uncounted = now - before - LONGEST_LOOK
    if uncounted <= 0 then
        return
    end
    local forgiven = {}
    for _, stream in pairs(our.know_streams()) do
        if not forgiven[stream.lane] then
            forgiven[stream.lane] = true
            call('HINCRBY', prefix .. 'asked', stream.lane, string.format('%.0f', uncounted))
        end
    end
end

-- Ends jobs that have been ready for too long while no worker asked for their task, if somebody last looked then.
function our.give_up_unserved(before)
    our.write_moves()
    forgive_unwatched_time(before)
    local too_old = now - UNSERVED
    for name, stream in pairs(our.know_streams()) do
        if tonumber(call('HGET', prefix .. 'asked', stream.lane) or now) <= too_old then
            local old, first = {}, our.first_of('ready:' .. name, our.SLICE)
            for index = 1, #first, 2 do
                if first[index + 1] <= too_old then
                    old[#old + 1] = first[index]
                end
            end
            our.load(old)
            for _, id in ipairs(old) do
                our.give_up(our.job_of(id))
            end
        end
    end
end
