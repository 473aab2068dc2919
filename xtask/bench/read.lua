-- Reads one address again and again. Arguments: the directory of this file, the address, and the most requests per second
-- of a thread (0: no limit).
function init(args)
  dofile(args[1] .. "/pace.lua")
  wrk.headers["UCP-Agent"] = [[profile="http://localhost/bench-agent.json"]]
  line = wrk.format("GET", args[2])
  pace(tonumber(args[3]))
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
