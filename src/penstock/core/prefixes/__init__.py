"""Which endpoint holds which prefixes of prompts."""
