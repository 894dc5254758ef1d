-- What wrk does beyond GET of one address: writes, and a summary that a program can read.
-- BENCH_PUT=PREFIX in the environment makes it write keys below PREFIX, no value twice; with
-- BENCH_PUT_ANEW no key either, and values of 100 bytes.

local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

local prefix = os.getenv("BENCH_PUT")
local anew = os.getenv("BENCH_PUT_ANEW")
local filler = anew and string.rep(".", 84) or ""
local count = 0

if prefix then
  -- An unchanged value would bump nothing, so every value differs from the one before.
  request = function()
    count = count + 1
    local path = prefix .. number .. "/" .. (anew and count or count % 1000)
    return wrk.format("PUT", path, nil, number .. " " .. count .. filler)
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    'summary {"requests": %d, "microseconds": %d, "errors": %d, "p50_us": %d, "p99_us": %d}\n',
    summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
