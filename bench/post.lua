-- Posts one body over and over: BODY names its file, CONTENT_TYPE its type, HEADER one more header as "Name: value".
-- There is no request() on purpose: wrk then formats the request once and Lua stays out of the loop.

local file = assert(io.open(assert(os.getenv("BODY"), "BODY is not set"), "rb"))
wrk.method = "POST"
wrk.body = file:read("*a")
wrk.headers["Content-Type"] = assert(os.getenv("CONTENT_TYPE"), "CONTENT_TYPE is not set")
local name, value = (os.getenv("HEADER") or ""):match("^([^:]+):%s*(.*)$")
if name then wrk.headers[name] = value end
file:close()

-- One line for a program, since wrk's own report rounds.
function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"us":%d,"p50_us":%d,"p99_us":%d,"refused":%d,"broken":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.status, e.connect + e.read + e.write + e.timeout))
end
