-- Reads one address again and again. Arguments: the directory of this file, the address, the most requests per second of a
-- thread (0: no limit), and the number of threads.
local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init(args)
  dofile(args[1] .. "/pace.lua")
  wrk.headers["UCP-Agent"] = [[profile="http://localhost/bench-agent.json"]]
  line = wrk.format("GET", args[2])
  pace(tonumber(args[3]), number, tonumber(args[4]))
end

function request()
  return line
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format("RESULT done=%d failed=%d seconds=%.3f p50_us=%d p99_us=%d\n", summary.requests,
    e.status + e.connect + e.read + e.write + e.timeout, summary.duration / 1e6, latency:percentile(50),
    latency:percentile(99)))
end
