"""A random Llama of one token per byte, as vLLM reads it: ``python tiny_model.py DIRECTORY``.

Runs in the environment of vLLM, which brings numpy, safetensors and tokenizers.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

WIDTH, LAYERS, HEAD_WIDTH, FEED_FORWARD = 256, 2, 64, 512  # vLLM's CPU kernels want heads of 64
HEADS, KV_HEADS = WIDTH // HEAD_WIDTH, 2
CONTEXT_TOKENS = 8192
SEED = 7
SPECIAL = ("<|bos|>", "<|pad|>", "<|im_start|>", "<|im_end|>")
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    tokens = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE({token: at for at, token in enumerate(tokens)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.save(str(directory / "tokenizer.json"))
    save_file(_weights(tokens), directory / "model.safetensors", {"format": "pt"})
    special = {"bos_token": SPECIAL[0], "pad_token": SPECIAL[1], "eos_token": SPECIAL[3]}
    ids = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 3}
    _write_json(directory / "special_tokens_map.json", special)
    _write_json(
        directory / "tokenizer_config.json",
        {
            **special,
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": CONTEXT_TOKENS,
            "clean_up_tokenization_spaces": False,
            "chat_template": CHAT_TEMPLATE,
        },
    )
    _write_json(directory / "generation_config.json", ids)
    _write_json(
        directory / "config.json",
        {
            **ids,
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": len(tokens),
            "hidden_size": WIDTH,
            "intermediate_size": FEED_FORWARD,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "num_key_value_heads": KV_HEADS,
            "head_dim": HEAD_WIDTH,
            "max_position_embeddings": CONTEXT_TOKENS,
            "rms_norm_eps": 1e-5,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
            "tie_word_embeddings": False,
            "hidden_act": "silu",
            "dtype": "float32",
        },
    )


def _weights(tokens: list[str]) -> dict[str, Any]:
    random = np.random.default_rng(SEED)

    def drawn(rows: int, columns: int, scale: float = 1.6) -> Any:
        values = random.standard_normal((rows, columns)) * scale / np.sqrt(columns)
        return values.astype(np.float32)

    head = drawn(len(tokens), WIDTH, 4.0)
    head[:4] = 0.0
    head[[at for at, token in enumerate(tokens) if at > 3 and not " " < token < "\x7f"]] = 0.0
    ones = np.ones(WIDTH, np.float32)
    found = {
        "model.embed_tokens.weight": drawn(len(tokens), WIDTH, WIDTH**0.5),
        "model.norm.weight": ones,
        "lm_head.weight": head,
    }
    for layer in range(LAYERS):
        name = f"model.layers.{layer}."
        found |= {
            f"{name}input_layernorm.weight": ones,
            f"{name}post_attention_layernorm.weight": ones,
            f"{name}self_attn.q_proj.weight": drawn(HEADS * HEAD_WIDTH, WIDTH),
            f"{name}self_attn.k_proj.weight": drawn(KV_HEADS * HEAD_WIDTH, WIDTH),
            f"{name}self_attn.v_proj.weight": drawn(KV_HEADS * HEAD_WIDTH, WIDTH),
            f"{name}self_attn.o_proj.weight": drawn(WIDTH, HEADS * HEAD_WIDTH),
            f"{name}mlp.gate_proj.weight": drawn(FEED_FORWARD, WIDTH),
            f"{name}mlp.up_proj.weight": drawn(FEED_FORWARD, WIDTH),
            f"{name}mlp.down_proj.weight": drawn(WIDTH, FEED_FORWARD),
        }
    return found


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=1))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
