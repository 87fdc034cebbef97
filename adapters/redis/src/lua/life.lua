-- The rules: each step that a job may take, as in `domain::job::Life`. A step that is not allowed changes nothing.
local STRIKES, STRIKE_COUNTS_FOR = 3, 72 * HOUR
-- Why a job is dead, where that is not for its worker to say.
our.NOTHING = 0
local CRASHED, NOT_SERVED = 1, 2
our.ended = {} -- the states in which jobs ended in this tick
our.results = {} -- by id: how jobs ended, where there is more to say than their state

-- What follows from a step.
function our.stepped(job)
    our.touch(job)
    local over = job.state > RUNNING
    if over and job.counted <= RUNNING then
        our.ended[job.state] = true
        if job.unique ~= '' and call('HGET', prefix .. 'unique', job.unique) == job.id then
            call('HDEL', prefix .. 'unique', job.unique)
        end
        if #job.result > 0 then
            job.has_result = true
            our.results[job.id] = job.result
        end
    end
    if job.watchers ~= '' then
        our.tell_watchers(job, over)
    end
    -- A job that is ready, or a worker that no longer holds one, may let a suspect start.
    stirred = stirred or job.state ~= RUNNING
    our.count_again(job)
    our.move(job)
end

function our.finish(job, state, cause, result)
    job.state, job.cause, job.result, job.finished_at, job.fresh = state, cause, result, now, false
end

local function ready(job, handed_back)
    job.state, job.due, job.handed_back = READY, -1, handed_back
end

function our.start(job, worker)
    job.state, job.worker, job.handed_back, job.fresh = RUNNING, worker, false, false
    job.attempts, job.run, job.started_at = job.attempts + 1, job.run + 1, now
    our.stepped(job)
end

function our.is_held_by(job, run, worker)
    return job.state == RUNNING and job.run == run and job.worker == worker
end

-- `F`: it ended in this state with this result. `R`: again after `detail`, or else dead of this result. `L`: handed
-- back untouched. True if it is accepted.
function our.settle(job, run, worker, verdict, detail, result)
    if job.settled == run then
        return true
    elseif not our.is_held_by(job, run, worker) then
        return false
    end
    job.settled, job.worker = run, ''
    if verdict == 'F' then
        our.finish(job, detail, our.NOTHING, result)
    elseif job.cancel then
        our.finish(job, CANCELLED, our.NOTHING, '')
    elseif verdict == 'L' then
        job.attempts = job.attempts - 1
        ready(job, true)
    elseif job.attempts >= job.kind.max_attempts then
        our.finish(job, DEAD, our.NOTHING, result)
    else
        -- Its worker lived to tell.
        job.suspect = false
        if detail == 0 then
            ready(job, false)
        else
            job.state, job.due = SCHEDULED, math.min(now + detail, LATEST)
        end
    end
    our.stepped(job)
    return true
end

function our.crash(job, alone)
    job.attempts, job.suspect, job.worker = job.attempts - 1, true, ''
    if alone then
        local forgotten = job.struck_at < 0 or math.min(job.struck_at + STRIKE_COUNTS_FOR, LATEST) <= now
        job.strikes = forgotten and 1 or job.strikes + 1
        job.struck_at = now
    end
    if job.cancel then
        our.finish(job, CANCELLED, our.NOTHING, '')
    elseif job.strikes >= STRIKES then
        our.finish(job, DEAD, CRASHED, '')
    else
        ready(job, false)
    end
    our.stepped(job)
end

function our.give_up(job)
    our.finish(job, DEAD, NOT_SERVED, '')
    our.stepped(job)
end

function our.retry(job)
    ready(job, false)
    job.since, job.attempts, job.strikes, job.struck_at, job.finished_at = now, 0, 0, -1, -1
    job.cancel, job.suspect, job.cause, job.result, job.fresh = false, false, our.NOTHING, nil, false
    if job.has_result then
        our.results[job.id] = nil
        call('HDEL', prefix .. 'outcome', job.id)
    end
    if job.has_progress then
        call('HDEL', prefix .. 'progress', job.id)
    end
    job.has_result, job.has_progress, job.progress = false, false, nil
    our.stepped(job)
end

-- So many jobs fall due, or are removed, in one tick at most; the rest is up to the next one.
our.SLICE = 1000
function our.fall_due()
    local next_due = call('ZRANGE', prefix .. 'scheduled', 0, 0, 'WITHSCORES')[2]
    if not next_due or tonumber(next_due) > now then
        return
    end
    local due = call('ZRANGEBYSCORE', prefix .. 'scheduled', '-inf', now, 'LIMIT', 0, our.SLICE)
    our.load(due)
    for _, id in ipairs(due) do
        local job = our.job_of(id)
        ready(job, false)
        our.stepped(job)
    end
end
