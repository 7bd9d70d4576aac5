-- Chats: short ones that are all the same, or prompts of PROMPT_TOKENS tokens of which no two begin alike.
wrk.method = "POST"
wrk.path = "/v1/chat/completions"
wrk.headers["Host"] = "inference.example.com"
wrk.headers["User-Agent"] = "Client/Python 1.99"
wrk.headers["Accept"] = "application/json"
wrk.headers["Authorization"] = "Bearer sk-0123456789abcdef"
wrk.headers["Content-Type"] = "application/json"

local tokens = tonumber(os.getenv("PROMPT_TOKENS") or "0")
local words = {"lorem", "ipsum", "dolor", "sit", "amet", "elit", "sed", "do", "magna", "aliqua"}
local texts, sent = {}, 0

if tokens == 0 then
   wrk.body = '{"model":"m","messages":[{"role":"system","content":"You are a helpful assistant."},' ..
      '{"role":"user","content":"Say some words about foxes."}],"max_tokens":100,"temperature":0.7}'
else
   function init(arguments)
      math.randomseed(os.time())
      for text = 1, 16 do
         local parts = {}
         for part = 1, math.floor(tokens * 4 / 5) do parts[part] = words[math.random(#words)] end
         texts[text] = table.concat(parts, " ")
      end
   end

   function request()
      sent = sent + 1
      local text = os.time() .. " " .. sent .. " " .. texts[sent % #texts + 1]
      return wrk.format(nil, nil, nil, '{"model":"m","stream":true,"max_tokens":100,' ..
         '"messages":[{"role":"user","content":"' .. text .. '"}]}')
   end
end

dofile(os.getenv("BENCHMARK_REPORT"))
