"""A random Llama of one token per byte, as a GGUF file of 1.4 MB: ``python tiny_model.py FILE``.

It says nothing that makes sense, and the same each time at temperature 0. Its answers are printable
and end by the number of tokens that is asked for.
"""

import sys
from typing import Any

import gguf
import numpy as np

WIDTH, LAYERS, HEAD_WIDTH, FEED_FORWARD = 128, 2, 64, 256
CONTEXT_TOKENS = 16384
SEED = 7
SPECIAL = ("<|bos|>", "<|pad|>", "<|im_start|>", "<|im_end|>")
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_tokens() -> list[str]:
    """GPT-2's printable name for each byte, in the order of bytes."""
    named = [*range(33, 127), *range(161, 173), *range(174, 256)]
    names = {byte: chr(byte) for byte in named}
    for index, byte in enumerate(each for each in range(256) if each not in names):
        names[byte] = chr(256 + index)
    return [names[byte] for byte in range(256)]


def write(path: str) -> None:
    tokens = [*SPECIAL, *byte_tokens()]
    heads = WIDTH // HEAD_WIDTH
    random = np.random.default_rng(SEED)

    def weights(rows: int, columns: int, scale: float = 1.6) -> Any:
        drawn = random.standard_normal((rows, columns)) * scale / np.sqrt(columns)
        return drawn.astype(np.float32)

    model = gguf.GGUFWriter(path, "llama")
    model.add_name("tiny")
    model.add_context_length(CONTEXT_TOKENS)
    model.add_embedding_length(WIDTH)
    model.add_block_count(LAYERS)
    model.add_feed_forward_length(FEED_FORWARD)
    model.add_head_count(heads)
    model.add_head_count_kv(1)
    model.add_key_length(HEAD_WIDTH)
    model.add_value_length(HEAD_WIDTH)
    model.add_rope_dimension_count(HEAD_WIDTH)
    model.add_layer_norm_rms_eps(1e-5)
    model.add_vocab_size(len(tokens))
    model.add_tokenizer_model("gpt2")
    model.add_tokenizer_pre("gpt-2")
    model.add_token_list(tokens)
    kinds = gguf.TokenType
    model.add_token_types([kinds.CONTROL] * len(SPECIAL) + [kinds.NORMAL] * 256)
    model.add_token_merges(["a b"])  # one is needed; no two bytes are ever merged
    model.add_bos_token_id(0)
    model.add_pad_token_id(1)
    model.add_eos_token_id(3)
    model.add_add_bos_token(False)
    model.add_chat_template(CHAT_TEMPLATE)

    output = weights(len(tokens), WIDTH, 4.0)
    unprintable = [at for at, token in enumerate(tokens) if at > 3 and not " " < token < "\x7f"]
    output[:4] = 0.0
    output[unprintable] = 0.0
    model.add_tensor("token_embd.weight", weights(len(tokens), WIDTH, WIDTH**0.5))
    model.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    model.add_tensor("output.weight", output)
    for layer in range(LAYERS):
        tensors = {
            "attn_norm": np.ones(WIDTH, np.float32),
            "ffn_norm": np.ones(WIDTH, np.float32),
            "attn_q": weights(heads * HEAD_WIDTH, WIDTH),
            "attn_k": weights(HEAD_WIDTH, WIDTH),
            "attn_v": weights(HEAD_WIDTH, WIDTH),
            "attn_output": weights(WIDTH, heads * HEAD_WIDTH),
            "ffn_gate": weights(FEED_FORWARD, WIDTH),
            "ffn_up": weights(FEED_FORWARD, WIDTH),
            "ffn_down": weights(WIDTH, FEED_FORWARD),
        }
        for name, tensor in tensors.items():
            model.add_tensor(f"blk.{layer}.{name}.weight", tensor)
    model.write_header_to_file()
    model.write_kv_data_to_file()
    model.write_tensors_to_file()
    model.close()


if __name__ == "__main__":
    write(sys.argv[1])
