"""Policies for language models."""
