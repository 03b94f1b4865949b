-- Sends one body again and again, compares every answer with the expected one, and prints what wrk has measured.
--
-- wrk -s wrk.lua URL -- BODY HEADERS EXPECTED: three files. HEADERS has a header a line, as `Name: value`. There is
-- no function `request`, so that wrk writes the request once.

local threads = {}

function setup(thread)
   table.insert(threads, thread)
end

local function content(path)
   local file = assert(io.open(path, "rb"))
   local text = file:read("*a")
   file:close()
   return text
end

function init(args)
   wrk.method = "POST"
   wrk.body = content(args[1])
   for name, value in content(args[2]):gmatch("([^\n:]+): ([^\n]+)") do
      wrk.headers[name] = value
   end
   expected = content(args[3])
   wrong_statuses, mismatches, sample = 0, 0, ""
end

function response(status, headers, body)
   if status ~= 200 then
      wrong_statuses = wrong_statuses + 1
      sample = status .. " " .. body:sub(1, 300)
   elseif body ~= expected then
      mismatches = mismatches + 1
      sample = body:sub(1, 300)
   end
end

function done(summary, latency, requests)
   local statuses, differing, shown = 0, 0, ""
   for _, thread in ipairs(threads) do
      statuses = statuses + thread:get("wrong_statuses")
      differing = differing + thread:get("mismatches")
      shown = thread:get("sample")
   end
   local errors = summary.errors
   print(string.format("SAMPLE %s", (shown:gsub("%s+", " "))))
   print(string.format(
      'READING {"requests": %d, "microseconds": %d, "p50": %.1f, "p99": %.1f, "longest": %.1f, ' ..
      '"wrong_statuses": %d, "mismatches": %d, "lost": %d}',
      summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max,
      statuses, differing, errors.connect + errors.read + errors.write + errors.timeout))
end
