-- One tick of the job queue: whatever is asked of it happens in the order in which it was asked, all at one moment, and
-- is written together at the end. The files of this folder are joined to one script; `domain::job::Life` is what
-- life.lua must agree with.
--
-- What one file shares with others is in here. As locals of the script these would cost as much as all else in a tick with
-- one job: to make a function that uses a local of another one which still runs, Lua looks for it among all such locals.
-- For the same reason each file below is a function of its own, see `wire.rs`.
local our = {}
