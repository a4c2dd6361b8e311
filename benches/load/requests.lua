-- What wrk sends, and what it says at the end: a line of JSON for wrk.py.
--
-- Arguments are name=value:
--   codes    one: always the same link; cycle: each in turn; random; zipf; absent: no link at all
--   links    how many links there are
--   exponent of zipf
--   depth    requests sent together, before their answers are awaited
--   headers  a file with the headers of every request; else `Host` alone
--   close    1: a connection for each request
--   create   an API key: not redirects but creations of links

local number_of_thread = 0

function setup(thread)
   thread:set("seed", number_of_thread)
   number_of_thread = number_of_thread + 1
end

-- Draws from a Zipf distribution over 1..count by rejection from the area under x^-s, which costs
-- the same for any count (Hoermann and Derflinger 1996).
local function zipf(count, s)
   local function area(x) return x ^ (1 - s) / (1 - s) end
   local function inverse(y) return ((1 - s) * y) ^ (1 / (1 - s)) end
   local first = area(1.5) - 1
   local last = area(count + 0.5)
   local cut = 2 - inverse(area(2.5) - 2 ^ -s)
   return function()
      while true do
         local y = last + math.random() * (first - last)
         local x = inverse(y)
         local rank = math.floor(x + 0.5)
         if rank - x <= cut or y >= area(rank + 0.5) - rank ^ -s then return rank end
      end
   end
end

-- Codes by the name of their order, each a function that gives the next one.
local orders = {}

function orders.one() return function() return "0000000" end end

function orders.cycle(links)
   local at = seed * 7919
   return function()
      at = (at + 1) % links
      return string.format("%07d", at)
   end
end

function orders.random(links)
   return function() return string.format("%07d", math.random(0, links - 1)) end
end

function orders.absent()
   return function() return string.format("x%06x", math.random(0, 16777215)) end
end

function orders.zipf(links, exponent)
   local rank = zipf(links, exponent)
   -- ZIPF_STEP of links.py.
   return function() return string.format("%07d", rank() * 7368787 % links) end
end

local function head(arguments)
   local lines = "Host: localhost\r\n"
   if arguments.headers then
      lines = ""
      for line in io.lines(arguments.headers) do lines = lines .. line .. "\r\n" end
   end
   if arguments.close then lines = lines .. "Connection: close\r\n" end
   return " HTTP/1.1\r\n" .. lines .. "\r\n"
end

local function creations(key)
   local start = "POST /api/v1/links HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " .. key
      .. "\r\nContent-Type: application/json\r\nContent-Length: "
   local before, after = '{"url":"https://example.com/a/landing/page/of/sixty/bytes?n=', '"}'
   local made = seed * 100000000
   return function()
      made = made + 1
      local number = string.format("%09d", made)
      return start .. #before + #number + #after .. "\r\n\r\n" .. before .. number .. after
   end
end

function init(given)
   local arguments = {}
   for _, argument in ipairs(given) do
      local name, value = argument:match("^(%w+)=(.*)$")
      arguments[name] = value
   end
   math.randomseed(os.time() * 1000 + seed)
   if arguments.create then
      request = creations(arguments.create)
      return
   end
   local links = tonumber(arguments.links or 1000)
   local next_code = orders[arguments.codes or "one"](links, tonumber(arguments.exponent or 1.1))
   local rest = head(arguments)
   local depth = tonumber(arguments.depth or 1)
   if depth > 1 then
      request = function()
         local together = {}
         for i = 1, depth do together[i] = "GET /" .. next_code() .. rest end
         return table.concat(together)
      end
   elseif arguments.codes == "one" then
      local always = "GET /" .. next_code() .. rest
      request = function() return always end
   else
      request = function() return "GET /" .. next_code() .. rest end
   end
end

function done(summary, latency, _)
   local errors = summary.errors
   io.write(string.format(
      '\n{"requests":%d,"seconds":%f,"refused":%d,"broken":%d,"p50":%f,"p99":%f,"p999":%f}\n',
      summary.requests, summary.duration / 1e6, errors.status,
      errors.connect + errors.read + errors.write + errors.timeout,
      latency:percentile(50) / 1000, latency:percentile(99) / 1000, latency:percentile(99.9) / 1000))
end
