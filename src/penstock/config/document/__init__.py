"""The configuration document: what a person can write."""
