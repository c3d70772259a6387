"""Small random models of many kinds, and sets to score with them."""

import torch
import transformers
from tiny_models import byte_tokenizer

from mapl_explore.data import PreferenceSet

TOKENIZER = byte_tokenizer()
SETS = [
    PreferenceSet("a prompt as long as one with a passage. " * 7, ["one", "two " * 9], ["three", "", "four " * 12]),
    PreferenceSet("q", ["a"], ["bcd", "éf"]),
]
LLAMA = {
    "vocab_size": 257, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 512, "initializer_range": 0.2, "pad_token_id": 0,
}  # fmt: skip
GPT = {"vocab_size": 257, "n_embd": 32, "n_layer": 2, "n_head": 4}
ENCODER = {**LLAMA, "pad_token_id": 1}
EXPERTS = {**LLAMA, "num_key_value_heads": 2, "output_router_logits": True}
DECODER = {
    "vocab_size": 257, "d_model": 32, "decoder_layers": 2, "decoder_attention_heads": 4, "decoder_ffn_dim": 64,
    "encoder_layers": 1, "encoder_attention_heads": 4, "max_position_embeddings": 512,
}  # fmt: skip
NEO = {"vocab_size": 257, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "initializer_range": 0.2}
NEO |= {"attention_types": [[["global", "local"], 1]]}
MPT = {"vocab_size": 257, "d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 64, "expansion_ratio": 2}


def model_of(name, options):
    torch.manual_seed(0)
    return transformers.AutoModelForCausalLM.from_config(getattr(transformers, name)(**options)).eval()
