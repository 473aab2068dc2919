-- Limits the rate of each thread, for a script with one connection for each thread. wrk calls `delay` before each request,
-- and does not count the delay as latency. A thread that is late sends its next request at once.
local ffi = require("ffi")
ffi.cdef("typedef struct { long seconds, nanoseconds; } moment; int clock_gettime(int, moment *);")

-- Makes wrk send at most `rate` requests per second from this thread. Zero means no limit.
function pace(rate)
  if rate == 0 then return end
  local moment, next_at = ffi.new("moment"), nil
  function delay()
    ffi.C.clock_gettime(1, moment)
    local now = tonumber(moment.seconds) * 1000 + tonumber(moment.nanoseconds) / 1e6
    next_at = math.max((next_at or now) + 1000 / rate, now)
    return next_at - now
  end
end
