-- What nearly every job goes through, and nothing else: it is enqueued, starts once, its worker says how it ended, and nobody
-- asks for it or waits to hear of it meanwhile. Such a job is not taken apart. What happens to it is cut off and put before
-- its record, and many are written together, which costs a fraction of what life.lua does; for these jobs both must do the
-- same. Whatever is out of the ordinary is left to life.lua: these functions then do nothing, and say so.
local WAITS, RUNS = char(READY + 8 * our.USUAL), char(RUNNING + 8 * our.USUAL)
local is_pending = false -- whether anything is not written yet
local lives, outcomes = {}, {} -- ids and values, in turn
local entered = {} -- the kinds of the jobs that are `new`
local created = {}
local hands = {} -- by worker: the jobs that it has `taken` and `left`
local ended_jobs = {} -- by state

local function keep(id, raw)
    local last = #lives
    lives[last + 1], lives[last + 2] = id, raw
    our.stored[id], is_pending = raw, true
end

local enqueued_now = WAITS .. struct.pack('>d', now)
function our.enqueue_usual(id, kind, made)
    if our.stored[id] ~= false or our.jobs[id] ~= nil or not our.is_usual(made) then
        return false
    end
    keep(id, enqueued_now .. kind.kept .. made)
    local new = kind.new
    if not new then
        new = {}
        kind.new, entered[#entered + 1] = new, kind
    end
    new[#new + 1], created[#created + 1] = id, id
    our.count(kind.queue, READY, 1)
    stirred = true
    return true
end

-- How the record of a job begins that this worker runs.
local runs_with = {}
local function run_by(worker)
    runs_with[worker] = runs_with[worker] or RUNS .. char(#worker) .. worker
    return runs_with[worker]
end

local function hands_of(worker)
    hands[worker] = hands[worker] or { taken = {}, left = {} }
    return hands[worker]
end

local started_now = struct.pack('>d', now)
function our.start_usual(id, stream, worker)
    local raw = our.stored[id]
    if our.jobs[id] ~= nil or not raw or string.sub(raw, 1, 1) ~= WAITS then
        return false
    end
    keep(id, run_by(worker) .. started_now .. string.sub(raw, 2))
    local taken = hands_of(worker).taken
    taken[#taken + 1] = id
    our.count(stream.queue, READY, -1)
    our.count(stream.queue, RUNNING, 1)
    return true
end

local ends_now = {}
local function end_in(state, form)
    local first = state + 8 * form
    ends_now[first] = ends_now[first] or char(first) .. struct.pack('>d', now)
    return ends_now[first]
end

-- It ended as its worker says, with this result.
function our.settle_usual(id, run, worker, state, result)
    local raw, begins = our.stored[id], run_by(worker)
    if our.jobs[id] ~= nil or run ~= 1 or not raw or string.sub(raw, 1, #begins) ~= begins then
        return false
    end
    if #hands_of(worker).taken > 0 then
        -- Whatever is taken in one tick is not left in it.
        our.write_usual()
    end
    local began_at = #begins + 1
    keep(id, end_in(state, #result > 0 and our.USUAL_WITH_RESULT or our.USUAL) .. string.sub(raw, began_at))
    if #result > 0 then
        local last = #outcomes
        outcomes[last + 1], outcomes[last + 2] = id, result
    end
    local left = hands_of(worker).left
    left[#left + 1] = id
    our.ended[state], ended_jobs[state] = true, ended_jobs[state] or {}
    local over = ended_jobs[state]
    over[#over + 1] = id
    -- Behind when it began and when it was enqueued.
    local kind_at = began_at + 16
    local queue = our.kind_of(string.sub(raw, kind_at + 1, kind_at + byte(raw, kind_at))).queue
    our.count(queue, RUNNING, -1)
    our.count(queue, state, 1)
    stirred = true
    return true
end

-- Removes a job that ended; answers when it was enqueued, and whether it had a result.
function our.remove_usual(id)
    local raw = our.stored[id]
    if our.jobs[id] ~= nil or not raw or byte(raw) == our.REMOVED then
        return false
    end
    local state, form = our.form_of(raw)
    if state <= RUNNING or (form ~= our.USUAL and form ~= our.USUAL_WITH_RESULT) then
        return false
    end
    local _, _, _, created_at, kind, _, _, _, created_by = struct.unpack('>BdddBc0BBBBc0', raw)
    keep(id, struct.pack(our.REMOVED_FORMAT, our.REMOVED, now, #created_by, created_by))
    our.count(our.kind_of(kind).queue, state, -1)
    return created_at, form == our.USUAL_WITH_RESULT
end

local function with_score(score, ids)
    local arguments = {}
    for index, id in ipairs(ids) do
        arguments[2 * index - 1], arguments[2 * index] = score, id
    end
    return arguments
end

-- Writes all of it, so that it can be found where it stands.
function our.write_usual()
    if not is_pending then
        return
    end
    is_pending = false
    call_with('HSET', 'life', lives)
    call_with('HSET', 'outcome', outcomes)
    if #created > 0 then
        our.add_together('created', now, created)
    end
    for _, kind in ipairs(entered) do
        our.add_together(kind.stream.key, now, kind.new)
        our.note_stream(kind.stream.name, true)
        kind.new = nil
    end
    for worker, its in pairs(hands) do
        call_with('ZREM', 'held:' .. worker, its.left)
        call_with('ZADD', 'held:' .. worker, with_score(1, its.taken))
    end
    for state, ids in pairs(ended_jobs) do
        call_with('ZADD', 'ended:' .. state, with_score(our.now_text, ids))
    end
    lives, outcomes, entered, created, hands, ended_jobs = {}, {}, {}, {}, {}, {}
end
