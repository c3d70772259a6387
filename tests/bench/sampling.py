"""Time sampling 16 answers to each of 64 prompts against plain ``generate`` on repeated prompts, side by side.

Counted are the tokens of answers up to their end; what is computed behind an end, waiting for longer answers, is not.
"""

import platform
import time

import torch
import transformers

from mapl_explore.data.world import world_sets
from mapl_explore.models.generating import sampled_batches
from mapl_explore.models.loading import load_model

PROMPTS, K, ROUNDS = 64, 16, 3


def wide_model(tokenizer):
    """Return a random GPT-2 of 6 layers of 384, in which a token costs what it does in small models people use."""
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer), n_embd=384, n_layer=6, n_head=6, bos_token_id=0, eos_token_id=0
    )
    torch.manual_seed(0)
    return transformers.GPT2LMHeadModel(config).eval()


def ours(model, tokenizer, prompts, tokens):
    """Return how many tokens the answers have, by the prompt computed once."""
    kept = 0
    for _, sampled in sampled_batches(model, tokenizer, prompts, k=K, max_tokens=tokens, batch_size=8):
        for one in sampled:
            kept += sum(len(tokenizer(text)["input_ids"]) + 1 for text in one.texts) + one.unfinished * tokens
    return kept


@torch.no_grad()
def plain(model, tokenizer, prompts, tokens):
    """Return the same by generate, whose batches are the same 8 prompts, each 16 times."""
    kept = 0
    for start in range(0, len(prompts), 8):
        batch = tokenizer(prompts[start : start + 8], padding=True, padding_side="left", return_tensors="pt")
        repeated = {name: ids.repeat_interleave(K, 0) for name, ids in batch.items()}
        options = {"do_sample": True, "top_k": 0, "max_new_tokens": tokens, "eos_token_id": tokenizer.eos_token_id}
        answers = model.generate(**repeated, pad_token_id=tokenizer.pad_token_id, **options)
        answers = answers[:, batch["input_ids"].shape[1] :]
        ends = (answers == tokenizer.eos_token_id).int()
        kept += int(((ends.cumsum(-1) - ends) == 0).sum())
    return kept


def main():
    torch.set_num_threads(1)  # two threads that share a core with other work measure that work
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, {platform.machine()}, one thread")
    model, tokenizer = load_model("tiny")
    prompts = [one.prompt for one in world_sets(PROMPTS, seed=1, split="test")]
    wide = wide_model(tokenizer)
    cases = {"tiny, 1M weights, answers that end": (model, 32), "random, 11M weights, 32 tokens": (wide, 32)}
    for name, (model, tokens) in cases.items():
        best = {}
        for _ in range(ROUNDS):
            for sample in (ours, plain):
                start = time.perf_counter()
                kept = sample(model, tokenizer, prompts, tokens)
                best[sample] = max(best.get(sample, 0), kept / (time.perf_counter() - start))
        print(
            f"{PROMPTS} prompts x {K} answers, {name}: ours {best[ours]:,.0f} tokens/s,"
            f" plain generate {best[plain]:,.0f}, ratio {best[ours] / best[plain]:.2f}"
        )


if __name__ == "__main__":
    main()
