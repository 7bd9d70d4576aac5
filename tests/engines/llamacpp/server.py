"""llama.cpp's own HTTP server from the wheel: ``python server.py MODEL PORT shared|split``.

Its slots share one KV memory, as they do by default, or have a part each. Says ``listening URL``
when it does; port 0 lets the system choose. Ends with its standard input, so that no engine
outlives its test.
"""

import sys

import xllamacpp


def serve(model: str, port: int, *, shares_memory: bool) -> None:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = model
    parameters.model_alias = {"tiny"}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = port
    parameters.n_ctx = 32768
    parameters.n_parallel = 4
    parameters.kv_unified = shares_memory
    parameters.cpuparams.n_threads = 1
    parameters.cpuparams_batch.n_threads = 1
    parameters.endpoint_metrics = parameters.endpoint_slots = parameters.endpoint_props = True
    server = xllamacpp.Server(parameters)
    print("listening", server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), shares_memory=sys.argv[3] == "shared")
