-- Jobs as Redis keeps them, in the hash `life`: first what changes, packed as below, then how the job was made, which never
-- changes and is what `codec.rs` wrote: a head with what decides here, and the spec, which only workers and people read. A
-- large spec is kept apart, in the hash `spec`, so that many jobs can be looked at together. `outcome` and `progress` are
-- what has come of it, if anything has. `codec.rs` reads and writes the same.
local LIFE = '>BBBI4I4ddddddddBc0Hc0'
HEAD = '>BI4dBc0Bc0Bc0'
local HAS_CANCEL, HAS_SUSPECT, HAS_HANDED_BACK, HAS_PROGRESS, HAS_RESULT = 1, 2, 4, 8, 16
-- A job to which nothing has happened yet: all that changes follows from how it was made, and when.
local IS_FRESH, FRESH = 32, '>BBd'
local SPEC_APART = 64
LARGE_SPEC = 1024
-- In place of the state: a job that was removed, and is remembered for a day.
REMOVED, REMOVED_FORMAT = 255, '>BdBc0'
REMEMBERED = 24 * HOUR

jobs = {} -- by id; `false` is known not to be there
dirty = {}

function touch(job)
    job.packed = nil
    if not job.dirty then
        job.dirty = true
        dirty[#dirty + 1] = job
    end
end

local function pack_anew(job)
    if job.removed then
        return struct.pack(REMOVED_FORMAT, REMOVED, job.removed, #job.created_by, job.created_by)
    end
    if job.fresh then
        local flags = IS_FRESH + (job.spec_apart and SPEC_APART or 0)
        return struct.pack(FRESH, job.state, flags, job.created_at) .. job.made
    end
    local flags = (job.cancel and HAS_CANCEL or 0) + (job.suspect and HAS_SUSPECT or 0)
        + (job.handed_back and HAS_HANDED_BACK or 0) + (job.has_progress and HAS_PROGRESS or 0)
        + (job.has_result and HAS_RESULT or 0) + (job.spec_apart and SPEC_APART or 0)
    return struct.pack(LIFE, job.state, flags, job.cause, job.attempts, job.strikes, job.run, job.settled, job.since,
        job.due, job.struck_at, job.started_at, job.finished_at, job.created_at, #job.worker, job.worker, #job.watchers,
        job.watchers) .. job.made
end

-- A job that starts is told to its worker as it is kept.
function pack(job)
    job.packed = job.packed or pack_anew(job)
    return job.packed
end

function unpack_job(id, raw)
    if not raw then
        return false
    end
    if byte(raw) == REMOVED then
        local _, at, created_by = struct.unpack(REMOVED_FORMAT, raw)
        return at > now - REMEMBERED and { id = id, removed = at, created_by = created_by }
    end
    local state, flags = byte(raw, 1, 2)
    local job
    if bit.band(flags, IS_FRESH) > 0 then
        local _, _, created_at, made_at = struct.unpack(FRESH, raw)
        job = begin(id, string.sub(raw, made_at), created_at)
        job.state, job.due = state, state == SCHEDULED and job.due or -1
    else
        local _, _, cause, attempts, strikes, run, settled, since, due, struck_at, started_at, finished_at, created_at,
            worker, watchers, made_at = struct.unpack(LIFE, raw)
        local priority, max_attempts, _, lane, unique, created_by = struct.unpack(HEAD, raw, made_at)
        job = {
            id = id, state = state, cause = cause, attempts = attempts, strikes = strikes, run = run, settled = settled,
            since = since, due = due, struck_at = struck_at, started_at = started_at, finished_at = finished_at,
            created_at = created_at, worker = worker, watchers = watchers, priority = priority,
            max_attempts = max_attempts, lane = lane, unique = unique, created_by = created_by,
            made = string.sub(raw, made_at), cancel = bit.band(flags, HAS_CANCEL) > 0,
            suspect = bit.band(flags, HAS_SUSPECT) > 0, handed_back = bit.band(flags, HAS_HANDED_BACK) > 0,
            has_progress = bit.band(flags, HAS_PROGRESS) > 0, has_result = bit.band(flags, HAS_RESULT) > 0,
        }
    end
    job.spec_apart = bit.band(flags, SPEC_APART) > 0
    job.counted = job.state
    job.key, job.score = place(job)
    return job
end

-- Reads those of these jobs that were not read before, together.
function load(ids)
    local missing = {}
    for _, id in ipairs(ids) do
        if jobs[id] == nil then
            jobs[id] = false
            missing[#missing + 1] = id
        end
    end
    if #missing > 0 then
        for index, raw in ipairs(fields_of('life', missing)) do
            jobs[missing[index]] = unpack_job(missing[index], raw)
        end
    end
end

-- The job of this id, unless it never was or was removed.
function known(id)
    if jobs[id] == nil then
        load({ id })
    end
    local job = jobs[id]
    return job and not job.removed and job or nil
end

local queue_by_lane = {}
function queue_of(job)
    local queue = queue_by_lane[job.lane]
    if not queue then
        queue = string.match(job.lane, '^[^/]*')
        queue_by_lane[job.lane] = queue
    end
    return queue
end

-- The specs of these jobs, where they are kept apart; otherwise they are empty.
local function specs_of(these)
    local ids, specs = {}, {}
    for _, job in ipairs(these) do
        if job.spec_apart and not job.spec then
            ids[#ids + 1] = job.id
        end
    end
    for index, spec in ipairs(#ids > 0 and fields_of('spec', ids) or {}) do
        jobs[ids[index]].spec = spec
    end
    for index, job in ipairs(these) do
        specs[index] = job.spec or ''
    end
    return specs
end

-- Jobs to be told to a worker.
function pack_whole(these)
    local parts, specs = {}, specs_of(these)
    for index, job in ipairs(these) do
        local life, spec = pack(job), specs[index]
        parts[#parts + 1] = struct.pack('>c0I4I4', job.id, #life, #spec)
        parts[#parts + 1] = life
        parts[#parts + 1] = spec
    end
    return table.concat(parts)
end

-- Everything that is known of a job.
function everything_of(job)
    local progress = job.has_progress and (job.progress or call('HGET', prefix .. 'progress', job.id))
    local result = job.has_result and (job.result or call('HGET', prefix .. 'outcome', job.id))
    return { job.id, pack(job), specs_of({ job })[1], progress or '', result or '' }
end
