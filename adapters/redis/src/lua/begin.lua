-- KEYS[1] is what all keys begin with. The arguments are read one behind the other.
local call, byte, char, floor = redis.call, string.byte, string.char, math.floor
local prefix = KEYS[1]

local read = 0
local function take()
    read = read + 1
    return ARGV[read]
end
local function take_number()
    return tonumber(take())
end
local function take_many(many)
    local first = read + 1
    read = read + many
    return unpack(ARGV, first, read)
end

-- Calls a command with all of these arguments, some thousand at a time, always whole pairs.
local MOST_ARGUMENTS = 4000
local function call_with(command, key, arguments)
    for first = 1, #arguments, MOST_ARGUMENTS do
        call(command, prefix .. key, unpack(arguments, first, math.min(first + MOST_ARGUMENTS - 1, #arguments)))
    end
end

-- The values of these fields of a hash, `false` for those that are missing.
local function fields_of(key, fields)
    local values = {}
    for first = 1, #fields, MOST_ARGUMENTS do
        local last = math.min(first + MOST_ARGUMENTS - 1, #fields)
        local some = call('HMGET', prefix .. key, unpack(fields, first, last))
        for place = 1, #some do
            values[first + place - 1] = some[place]
        end
    end
    return values
end

-- In microseconds, like every time and duration here: a double keeps them exactly until the year 2255.
local function server_time()
    local time = call('TIME')
    return time[1] * 1000000 + time[2]
end
local clock = take()
local now = clock == '' and server_time() or tonumber(clock)
local LATEST = 253402300799999999
local HOUR = 3600 * 1000000

-- The places of the states in `JobState::ALL`.
local SCHEDULED, READY, RUNNING, SUCCEEDED, DEAD, CANCELLED = 0, 1, 2, 3, 5, 6

local limits = {
    [SUCCEEDED] = { jobs = take_number(), age = take_number() },
    unsuccessful = { jobs = take_number(), age = take_number() },
}
local function retention(state)
    return limits[state] or limits.unsuccessful
end

-- Whether a worker that found nothing might find something now.
local stirred = false
