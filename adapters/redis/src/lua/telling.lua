-- Who wants to hear of a job: processes, each with a stream that it reads. Of a job's end ('E') or of its next
-- change ('C'), whichever it asked for; and of jobs that were handed ('H') to a worker of it that waits.
local told = {} -- by process: fields and values, in turn
local KEPT_FOR = 60000 -- in milliseconds

function our.tell(process, what, value)
    local events = told[process] or {}
    told[process] = events
    events[#events + 1], events[#events + 2] = what, value
end

local WATCHER = 17 -- a letter and the name of a process
function our.watch(job, letter, process)
    local watcher = letter .. process
    for first = 1, #job.watchers, WATCHER do
        if string.sub(job.watchers, first, first + WATCHER - 1) == watcher then
            return
        end
    end
    job.watchers, job.fresh = job.watchers .. watcher, false
    our.touch(job)
end

-- How a job ended, as `codec.rs` reads it.
function our.end_of(job)
    local result = job.has_result and (job.result or call('HGET', prefix .. 'outcome', job.id)) or ''
    return char(job.state, job.cause) .. result
end

function our.tell_watchers(job, is_over)
    local left = {}
    for first = 1, #job.watchers, WATCHER do
        local watcher = string.sub(job.watchers, first, first + WATCHER - 1)
        local letter, process = string.sub(watcher, 1, 1), string.sub(watcher, 2)
        if letter == 'C' then
            our.tell(process, 'C' .. job.id, '')
        elseif is_over then
            our.tell(process, 'E' .. job.id, our.end_of(job))
        else
            left[#left + 1] = watcher
        end
    end
    job.watchers = table.concat(left)
end

function our.write_told()
    for process, events in pairs(told) do
        for first = 1, #events, MOST_ARGUMENTS do
            local last = math.min(first + MOST_ARGUMENTS - 1, #events)
            call('XADD', prefix .. 'told:' .. process, '*', unpack(events, first, last))
        end
        call('PEXPIRE', prefix .. 'told:' .. process, KEPT_FOR)
    end
end
