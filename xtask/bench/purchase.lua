-- Makes one purchase after another: create, update, complete. wrk runs one thread for each connection, so that each answer
-- belongs to the last request of its thread.
local address = [[{"street_address":"1 Bench St","address_locality":"Springfield","address_region":"IL","postal_code":"62704","address_country":"US"}]]
local pay = [[{"payment":{"instruments":[{"id":"card","handler_id":"mock_payment_handler","type":"card","selected":true,"credential":{"type":"token","token":"success_token"}}]}}]]
local threads, next_thread = {}, 1

function setup(thread)
  thread:set("number", next_thread)
  next_thread = next_thread + 1
  table.insert(threads, thread)
end

function init(args)
  step, purchases, failures, serial = 1, 0, 0, 0
  salt = args[1] .. "-" .. number
  math.randomseed(number * 7919)
  headers = { ["Content-Type"] = "application/json", ["UCP-Agent"] = [[profile="http://localhost/bench-agent.json"]] }
end

function request()
  serial = serial + 1
  headers["Idempotency-Key"] = salt .. "-" .. serial
  if step == 1 then
    sku = "bench_" .. math.random(1, 20)
    local body = string.format([[{"line_items":[{"item":{"id":"%s"},"quantity":1}]}]], sku)
    return wrk.format("POST", "/checkout-sessions", headers, body)
  elseif step == 2 then
    local body = string.format([[{"line_items":[{"item":{"id":"%s"},"quantity":1}],"buyer":{"email":"bench@example.com","first_name":"Ben"},"discounts":{"codes":["10OFF"]},"fulfillment":{"methods":[{"type":"shipping","destinations":[%s],"groups":[{"selected_option_id":"std"}]}]}}]], sku, address)
    return wrk.format("PUT", "/checkout-sessions/" .. id, headers, body)
  end
  return wrk.format("POST", "/checkout-sessions/" .. id .. "/complete", headers, pay)
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
