-- Makes one purchase after another: create, update, complete. wrk runs one thread for each connection, so that each answer
-- belongs to the last request of its thread. Arguments: the directory of this file, a text that no other run uses, the most
-- requests per second of a thread (0: no limit), and the number of threads.
local threads = {}

function setup(thread)
  thread:set("number", #threads)
  table.insert(threads, thread)
end

local function read(path)
  local file = assert(io.open(path))
  local text = file:read("*a")
  file:close()
  return text
end

function init(args)
  dofile(args[1] .. "/pace.lua")
  create, update, complete = read(args[1] .. "/purchase/create.json"), read(args[1] .. "/purchase/update.json"),
    read(args[1] .. "/purchase/complete.json")
  step, purchases, failures, serial = 1, 0, 0, 0
  salt = args[2] .. "-" .. number
  math.randomseed(number * 7919)
  headers = { ["Content-Type"] = "application/json", ["UCP-Agent"] = [[profile="http://localhost/bench-agent.json"]] }
  pace(tonumber(args[3]), number, tonumber(args[4]))
end

function request()
  serial = serial + 1
  headers["Idempotency-Key"] = salt .. "-" .. serial
  if step == 1 then
    items = string.format('[{"item":{"id":"bench_%d"},"quantity":1}]', math.random(1, 20))
    return wrk.format("POST", "/checkout-sessions", headers, (string.gsub(create, "ITEMS", items)))
  elseif step == 2 then
    return wrk.format("PUT", "/checkout-sessions/" .. id, headers, (string.gsub(update, "ITEMS", items)))
  end
  return wrk.format("POST", "/checkout-sessions/" .. id .. "/complete", headers, complete)
end

function response(status, _, body)
  if step == 1 and status == 201 then
    id, step = string.match(body, [["id":"(chk_%x+)"]]), 2
  elseif step == 2 and status == 200 and string.find(body, "ready_for_complete", 1, true) then
    step = 3
  elseif step == 3 and status == 200 and string.find(body, [["status":"completed"]], 1, true) then
    purchases, step = purchases + 1, 1
  else
    failures, step = failures + 1, 1
  end
end

function done(summary, latency)
  local purchases, failures = 0, 0
  for _, thread in ipairs(threads) do
    purchases, failures = purchases + thread:get("purchases"), failures + thread:get("failures")
  end
  io.write(string.format("RESULT done=%d failed=%d seconds=%.3f p50_us=%d p99_us=%d\n", purchases, failures,
    summary.duration / 1e6, latency:percentile(50), latency:percentile(99)))
end
