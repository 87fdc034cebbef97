-- Questions that change nothing.

-- Looks at so many jobs behind a place: how many meet the conditions, and everything of `want` of them behind the
-- first `skip`.
local LOOKS = 1000
function our.list(state, task, queue, behind, skip, want)
    our.write_usual()
    local newest = our.last_of('created', behind and behind.id, behind and behind.created_at, LOOKS)
    local ids = {}
    for index = 1, #newest, 2 do
        ids[#ids + 1] = newest[index]
    end
    local raws = #ids > 0 and fields_of('life', ids) or {}
    local matched, rows = 0, {}
    for index, id in ipairs(ids) do
        local raw = raws[index]
        if our.jobs[id] or not state or our.form_of(raw) == state then
            local job = our.jobs[id] or our.unpack_job(id, raw)
            local its_queue, its_task = string.match(job.kind.lane, '^([^/]*)/([^/]*)/')
            if (not state or job.state == state) and (task == '' or its_task == task)
                    and (queue == '' or its_queue == queue) then
                matched = matched + 1
                if matched > skip and #rows < want then
                    rows[#rows + 1] = our.everything_of(job)
                end
            end
        end
    end
    local over = #ids < LOOKS and 1 or 0
    return { over, matched, newest[#newest] or 0, ids[#ids] or '', rows }
end

-- Every queue that has a job or is paused: its name, whether it is paused, how many jobs are scheduled, ready, running
-- and dead, and since when the first of them is ready.
function our.queues()
    our.write_moves()
    our.write_counts()
    local known_queues, names = {}, {}
    local function known_queue(name)
        if not known_queues[name] then
            known_queues[name] = { paused = 0, since = -1 }
            names[#names + 1] = name
        end
        return known_queues[name]
    end
    local kept = call('HGETALL', prefix .. 'counts')
    for index = 1, #kept, 2 do
        local name, state = string.match(kept[index], '^([^/]*)/(%d)$')
        known_queue(name)[tonumber(state)] = tonumber(kept[index + 1])
    end
    for name, stream in pairs(our.know_streams()) do
        local since = our.first_of('ready:' .. name, 1)[2]
        local status = known_queue(stream.queue_name)
        status.since = status.since < 0 and since or math.min(status.since, since)
    end
    for _, name in ipairs(call('SMEMBERS', prefix .. 'paused')) do
        known_queue(name).paused = 1
    end
    local answer = {}
    for index, name in ipairs(names) do
        local status = known_queues[name]
        answer[index] = { name, status.paused, status[SCHEDULED] or 0, status[READY] or 0, status[RUNNING] or 0,
            status[DEAD] or 0, status.since }
    end
    return answer
end
