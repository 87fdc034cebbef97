-- One tick of the job queue: whatever is asked of it happens in the order in which it was asked, all at one moment, and
-- is written together at the end. The files of this folder are joined to one script; `domain::job::Life` is what
-- life.lua must agree with.
--
-- Here is what the other files share. Each of those below is a function of its own, see `wire.rs`: to make a function
-- that uses a local of another one which still runs, Lua looks for it among all such locals, and with all of them in
-- one this was half of what a tick with one job took.
local RUNNING_USUAL, ENDED_USUAL, USUAL, USUAL_WITH_RESULT, REMOVED, REMOVED_FORMAT, REMEMBERED -- record.lua
local jobs, stored, dirty, kind_of, touch, pack, is_usual, begin, form_of, unpack_job
local load, job_of, known, pack_whole, everything_of
local now_text, meta, queue_of, stream_of, count, place, leave, move, count_again -- places.lua
local note_stream, know_streams, write_moves, write_counts
local add_to, add_together, remove_from, remove_first, first_of, last_of -- pieces.lua
local enqueue_usual, start_usual, settle_usual, remove_usual, write_usual -- usual.lua
local tell, watch, end_of, tell_watchers, write_told -- telling.lua
local NOTHING, SLICE, ended, results, stepped, finish, start -- life.lua
local is_held_by, settle, crash, give_up, retry, fall_due
local remove_surplus, remove_old -- keeping.lua
local IS_NEW, IS_KNOWN, IS_FULL, take_job, holder_of, enqueue, enqueue_next, write_jobs -- enqueue.lua
local asked_now, take_want, renew_lease, lease, held_by, bury -- leasing.lua
local look, give_up_unserved
local park, hand_out -- parking.lua
local list, queues -- reads.lua
