-- What may be asked, by its name.
local asks = {}
local UNKNOWN, WAITS = 0, 1

function asks.enqueue()
    local room, many = take_number(), take_number()
    local is_there_room, answers, these = meta.waiting + many <= room, {}, {}
    for index = 1, many do
        if is_there_room then
            answers[index] = enqueue_next()
        else
            these[index] = take_job()
        end
    end
    return is_there_room and answers or enqueue(these, room)
end

-- The end of a job if it has come, of which this process hears otherwise, if one is named.
local function outcome(id, process)
    local job = known(id)
    if not job then
        return UNKNOWN
    elseif job.state > RUNNING then
        return end_of(job)
    end
    if process ~= '' then
        watch(job, 'E', process)
    end
    return WAITS
end

function asks.outcome()
    return outcome(take(), take())
end

-- Enqueues a job, and tells of its end, or of that of whoever holds its unique key.
function asks.call()
    local process, room, job = take(), take_number(), take_job()
    local answers = enqueue({ job }, room)
    if answers == IS_FULL then
        return IS_FULL
    end
    local id = (answers[1] == IS_NEW or answers[1] == IS_KNOWN) and job.id or answers[1]
    return { id, outcome(id, process) }
end

function asks.find()
    local job = known(take())
    return job and everything_of(job)
end

-- The same, and this process hears of the next change.
function asks.follow()
    local job, process = known(take()), take()
    if job then
        watch(job, 'C', process)
    end
    return job and everything_of(job)
end

function asks.removed()
    local job = job_of(take())
    return job and job.removed and { job.removed, job.created_by }
end

function asks.list()
    local state, task, queue = tonumber(take()), take(), take()
    local created_at, id = tonumber(take()), take()
    local skip, want = take_number(), take_number()
    return list(state, task, queue, created_at and { created_at = created_at, id = id }, skip, want)
end

asks.queues = queues

function asks.cancel()
    local job = known(take())
    if not job then
        return 'unknown'
    elseif job.state > RUNNING then
        return 'too late'
    elseif job.state == RUNNING then
        job.cancel = true
        touch(job)
        return 'requested'
    end
    finish(job, CANCELLED, NOTHING, '')
    stepped(job)
    return 'prevented'
end

function asks.retry()
    local job = known(take())
    if not job or job.state <= SUCCEEDED then
        return 0
    elseif holder_of(job) then
        return 'held'
    end
    if job.unique ~= '' then
        call('HSET', prefix .. 'unique', job.unique, job.id)
    end
    retry(job)
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
    if verdict == 'F' and detail < DEAD and settle_usual(id, run, worker, detail, result) then
        return true
    end
    local job = known(id)
    return job and settle(job, run, worker, verdict, detail, result)
end

-- Whether each settlement was accepted, and what was leased; `WAITS` if the worker has been handed something that it
-- has not heard of yet.
function asks.exchange()
    local settled = {}
    for index = 1, take_number() do
        settled[index] = take_settlement(take_many(6)) and 1 or 0
    end
    local want, ticket, process, again = take_want(), take(), take(), take() == '1'
    if again and call('HEXISTS', prefix .. 'parked', ticket) == 0 then
        return { settled, WAITS }
    end
    local leased = lease(want)
    if ticket ~= '' then
        if #leased == 0 then
            park(ticket, process, want)
        elseif again then
            call('HDEL', prefix .. 'parked', ticket)
        end
    end
    return { settled, pack_whole(leased) }
end

function asks.leave()
    return call('HDEL', prefix .. 'parked', take())
end

function asks.renew()
    local worker, time = take(), take_number()
    local held = {}
    for index, id in ipairs(held_by(worker)) do
        local job = job_of(id)
        held[index] = { id, job.run, job.cancel and 1 or 0 }
    end
    if #held > 0 then
        renew_lease(worker, time)
    end
    return held
end

function asks.report()
    local job, run, worker, progress = known(take()), take_number(), take(), take()
    if not job or not is_held_by(job, run, worker) then
        return 0
    end
    call('HSET', prefix .. 'progress', job.id, progress)
    job.has_progress, job.progress = true, progress
    tell_watchers(job, false)
    touch(job)
    return 1
end

function asks.bury()
    return bury(take())
end

function asks.reclaim()
    local given_back, looked = 0, look()
    for _, worker in ipairs(call('ZRANGEBYSCORE', prefix .. 'workers', '-inf', now)) do
        given_back = given_back + bury(worker)
    end
    give_up_unserved(looked)
    write_jobs()
    remove_old()
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
load(mentioned)

fall_due()
local answers = {}
for index = 1, take_number() do
    -- A `nil` would end the answer.
    answers[index] = asks[take()]() or false
end
hand_out()
write_jobs()
remove_surplus()
local lives = {}
for _, job in ipairs(dirty) do
    lives[#lives + 1], lives[#lives + 2] = job.id, pack(job)
end
call_with('HSET', 'life', lives)
call_with('HSET', 'asked', asked_now)
write_counts()
write_told()
local next_due = call('ZRANGE', prefix .. 'scheduled', 0, 0, 'WITHSCORES')[2]
return { now, tonumber(next_due or -1), answers }
