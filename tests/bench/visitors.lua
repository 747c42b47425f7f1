-- wrk: each request is one of 2000 visitors'; at the end one line of JSON, times in microseconds.
local work = ""

function init(args)
	math.randomseed(os.time())
	if args[1] then work = "?work=" .. args[1] end
end

function request()
	return wrk.format("GET", "/" .. work, { Cookie = "PHPSESSID=visitor" .. math.random(2000) })
end

function done(summary, latency)
	local e = summary.errors
	io.write(string.format('\n{"requests": %d, "us": %d, "p50": %d, "p99": %d, "p999": %d, "errors": %d}\n', summary.requests,
		summary.duration, latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
		e.connect + e.read + e.write + e.status + e.timeout))
end
