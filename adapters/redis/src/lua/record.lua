-- Jobs as Redis keeps them, in the hash `life`: first what has become of the job, then when it was enqueued, its kind, which
-- it shares with many, and what else it was made of, which never changes and is what `codec.rs` wrote: first what decides
-- here, then the spec, which only workers and people read. A large spec is kept apart, in the hash `spec`, so that many jobs
-- can be looked at together. `outcome` and `progress` are what has come of a job, if anything has. `codec.rs` reads and
-- writes the same.
--
-- The first byte is the state and, eight for each, the form of what has become of the job:
--
--   full    everything, as in FULL
--   fresh   nothing has happened to it yet, and all follows from how it was made, and when
--   usual   the same of a job of which usual.lua knows all; or it began the first run of such a job and nothing else
--           happened (RUNNING_USUAL), or it ended so, with a result or without (ENDED_USUAL)
local FULL = '>BBBI4I4dddddddBc0Hc0'
our.RUNNING_USUAL, our.ENDED_USUAL = '>BBc0d', '>Bdd'
local IN_FULL, FRESH = 0, 3
our.USUAL, our.USUAL_WITH_RESULT = 1, 2
-- When it was enqueued and its kind; then whether anything of what follows is out of the ordinary, when it is due, its
-- unique key and who made it.
local KIND_OF, MADE = '>dBc0', '>BBc0Bc0Bc0'
local HAS_CANCEL, HAS_SUSPECT, HAS_HANDED_BACK, HAS_PROGRESS, HAS_RESULT = 1, 2, 4, 8, 16
local SPEC_APART = 2
-- In place of the state: a job that was removed, and is remembered for a day.
our.REMOVED, our.REMOVED_FORMAT = 255, '>BdBc0'
our.REMEMBERED = 24 * HOUR

our.stored = {} -- by id: the jobs that were read, as they are kept; `false` is not there
our.jobs = {} -- by id: those that were taken apart, which count instead
our.dirty = {}

local kinds = {}
function our.kind_of(text)
    local kind = kinds[text]
    if not kind then
        local priority, max_attempts, lane_at = struct.unpack('>BI4', text)
        local lane = string.sub(text, lane_at)
        kind = {
            kept = char(#text) .. text, priority = priority, max_attempts = max_attempts, lane = lane,
            queue = our.queue_of(string.match(lane, '^[^/]*')), stream = our.stream_of(16 - priority, lane),
        }
        kinds[text] = kind
    end
    return kind
end

function our.touch(job)
    job.packed = nil
    if not job.dirty then
        job.dirty = true
        our.dirty[#our.dirty + 1] = job
    end
end

local function pack_anew(job)
    if job.removed then
        return struct.pack(our.REMOVED_FORMAT, our.REMOVED, job.removed, #job.created_by, job.created_by)
    end
    if job.fresh then
        local form = our.is_usual(job.made) and our.USUAL or FRESH
        return struct.pack('>Bd', job.state + 8 * form, job.created_at) .. job.kind.kept .. job.made
    end
    local flags = (job.cancel and HAS_CANCEL or 0) + (job.suspect and HAS_SUSPECT or 0)
        + (job.handed_back and HAS_HANDED_BACK or 0) + (job.has_progress and HAS_PROGRESS or 0)
        + (job.has_result and HAS_RESULT or 0)
    return struct.pack(FULL .. 'd', job.state, flags, job.cause, job.attempts, job.strikes, job.run, job.settled,
        job.since, job.due, job.struck_at, job.started_at, job.finished_at, #job.worker, job.worker, #job.watchers,
        job.watchers, job.created_at) .. job.kind.kept .. job.made
end

-- A job that starts is told to its worker as it is kept.
function our.pack(job)
    job.packed = job.packed or pack_anew(job)
    return job.packed
end

-- Whether all that these bytes say of how a job was made is of the usual kind: no time, no unique key, no large spec.
function our.is_usual(made)
    return byte(made) == 0
end

-- A job that was made like this, and nothing has happened to it yet.
function our.begin(id, kind, made, created_at)
    local out_of_the_ordinary, due, unique, created_by = struct.unpack(MADE, made)
    local scheduled_for = due == '' and -1 or struct.unpack('>d', due)
    local waits = scheduled_for > created_at
    return {
        id = id, kind = kind, made = made, fresh = true, state = waits and SCHEDULED or READY, cause = our.NOTHING,
        attempts = 0, strikes = 0, run = 0, settled = -1, since = waits and scheduled_for or created_at,
        due = waits and scheduled_for or -1, struck_at = -1, started_at = -1, finished_at = -1, created_at = created_at,
        worker = '', watchers = '', unique = unique, created_by = created_by,
        spec_apart = bit.band(out_of_the_ordinary, SPEC_APART) > 0,
    }
end

-- The state of a job that is kept like this, and in which form.
function our.form_of(raw)
    local first = byte(raw)
    return first % 8, floor(first / 8)
end

-- What has become of a job, and where the rest begins.
local function read_life(raw)
    local state, form = our.form_of(raw)
    if form == IN_FULL then
        local life = { fresh = false, state = state }
        local flags, made_at, _
        _, flags, life.cause, life.attempts, life.strikes, life.run, life.settled, life.since, life.due, life.struck_at,
            life.started_at, life.finished_at, life.worker, life.watchers, made_at = struct.unpack(FULL, raw)
        life.cancel, life.suspect = bit.band(flags, HAS_CANCEL) > 0, bit.band(flags, HAS_SUSPECT) > 0
        life.handed_back = bit.band(flags, HAS_HANDED_BACK) > 0
        life.has_progress = bit.band(flags, HAS_PROGRESS) > 0
        life.has_result = bit.band(flags, HAS_RESULT) > 0
        return life, made_at
    elseif state <= READY then
        -- A scheduled job is ready in the same form.
        return state == READY and { state = state, due = -1 } or {}, 2
    elseif state == RUNNING then
        local _, worker, started_at, made_at = struct.unpack(our.RUNNING_USUAL, raw)
        local life = { fresh = false, state = state, run = 1, attempts = 1, worker = worker, started_at = started_at }
        return life, made_at
    end
    local _, finished_at, started_at, made_at = struct.unpack(our.ENDED_USUAL, raw)
    local life = {
        fresh = false, state = state, run = 1, attempts = 1, settled = 1, started_at = started_at,
        finished_at = finished_at, has_result = form == our.USUAL_WITH_RESULT,
    }
    return life, made_at
end

function our.unpack_job(id, raw)
    if not raw then
        return false
    end
    if byte(raw) == our.REMOVED then
        local _, at, created_by = struct.unpack(our.REMOVED_FORMAT, raw)
        return at > now - our.REMEMBERED and { id = id, removed = at, created_by = created_by }
    end
    local life, at = read_life(raw)
    local created_at, kind, made_at = struct.unpack(KIND_OF, raw, at)
    local job = our.begin(id, our.kind_of(kind), string.sub(raw, made_at), created_at)
    for name, value in pairs(life) do
        job[name] = value
    end
    job.counted = job.state
    job.key, job.score = our.place(job)
    return job
end

-- Reads those of these jobs that were not read before, together.
function our.load(ids)
    local missing = {}
    for _, id in ipairs(ids) do
        if our.stored[id] == nil then
            missing[#missing + 1] = id
        end
    end
    for index, raw in ipairs(#missing > 0 and fields_of('life', missing) or {}) do
        our.stored[missing[index]] = raw
    end
end

-- The job of this id, also if it was removed and that is remembered; `false` if it never was.
function our.job_of(id)
    if our.jobs[id] == nil then
        if our.stored[id] == nil then
            our.load({ id })
        end
        -- What it has from now on may be taken from it in this tick.
        our.write_usual()
        our.jobs[id] = our.unpack_job(id, our.stored[id])
    end
    return our.jobs[id]
end

-- The job of this id, unless it never was or was removed.
function our.known(id)
    local job = our.job_of(id)
    return job and not job.removed and job or nil
end

-- The specs of these jobs, where they are kept apart; otherwise they are empty.
local function specs_of(ids)
    local apart, specs = {}, {}
    for _, id in ipairs(ids) do
        if our.jobs[id] and our.jobs[id].spec_apart and not our.jobs[id].spec then
            apart[#apart + 1] = id
        end
    end
    for index, spec in ipairs(#apart > 0 and fields_of('spec', apart) or {}) do
        our.jobs[apart[index]].spec = spec
    end
    for index, id in ipairs(ids) do
        specs[index] = our.jobs[id] and our.jobs[id].spec or ''
    end
    return specs
end

-- Jobs to be told to a worker.
function our.pack_whole(ids)
    local parts, specs = {}, specs_of(ids)
    for index, id in ipairs(ids) do
        local life, spec, last = our.jobs[id] and our.pack(our.jobs[id]) or our.stored[id], specs[index], #parts
        parts[last + 1], parts[last + 2] = id, struct.pack('>I4I4', #life, #spec)
        parts[last + 3], parts[last + 4] = life, spec
    end
    return table.concat(parts)
end

-- Everything that is known of a job.
function our.everything_of(job)
    our.jobs[job.id] = our.jobs[job.id] or job
    local progress = job.has_progress and (job.progress or call('HGET', prefix .. 'progress', job.id))
    local result = job.has_result and (job.result or call('HGET', prefix .. 'outcome', job.id))
    return { job.id, our.pack(job), specs_of({ job.id })[1], progress or '', result or '' }
end
