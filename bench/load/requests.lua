-- Requests with six ordinary fields, over routes in random order, for wrk:
--   wrk -s requests.lua URL -- KIND SIZE QUERY BODY HEADER
-- KIND and SIZE say which routes there are (prefix, hosts, headers, regex); QUERY follows the path ("-" for none); BODY is
-- the size of what is posted (0 for a GET); HEADER is one more line ("-" for none), in which %d is a random number
-- and %a an address that no other request has. Where it ends with @FILE, each request has the next line of the file there.
-- Everything is written before the load begins. At its end one line of JSON is printed.

-- The same number whatever the routes are: what the load takes of the caches falls on all contenders alike.
local KEPT, KEPT_WITH_BODY, KEPT_WITH_ADDRESS = 20000, 500, 100000

local function word()
  local letters = {}
  for at = 1, 6 do
    letters[at] = string.char(math.random(97, 122))
  end
  return table.concat(letters)
end

local function address(number)
  return "10." .. math.floor(number / 65536) .. "." .. math.floor(number / 256) % 256 .. "." .. number % 256
end

-- The beginning of HEADER and the lines of its file; nil if it names none.
local function lines_of(header)
  local before, file = header:match("^(.*)@(.+)$")
  if not file then
    return nil
  end
  local lines = {}
  for line in io.lines(file) do
    lines[#lines + 1] = before .. line
  end
  return lines
end

local function request_of(kind, size, query, body, header, number)
  local at = math.random(0, size - 1)
  local path, host, tenant = "/s" .. at .. "/items/7", "api.example.com", ""
  if kind == "hosts" then
    host = "h" .. at .. ".example.com"
    path = "/s" .. math.random(0, 9) .. "/items/7"
  elseif kind == "headers" then
    path = "/s0/items/7"
    tenant = "x-tenant: t" .. at .. "\r\n"
  elseif kind == "regex" then
    -- More paths than anybody's cache of results holds: the search is what is measured.
    path = "/v" .. math.random(1, 9) .. "/r" .. at .. "/" .. word()
  end
  local lines = {
    (body > 0 and "POST " or "GET ") .. path .. query .. " HTTP/1.1",
    "Host: " .. host,
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101",
    "Accept: application/json, text/plain, */*",
    "Accept-Language: en-GB,en;q=0.5",
    "Accept-Encoding: gzip, deflate",
    "X-Request-Id: " .. string.format("%08x%08x", math.random(0, 2^31 - 1), math.random(0, 2^31 - 1)),
  }
  local text = table.concat(lines, "\r\n") .. "\r\n" .. tenant
  if header:find("%a", 1, true) then
    text = text .. header:gsub("%%a", address(number)) .. "\r\n"
  elseif header ~= "-" then
    text = text .. string.format(header, math.random(0, 999999)) .. "\r\n"
  end
  if body > 0 then
    return text .. "Content-Length: " .. body .. "\r\n\r\n" .. string.rep("x", body)
  end
  return text .. "\r\n"
end

local requests, turn = {}, 0

function init(arguments)
  local kind, size = arguments[1], tonumber(arguments[2])
  local query = arguments[3] == "-" and "" or arguments[3]
  local body, header = tonumber(arguments[4]), arguments[5]
  math.randomseed(7)
  local lines = lines_of(header)
  local kept = body > 0 and KEPT_WITH_BODY or header:find("%a", 1, true) and KEPT_WITH_ADDRESS or KEPT
  for at = 1, lines and #lines or kept do
    requests[at] = request_of(kind, size, query, body, lines and lines[at] or header, at)
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%f,"errors":%d,"p50_us":%d,"p99_us":%d,"p999_us":%d}\n',
    summary.requests, summary.duration / 1e6,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
