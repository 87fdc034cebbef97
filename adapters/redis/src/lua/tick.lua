-- What may be asked, by its name.
local asks = {}
local UNKNOWN, WAITS = 0, 1

function asks.enqueue()
    local room, many = take_number(), take_number()
    local is_there_room, answers, these = our.meta.waiting + many <= room, {}, {}
    for index = 1, many do
        if is_there_room then
            answers[index] = our.enqueue_next()
        else
            these[index] = our.take_job()
        end
    end
    return is_there_room and answers or our.enqueue(these, room)
end

-- The end of a job if it has come, of which this process hears otherwise, if one is named.
local function outcome(id, process)
    local job = our.known(id)
    if not job then
        return UNKNOWN
    elseif job.state > RUNNING then
        return our.end_of(job)
    end
    if process ~= '' then
        our.watch(job, 'E', process)
    end
    return WAITS
end

function asks.outcome()
    return outcome(take(), take())
end

-- Enqueues a job, and tells of its end, or of that of whoever holds its unique key.
function asks.call()
    local process, room, job = take(), take_number(), our.take_job()
    local answers = our.enqueue({ job }, room)
    if answers == our.IS_FULL then
        return our.IS_FULL
    end
    local id = (answers[1] == our.IS_NEW or answers[1] == our.IS_KNOWN) and job.id or answers[1]
    return { id, outcome(id, process) }
end

function asks.find()
    local job = our.known(take())
    return job and our.everything_of(job)
end

-- The same, and this process hears of the next change.
function asks.follow()
    local job, process = our.known(take()), take()
    if job then
        our.watch(job, 'C', process)
    end
    return job and our.everything_of(job)
end

function asks.removed()
    local job = our.job_of(take())
    return job and job.removed and { job.removed, job.created_by }
end

function asks.list()
    local state, task, queue = tonumber(take()), take(), take()
    local created_at, id = tonumber(take()), take()
    local skip, want = take_number(), take_number()
    return our.list(state, task, queue, created_at and { created_at = created_at, id = id }, skip, want)
end

asks.queues = our.queues

function asks.cancel()
    local job = our.known(take())
    if not job then
        return 'unknown'
    elseif job.state > RUNNING then
        return 'too late'
    elseif job.state == RUNNING then
        job.cancel = true
        our.touch(job)
        return 'requested'
    end
    our.finish(job, CANCELLED, our.NOTHING, '')
    our.stepped(job)
    return 'prevented'
end

function asks.retry()
    local job = our.known(take())
    if not job or job.state <= SUCCEEDED then
        return 0
    elseif our.holder_of(job) then
        return 'held'
    end
    if job.unique ~= '' then
        call('HSET', prefix .. 'unique', job.unique, job.id)
    end
    our.retry(job)
    return 1
end

function asks.pause()
    local queue, paused = take(), take() == '1'
    call(paused and 'SADD' or 'SREM', prefix .. 'paused', queue)
    stirred = true
    return 1
end

local function take_settlement(id, run, worker, verdict, detail, result)
    run, detail = tonumber(run), tonumber(detail)
    if verdict == 'F' and detail < DEAD and our.settle_usual(id, run, worker, detail, result) then
        return true
    end
    local job = our.known(id)
    return job and our.settle(job, run, worker, verdict, detail, result)
end

-- Whether each settlement was accepted, and what was leased; `WAITS` if the worker has been handed something that it
-- has not heard of yet.
function asks.exchange()
    local settled = {}
    for index = 1, take_number() do
        settled[index] = take_settlement(take_many(6)) and 1 or 0
    end
    local want, ticket, process, again = our.take_want(), take(), take(), take() == '1'
    if again and call('HEXISTS', prefix .. 'parked', ticket) == 0 then
        return { settled, WAITS }
    end
    local leased = our.lease(want)
    if ticket ~= '' then
        if #leased == 0 then
            our.park(ticket, process, want)
        elseif again then
            call('HDEL', prefix .. 'parked', ticket)
        end
    end
    return { settled, our.pack_whole(leased) }
end

function asks.leave()
    return call('HDEL', prefix .. 'parked', take())
end

function asks.renew()
    local worker, time = take(), take_number()
    local held = {}
    for index, id in ipairs(our.held_by(worker)) do
        local job = our.job_of(id)
        held[index] = { id, job.run, job.cancel and 1 or 0 }
    end
    if #held > 0 then
        our.renew_lease(worker, time)
    end
    return held
end

function asks.report()
    local job, run, worker, progress = our.known(take()), take_number(), take(), take()
    if not job or not our.is_held_by(job, run, worker) then
        return 0
    end
    call('HSET', prefix .. 'progress', job.id, progress)
    job.has_progress, job.progress = true, progress
    our.tell_watchers(job, false)
    our.touch(job)
    return 1
end

function asks.bury()
    return our.bury(take())
end

function asks.reclaim()
    local given_back, looked = 0, our.look()
    for _, worker in ipairs(call('ZRANGEBYSCORE', prefix .. 'workers', '-inf', now)) do
        given_back = given_back + our.bury(worker)
    end
    our.give_up_unserved(looked)
    our.write_jobs()
    our.remove_old()
    return given_back
end

-- What the asking process has read of what it was told.
local process, heard = take(), take()
if heard ~= '' then
    call('XTRIM', prefix .. 'told:' .. process, 'MINID', heard)
end

local mentioned = {}
for index = 1, take_number() do
    mentioned[index] = take()
end
our.load(mentioned)

our.fall_due()
local answers = {}
for index = 1, take_number() do
    -- A `nil` would end the answer.
    answers[index] = asks[take()]() or false
end
our.hand_out()
our.write_jobs()
our.remove_surplus()
local lives = {}
for _, job in ipairs(our.dirty) do
    lives[#lives + 1], lives[#lives + 2] = job.id, our.pack(job)
end
call_with('HSET', 'life', lives)
call_with('HSET', 'asked', our.asked_now)
our.write_counts()
our.write_told()
local next_due = call('ZRANGE', prefix .. 'scheduled', 0, 0, 'WITHSCORES')[2]
return { now, tonumber(next_due or -1), answers }
