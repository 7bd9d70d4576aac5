-- A POST as an SDK of an inference API sends it: 15 headers, 479 bytes in all.
wrk.method = "POST"
wrk.path = "/v1/chat/completions"
wrk.body = os.getenv("BENCHMARK_BODY") or '{"model":"m","prompt":"Hello!!"}'
wrk.headers["Host"] = "inference.example.com"
wrk.headers["User-Agent"] = "Client/Python 1.99"
wrk.headers["Accept"] = "application/json"
wrk.headers["Accept-Encoding"] = "gzip, deflate"
wrk.headers["Accept-Language"] = "en"
wrk.headers["Authorization"] = "Bearer " .. (os.getenv("BENCHMARK_KEY") or "sk-0123456789abcdef")
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Cache-Control"] = "no-cache"
wrk.headers["X-Stainless-Lang"] = "python"
wrk.headers["X-Stainless-OS"] = "Linux"
wrk.headers["X-Stainless-Arch"] = "x64"
wrk.headers["X-Stainless-Async"] = "false"
wrk.headers["X-Organization"] = "example"
wrk.headers["X-Trace"] = "0af7651916cd43d"

if os.getenv("BENCHMARK_CLOSE") then
   wrk.headers["Connection"] = "close"
end

dofile(os.getenv("BENCHMARK_REPORT"))
