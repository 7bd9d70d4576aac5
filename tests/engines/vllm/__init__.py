"""vLLM for the CPU behind Penstock: `make test-engines-vllm`, by hand, since it takes 3.5 GB."""
