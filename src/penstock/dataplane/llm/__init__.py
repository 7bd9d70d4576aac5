"""What is read of prompts and answers of language models, and what is learned from them."""
