-- Taking jobs.
local new = {} -- the jobs of this tick
our.IS_NEW, our.IS_KNOWN, our.IS_FULL = 0, 1, 2

-- A job that was made like this, with a large spec behind it.
local function job_made(id, kind, made)
    local job = our.begin(id, our.kind_of(kind), made, now)
    if job.spec_apart then
        job.spec = take()
    end
    return job
end

function our.take_job()
    return job_made(take_many(3))
end

-- The unfinished job that holds the unique key of this one.
function our.holder_of(job)
    return job.unique ~= '' and call('HGET', prefix .. 'unique', job.unique) or nil
end

local function add(job)
    if our.job_of(job.id) then
        return our.IS_KNOWN
    end
    local holder = our.holder_of(job)
    if holder then
        return holder
    end
    our.jobs[job.id] = job
    new[#new + 1] = job
    if job.unique ~= '' then
        call('HSET', prefix .. 'unique', job.unique, job.id)
    end
    our.stepped(job)
    return our.IS_NEW
end

-- Takes the next job that is asked about, if there is room for it in any case.
function our.enqueue_next()
    local id, kind, made = take_many(3)
    return our.enqueue_usual(id, our.kind_of(kind), made) and our.IS_NEW or add(job_made(id, kind, made))
end

-- How many of these are new.
local function new_of(these)
    local seen, keys, many = {}, {}, 0
    for _, job in ipairs(these) do
        if not (our.job_of(job.id) or seen[job.id] or keys[job.unique] or our.holder_of(job)) then
            seen[job.id], many = true, many + 1
            if job.unique ~= '' then
                keys[job.unique] = true
            end
        end
    end
    return many
end

-- Takes all or none where so many may wait; answers what came of each.
function our.enqueue(these, room)
    if our.meta.waiting + #these > room then
        local more = new_of(these)
        if more > 0 and our.meta.waiting + more > room then
            return our.IS_FULL
        end
    end
    local answers = {}
    for index, job in ipairs(these) do
        answers[index] = add(job)
    end
    return answers
end

-- Writes all about jobs but their lives, so that they can be found where they stand.
function our.write_jobs()
    local specs, created, outcomes = {}, {}, {}
    for _, job in ipairs(new) do
        if job.spec_apart then
            specs[#specs + 1], specs[#specs + 2] = job.id, job.spec
        end
        created[job.id] = now
    end
    call_with('HSET', 'spec', specs)
    for id, result in pairs(our.results) do
        outcomes[#outcomes + 1], outcomes[#outcomes + 2] = id, result
    end
    our.write_moves()
    our.add_to('created', created)
    call_with('HSET', 'outcome', outcomes)
    new, our.results = {}, {}
end
