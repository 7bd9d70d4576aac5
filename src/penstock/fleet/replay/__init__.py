"""Replay of language-model traffic: traces and generated workloads, sent and measured."""
