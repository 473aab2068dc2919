-- Limits the rate of each thread, for a script with one connection for each thread. wrk calls `delay` before each request,
-- and does not count the delay as latency. A thread that is late sends its next request at once. The threads begin one
-- after the other in the first period: clients that do not know of each other do not send at the same moment.
local ffi = require("ffi")
ffi.cdef("typedef struct { long seconds, nanoseconds; } moment; int clock_gettime(int, moment *);")

-- Makes wrk send at most `rate` requests per second from this thread, which has this number among `threads`, counted from
-- zero. Zero requests mean no limit.
function pace(rate, number, threads)
  if rate == 0 then return end
  local moment, next_at = ffi.new("moment"), nil
  function delay()
    ffi.C.clock_gettime(1, moment)
    local now = tonumber(moment.seconds) * 1000 + tonumber(moment.nanoseconds) / 1e6
    next_at = next_at and math.max(next_at + 1000 / rate, now) or now + 1000 / rate * number / threads
    return next_at - now
  end
end
