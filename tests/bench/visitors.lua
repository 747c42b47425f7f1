-- wrk: each request is one of 300 visitors', who keep their cookies; at the end one line of JSON, times in microseconds.
local work = ""
local cookies = {}

function init(args)
	math.randomseed(os.time())
	if args[1] then work = "?work=" .. args[1] end
end

function request()
	local visitor = "visitor" .. math.random(300)
	local cookie = "PHPSESSID=" .. visitor
	if cookies[visitor] then cookie = cookie .. "; " .. cookies[visitor] end
	return wrk.format("GET", "/" .. work, { Cookie = cookie })
end

-- The page names its visitor.
function response(status, headers, body)
	local set, visitor = headers["Set-Cookie"], string.match(body, "^(visitor%d+) ")
	local token = set and string.match(set, "^(PHPSESSID_mms%d=[^;]+)")
	if visitor and token then cookies[visitor] = token end
end

function done(summary, latency)
	local e = summary.errors
	io.write(string.format('\n{"requests": %d, "us": %d, "p50": %d, "p99": %d, "p999": %d, "errors": %d}\n', summary.requests,
		summary.duration, latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
		e.connect + e.read + e.write + e.status + e.timeout))
end
