-- Taking jobs.
local new = {} -- the jobs of this tick
IS_NEW, IS_KNOWN, IS_FULL = 0, 1, 2

function take_job()
    local id, head, spec = take(), take(), take()
    if #spec <= LARGE_SPEC then
        return begin(id, head .. spec, now)
    end
    local job = begin(id, head, now)
    job.spec, job.spec_apart = spec, true
    return job
end

-- The unfinished job that holds the unique key of this one.
function holder_of(job)
    return job.unique ~= '' and call('HGET', prefix .. 'unique', job.unique) or nil
end

local function add(job)
    if known(job.id) or jobs[job.id] then
        return IS_KNOWN
    end
    local holder = holder_of(job)
    if holder then
        return holder
    end
    jobs[job.id] = job
    new[#new + 1] = job
    if job.unique ~= '' then
        call('HSET', prefix .. 'unique', job.unique, job.id)
    end
    stepped(job)
    return IS_NEW
end

-- How many of these are new.
local function new_of(these)
    local seen, keys, many = {}, {}, 0
    for _, job in ipairs(these) do
        if not (jobs[job.id] or seen[job.id] or keys[job.unique] or holder_of(job)) then
            seen[job.id], many = true, many + 1
            if job.unique ~= '' then
                keys[job.unique] = true
            end
        end
    end
    return many
end

-- Takes all or none where so many may wait; answers what came of each.
function enqueue(these, room)
    know_meta()
    if meta.waiting + #these > room then
        local more = new_of(these)
        if more > 0 and meta.waiting + more > room then
            return IS_FULL
        end
    end
    local answers = {}
    for index, job in ipairs(these) do
        answers[index] = add(job)
    end
    return answers
end

-- Writes all about jobs but their lives, so that they can be found where they stand.
function write_jobs()
    local specs, created, outcomes = {}, {}, {}
    for _, job in ipairs(new) do
        if job.spec_apart then
            specs[#specs + 1], specs[#specs + 2] = job.id, job.spec
        end
        created[job.id] = now
    end
    call_with('HSET', 'spec', specs)
    for id, result in pairs(results) do
        outcomes[#outcomes + 1], outcomes[#outcomes + 2] = id, result
    end
    write_moves()
    add_to('created', created)
    call_with('HSET', 'outcome', outcomes)
    new, results = {}, {}
end
