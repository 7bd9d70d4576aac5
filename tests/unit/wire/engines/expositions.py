"""What engines answer, cut to the lines that matter and a few that must not disturb."""

VLLM = b"""\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="meta-llama/Llama-3.1-8B"} 7.0
vllm:num_requests_running{engine="1",model_name="meta-llama/Llama-3.1-8B"} 3.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="meta-llama/Llama-3.1-8B"} 2.0
vllm:num_requests_waiting{engine="1",model_name="meta-llama/Llama-3.1-8B"} 0.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 2.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="meta-llama/Llama-3.1-8B"} 0.5
vllm:kv_cache_usage_perc{engine="1",model_name="meta-llama/Llama-3.1-8B"} 0.25
# TYPE vllm:prefix_cache_queries_total counter
vllm:prefix_cache_queries_total{engine="0",model_name="meta-llama/Llama-3.1-8B"} 1200.0
vllm:prefix_cache_queries_created{engine="0",model_name="meta-llama/Llama-3.1-8B"} 1.7e+09
vllm:prefix_cache_hits_total{engine="0",model_name="meta-llama/Llama-3.1-8B"} 800.0
vllm:cache_config_info{block_size="16",cache_dtype="auto",engine="0",num_gpu_blocks="1000"} 1.0
vllm:cache_config_info{block_size="16",cache_dtype="auto",engine="1",num_gpu_blocks="500"} 1.0
vllm:lora_requests_info{running_lora_adapters="old",waiting_lora_adapters=""} 1.70e+09
vllm:lora_requests_info{running_lora_adapters="sql,law",waiting_lora_adapters=""} 1.71e+09
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.001"} 0.0
process_resident_memory_bytes 1.0e+09
"""

VLLM_OLDER = b"""\
vllm:num_requests_running{model_name="m"} 1.0
vllm:num_requests_waiting{model_name="m"} 0.0
vllm:gpu_cache_usage_perc{model_name="m"} 0.125
vllm:gpu_prefix_cache_queries_total{model_name="m"} 10.0
vllm:gpu_prefix_cache_hits_total{model_name="m"} 5.0
vllm:cache_config_info{block_size="16",num_gpu_blocks="None"} 1.0
"""

SGLANG = b"""\
sglang:num_running_reqs{model_name="m",tp_rank="0"} 5.0
sglang:num_queue_reqs{model_name="m",tp_rank="0"} 1.0
sglang:token_usage{model_name="m",tp_rank="0"} 0.2
sglang:cache_hit_rate{model_name="m",tp_rank="0"} 0.6
sglang:prompt_tokens_total{model_name="m"} 500.0
sglang:cached_tokens_total{cache_source="device",model_name="m"} 200.0
sglang:cached_tokens_total{cache_source="host",model_name="m"} 50.0
sglang:cache_config_info{model_name="m",num_pages="2000",page_size="64"} 1.0
"""

SGLANG_UNDERSCORE = b"""\
sglang_num_running_reqs{model_name="m"} 5.0
sglang_num_queue_reqs{model_name="m"} 1.0
sglang_token_usage{model_name="m"} 0.2
sglang_max_total_num_tokens{model_name="m"} 1000.0
"""

TGI = b"""\
# TYPE tgi_queue_size gauge
tgi_queue_size 3
# TYPE tgi_batch_current_size gauge
tgi_batch_current_size 12
tgi_request_queue_duration_sum 1.5
"""

LLAMACPP = b"""\
# HELP llamacpp:requests_processing Number of requests processing.
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing 2
# TYPE llamacpp:requests_deferred gauge
llamacpp:requests_deferred 4
llamacpp:n_busy_slots_per_decode 1.5
"""

TRITON = b"""\
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="waiting",version="1"} 1
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="scheduled",version="1"} 6
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="active",version="1"} 7
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction",model="tensorrt_llm"} 0.4
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="tokens_per",model="tensorrt_llm"} 64
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="max",model="tensorrt_llm"} 100
nv_inference_pending_request_count{model="tensorrt_llm",version="1"} 9
"""

TRITON_PLAIN = b"""\
nv_inference_request_success{model="resnet",version="1"} 8
nv_inference_pending_request_count{model="resnet",version="1"} 2
"""

TENSORRT_LLM = b"""\
trtllm_num_requests_running{model_name="m"} 4.0
trtllm_num_requests_waiting{model_name="m"} 2.0
trtllm_kv_cache_utilization{model_name="m"} 0.75
trtllm_kv_cache_tokens_per_block{model_name="m"} 32.0
trtllm_kv_cache_max_blocks{model_name="m"} 1000.0
"""

# Two data-parallel ranks, without --enable-metrics.
SGLANG_LOADS = b"""\
{"timestamp": "2026-08-01T00:00:00+00:00", "version": "0.5.9", "dp_rank_count": 2, "loads": [
 {"dp_rank": 0, "num_running_reqs": 3, "num_waiting_reqs": 2, "num_total_reqs": 5,
  "num_used_tokens": 60000, "max_total_num_tokens": 150000, "token_usage": 0.4,
  "gen_throughput": 120.5, "cache_hit_rate": 0.9, "utilization": 0.1, "max_running_requests": 64},
 {"dp_rank": 1, "num_running_reqs": 7, "num_waiting_reqs": 5, "num_total_reqs": 12,
  "num_used_tokens": 15000, "max_total_num_tokens": 150000, "token_usage": 0.1,
  "gen_throughput": 80.0, "cache_hit_rate": 0.1, "utilization": 0.2, "max_running_requests": 64}
], "aggregate": {"total_reqs": 17}}
"""

SGLANG_GET_LOAD = b"""\
[{"dp_rank": 0, "num_reqs": 4, "num_waiting_reqs": 2, "num_tokens": 9000},
 {"dp_rank": 1, "num_reqs": 1, "num_waiting_reqs": 0, "num_tokens": 100}]
"""

# With --pp-size 2, --dp-size 2 and --enable-priority-scheduling.
SGLANG_RANKS = b"""\
sglang:num_running_reqs{dp_rank="0",pp_rank="0",priority="",tp_rank="0"} 3.0
sglang:num_running_reqs{dp_rank="0",pp_rank="0",priority="1",tp_rank="0"} 2.0
sglang:num_running_reqs{dp_rank="0",pp_rank="0",priority="5",tp_rank="0"} 1.0
sglang:num_running_reqs{dp_rank="0",pp_rank="1",priority="",tp_rank="0"} 3.0
sglang:num_running_reqs{dp_rank="1",pp_rank="0",priority="",tp_rank="0"} 4.0
sglang:num_queue_reqs{dp_rank="0",pp_rank="0",priority="",tp_rank="0"} 0.0
sglang:num_queue_reqs{dp_rank="1",pp_rank="0",priority="",tp_rank="0"} 2.0
sglang:num_queue_reqs{dp_rank="1",pp_rank="0",priority="1",tp_rank="0"} 2.0
sglang:token_usage{dp_rank="0",pp_rank="0",priority="",tp_rank="0"} 0.5
sglang:token_usage{dp_rank="0",pp_rank="1",priority="",tp_rank="0"} 0.5
sglang:token_usage{dp_rank="1",pp_rank="0",priority="",tp_rank="0"} 0.25
sglang:max_total_num_tokens{dp_rank="0",pp_rank="0",priority="",tp_rank="0"} 1000.0
sglang:max_total_num_tokens{dp_rank="0",pp_rank="1",priority="",tp_rank="0"} 1000.0
sglang:max_total_num_tokens{dp_rank="1",pp_rank="0",priority="",tp_rank="0"} 1000.0
sglang:prompt_tokens_total{is_streaming="true",model_name="m"} 500.0
sglang:prompt_tokens_total{is_streaming="false",model_name="m"} 100.0
"""

# Without data-parallel ranks, those of attention are told apart by tp_rank.
SGLANG_ATTENTION_RANKS = b"""\
sglang:num_running_reqs{pp_rank="0",tp_rank="0"} 3.0
sglang:num_running_reqs{pp_rank="0",tp_rank="4"} 1.0
sglang:num_queue_reqs{pp_rank="0",tp_rank="0"} 0.0
sglang:num_queue_reqs{pp_rank="0",tp_rank="4"} 0.0
"""

# A hybrid model: blocks of several groups of layers, each of another number of tokens.
VLLM_HYBRID = b"""\
vllm:num_requests_running{engine="0",model_name="m"} 1.0
vllm:num_requests_waiting{engine="0",model_name="m"} 0.0
vllm:cache_config_info{block_size="8",kv_cache_size_tokens="463459",num_gpu_blocks="320"} 1.0
"""

# Triton with its backend for vLLM, which tells no requests under vLLM's names.
TRITON_VLLM = b"""\
nv_inference_request_success{model="vllm_model",version="1"} 3
nv_inference_pending_request_count{model="vllm_model",version="1"} 2
vllm:prompt_tokens_total{model="vllm_model",version="1"} 10
vllm:time_to_first_token_seconds_count{model="vllm_model",version="1"} 1
"""
