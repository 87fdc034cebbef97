-- Workers that wait for a job. They say so again and again; who is silent for longer is gone, and gets none. This goes
-- by the time of the server in any case.
local PARKED_FOR = 2500000

function our.park(ticket, process, want)
    local parked = call('HGET', prefix .. 'parked', ticket)
    local at = server_time()
    local since = parked and cmsgpack.unpack(parked).since or at
    local entry = { since = since, ends = at + PARKED_FOR, process = process, want = want }
    call('HSET', prefix .. 'parked', ticket, cmsgpack.pack(entry))
end

-- Hands what became ready to those who wait, whoever came first.
function our.hand_out()
    if not stirred then
        return
    end
    local kept = call('HGETALL', prefix .. 'parked')
    local parked = {}
    for index = 1, #kept, 2 do
        local entry = cmsgpack.unpack(kept[index + 1])
        entry.ticket = kept[index]
        parked[#parked + 1] = entry
    end
    table.sort(parked, function(one, other) return one.since < other.since end)
    local at = #parked > 0 and server_time()
    for _, entry in ipairs(parked) do
        local leased = entry.ends > at and our.lease(entry.want) or {}
        if #leased > 0 then
            our.tell(entry.process, 'H' .. entry.ticket, our.pack_whole(leased))
        end
        if #leased > 0 or entry.ends <= at then
            call('HDEL', prefix .. 'parked', entry.ticket)
        end
    end
end
