-- What finished jobs are kept, and what is remembered of removed ones.
local REMEMBERED_AT_MOST = 1000000

-- When a job was removed, if this is one of which only that is known.
local function removed_at(raw)
    return raw and byte(raw) == our.REMOVED and select(2, struct.unpack(our.REMOVED_FORMAT, raw)) or nil
end

-- Of what is remembered, up to so many of the oldest are looked at, where the first of them is to be forgotten.
local function forget(most)
    local too_many = call('LLEN', prefix .. 'removed') - REMEMBERED_AT_MOST
    local first = call('LINDEX', prefix .. 'removed', 0)
    local first_at = first and removed_at(call('HGET', prefix .. 'life', first))
    if not first or (first_at and first_at > now - our.REMEMBERED and too_many <= 0) then
        return
    end
    local oldest = call('LRANGE', prefix .. 'removed', 0, most - 1)
    local forgotten, over = {}, 0
    for index, raw in ipairs(fields_of('life', oldest)) do
        local id = oldest[index]
        -- It may have been enqueued again meanwhile.
        local at
        if our.jobs[id] then
            at = our.jobs[id].removed
        else
            at = removed_at(raw)
        end
        if at and at > now - our.REMEMBERED and index > too_many then
            break
        end
        over = index
        if at then
            forgotten[#forgotten + 1] = id
        end
    end
    call_with('HDEL', 'life', forgotten)
    if over > 0 then
        call('LTRIM', prefix .. 'removed', over, -1)
    end
end

-- Removes the first jobs of those that ended in this state.
local function remove(state, ids)
    our.load(ids)
    local with_spec, with_result, with_progress, created = {}, {}, {}, {}
    for _, id in ipairs(ids) do
        local created_at, has_result = our.remove_usual(id)
        if not created_at then
            local job = our.job_of(id)
            created_at, has_result = job.created_at, job.has_result
            if job.spec_apart then
                with_spec[#with_spec + 1] = id
            end
            if job.has_progress then
                with_progress[#with_progress + 1] = id
            end
            our.tell_watchers(job, false)
            job.removed, job.spec, job.result, job.progress = now, nil, nil, nil
            our.count_again(job)
            our.touch(job)
        end
        created[id] = created_at
        if has_result then
            with_result[#with_result + 1] = id
        end
    end
    call('ZREMRANGEBYRANK', prefix .. 'ended:' .. state, 0, #ids - 1)
    call_with('HDEL', 'spec', with_spec)
    call_with('HDEL', 'outcome', with_result)
    call_with('HDEL', 'progress', with_progress)
    our.remove_from('created', created)
    call_with('RPUSH', 'removed', ids)
    our.write_moves()
end

-- Where jobs ended in this tick, those that are too many now.
function our.remove_surplus()
    local removed = 0
    for state in pairs(our.ended) do
        local keep = retention(state)
        local kept = keep.age > 0 and keep.jobs or 0
        local surplus = math.min(call('ZCARD', prefix .. 'ended:' .. state) - kept, our.SLICE)
        if surplus > 0 then
            remove(state, call('ZRANGE', prefix .. 'ended:' .. state, 0, surplus - 1))
            removed = removed + surplus
        end
    end
    if removed > 0 then
        forget(2 * removed)
    end
end

function our.remove_old()
    for state = SUCCEEDED, CANCELLED do
        local ended_by = now - retention(state).age
        local old = call('ZRANGEBYSCORE', prefix .. 'ended:' .. state, '-inf', ended_by, 'LIMIT', 0, our.SLICE)
        if #old > 0 then
            remove(state, old)
        end
    end
    forget(our.SLICE)
end
