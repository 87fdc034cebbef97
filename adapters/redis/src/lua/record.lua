-- Jobs as Redis keeps them: in the hash `life` what changes and what decides, packed as below; in `spec` what was asked
-- for otherwise; in `outcome` and `progress` what has come of it, if anything has. `codec.rs` reads and writes the same.
local FORMAT = '>BBBBI4I4I4ddddddddBc0Bc0Bc0Bc0Hc0'
local HAS_CANCEL, HAS_SUSPECT, HAS_HANDED_BACK, HAS_PROGRESS, HAS_RESULT = 1, 2, 4, 8, 16
-- In place of the state: a job that was removed, and is remembered for a day.
local REMOVED, REMOVED_FORMAT = 255, '>BdBc0'
local REMEMBERED = 24 * HOUR

local jobs = {} -- by id; `false` is known not to be there
local dirty = {}

local function touch(job)
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
    local flags = (job.cancel and HAS_CANCEL or 0) + (job.suspect and HAS_SUSPECT or 0)
        + (job.handed_back and HAS_HANDED_BACK or 0) + (job.has_progress and HAS_PROGRESS or 0)
        + (job.has_result and HAS_RESULT or 0)
    return struct.pack(FORMAT, job.state, flags, job.priority, job.cause, job.attempts, job.max_attempts, job.strikes,
        job.run, job.settled, job.since, job.due, job.struck_at, job.started_at, job.finished_at, job.created_at,
        #job.lane, job.lane, #job.worker, job.worker, #job.unique, job.unique, #job.created_by, job.created_by,
        #job.watchers, job.watchers)
end

-- A job that starts is told to its worker as it is kept.
local function pack(job)
    job.packed = job.packed or pack_anew(job)
    return job.packed
end

local place -- in places.lua
local function unpack_job(id, raw)
    if not raw then
        return false
    end
    if byte(raw) == REMOVED then
        local _, at, created_by = struct.unpack(REMOVED_FORMAT, raw)
        return at > now - REMEMBERED and { id = id, removed = at, created_by = created_by }
    end
    local job, flags = { id = id }, 0
    job.state, flags, job.priority, job.cause, job.attempts, job.max_attempts, job.strikes, job.run, job.settled,
        job.since, job.due, job.struck_at, job.started_at, job.finished_at, job.created_at, job.lane, job.worker,
        job.unique, job.created_by, job.watchers = struct.unpack(FORMAT, raw)
    job.cancel = bit.band(flags, HAS_CANCEL) > 0
    job.suspect = bit.band(flags, HAS_SUSPECT) > 0
    job.handed_back = bit.band(flags, HAS_HANDED_BACK) > 0
    job.has_progress = bit.band(flags, HAS_PROGRESS) > 0
    job.has_result = bit.band(flags, HAS_RESULT) > 0
    job.counted = job.state
    job.key, job.score = place(job)
    return job
end

-- Reads those of these jobs that were not read before, together.
local function load(ids)
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
local function known(id)
    if jobs[id] == nil then
        load({ id })
    end
    local job = jobs[id]
    return job and not job.removed and job or nil
end

local function queue_of(job)
    job.queue = job.queue or string.match(job.lane, '^[^/]*')
    return job.queue
end

-- What was asked for of these jobs.
local function load_specs(these)
    local missing, ids = {}, {}
    for _, job in ipairs(these) do
        if not job.spec then
            missing[#missing + 1], ids[#ids + 1] = job, job.id
        end
    end
    for index, spec in ipairs(#ids > 0 and fields_of('spec', ids) or {}) do
        missing[index].spec = spec
    end
end

-- Jobs to be told to a worker.
local function pack_whole(these)
    load_specs(these)
    local parts = {}
    for _, job in ipairs(these) do
        local life = pack(job)
        parts[#parts + 1] = struct.pack('>c0I4I4', job.id, #life, #job.spec)
        parts[#parts + 1] = life
        parts[#parts + 1] = job.spec
    end
    return table.concat(parts)
end

-- Everything that is known of a job.
local function everything_of(job)
    load_specs({ job })
    local progress = job.has_progress and (job.progress or call('HGET', prefix .. 'progress', job.id))
    local result = job.has_result and (job.result or call('HGET', prefix .. 'outcome', job.id))
    return { job.id, pack(job), job.spec, progress or '', result or '' }
end
