"""Very small random models with a tokenizer of bytes, for tests of what does not depend on what a model knows."""

import tokenizers
import torch
import transformers

EOS = "<|endoftext|>"
CHAT = (
    "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}<end>\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


def byte_tokenizer():
    """Return a GPT-2 style tokenizer without merges: a token is a byte, and any text can be encoded."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([EOS, *alphabet])}
    core = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = tokenizers.decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=core, eos_token=EOS, pad_token=EOS)


def chat_tokenizer(*, template=CHAT):
    """Return a byte tokenizer that begins a text with a bos and has a chat template, as those of Llama and Gemma."""
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"bos_token": "<s>", "extra_special_tokens": ["<end>"]})
    core = tokenizer.backend_tokenizer
    core.post_processor = tokenizers.processors.Sequence(
        [
            core.post_processor or tokenizers.processors.ByteLevel(trim_offsets=False),
            tokenizers.processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]),
        ]
    )
    tokenizer.chat_template = template
    return tokenizer


def random_gpt2(*, context=64, dropout=0.0, seed=0):
    """Return a GPT-2 of two layers whose weights are large enough for its answers to depend on the prompt."""
    torch.manual_seed(seed)
    config = transformers.GPT2Config(
        vocab_size=257, n_positions=context, n_embd=32, n_layer=2, n_head=2, initializer_range=0.2,
        resid_pdrop=dropout, embd_pdrop=dropout, attn_pdrop=dropout, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(config).eval()


def save_tiny(folder, **options):
    """Write a random model and its tokenizer where load_model can read them, and return the folder."""
    random_gpt2(**options).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder
