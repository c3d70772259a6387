"""Memory and time of a training step of a model with a large vocabulary: all logits at once, and what is done instead.

A random model of the shape of Qwen2.5-0.5B (494M weights, 151,936 tokens, tied), one set of 4 + 4, prompt 256,
responses 128, float32 on one thread of a CPU; ``memory.py FOLDER DATA`` takes a model and the first set of a file. Each
measurement is a process of its own, so that its peak is its own. A step is forward, loss and backward; the optimizer's
part is the same in all. The peak is that of the process, less what it held before the step and its gradients.

Where ``import trl`` works, TRL's DPOTrainer is the last: pairs of the same lengths, one in each pass, its activations
computed again. Its peak is that of any number of pairs; it is not timed, for it reads two pairs and not all sixteen.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from importlib import util

import torch
import transformers

from mapl_explore import load_model, read_sets
from mapl_explore.models.checking import context_length
from mapl_explore.models.encoding import EncodedSet, collate, encode_sets
from mapl_explore.models.scorer import SetScorer

PROMPT, RESPONSE, STEPS = 256, 128, 2
QWEN = {
    "hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2,
    "intermediate_size": 4864, "vocab_size": 151_936, "tie_word_embeddings": True,
}  # fmt: skip
# glibc would keep freed arrays of up to 32 MB, with holes between them: next to 8 layers 375 MB that nothing needs.
EXACT = {"MALLOC_MMAP_THRESHOLD_": "1000000"}
# Whether the head is computed apart, for some tokens at a time, and whether activations are computed again.
CASES = {
    "all logits at once": (False, False),
    "some tokens at a time": (True, False),
    "and checkpointing": (True, True),
}


def model_and_set(folder=None, data=None):
    """Return the model and the set in tokens, of a folder and a file if they are given."""
    if folder:
        model, tokenizer = load_model(folder)
        return model, encode_sets(tokenizer, read_sets(data)[:1], context=context_length(model))[0]
    torch.manual_seed(0)
    model = transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**QWEN)).eval()
    prompt, *responses = torch.randint(QWEN["vocab_size"], (9, max(PROMPT, RESPONSE))).tolist()
    return model, EncodedSet(tuple(prompt[:PROMPT]), tuple(tuple(each[:RESPONSE]) for each in responses), 4)


def held():
    """Return the bytes that this process holds now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def peak():
    """Return the most bytes that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def megabytes_of_gradients(model):
    return sum(weights.nbytes for weights in model.parameters()) / 1e6  # as many as there are weights


def measured(case, *given):
    """Return megabytes on top of weights and gradients, and processor seconds of the quickest step."""
    model, one = model_and_set(*given)
    apart, checkpointing = CASES[case]
    scorer = SetScorer(model, checkpointing=checkpointing)
    scorer.apart = scorer.apart if apart else None
    batch, before, seconds = collate([one], share_prompt=scorer.share_prompt), held(), []
    for _ in range(STEPS):
        model.zero_grad()
        start = time.process_time()
        logp = scorer(**batch)
        (-torch.nn.functional.logsigmoid(0.01 * (logp[:, :1] - logp[:, 1:]))).mean().backward()
        seconds.append(time.process_time() - start)
    megabytes = (peak() - before) / 1e6 - megabytes_of_gradients(model)
    return {"MB": megabytes, "seconds": min(seconds), "logp": logp.sum().item()}


def of_trl():
    """Return megabytes on top of weights and gradients of TRL's trainer."""
    from datasets import Dataset
    from training import tokenizer
    from trl import DPOConfig, DPOTrainer

    model, one = model_and_set()
    prompt, *responses = (" ".join(f"w{token}" for token in ids) for ids in (one.prompt, *one.responses))
    pairs = [{"prompt": f"{prompt} ", "chosen": responses[0], "rejected": rejected} for rejected in responses[4:6]]
    with tempfile.TemporaryDirectory() as folder:
        how = {
            "output_dir": folder, "max_steps": 1, "save_strategy": "no", "report_to": "none", "use_cpu": True,
            "per_device_train_batch_size": 1, "gradient_accumulation_steps": len(pairs), "max_length": None,
            "gradient_checkpointing": True, "precompute_ref_log_probs": True, "bf16": False,
            "optim": "sgd", "max_grad_norm": 0.0,
        }  # fmt: skip
        data = Dataset.from_list(pairs)
        trainer = DPOTrainer(
            model=model, args=DPOConfig(**how), train_dataset=data, processing_class=tokenizer(QWEN["vocab_size"])
        )
        before = held()
        trainer.train()
    return {"MB": (peak() - before) / 1e6 - megabytes_of_gradients(model)}


def in_a_process(*words):
    done = subprocess.run(
        [sys.executable, __file__, *words], capture_output=True, text=True, env={**os.environ, **EXACT}
    )
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main(*given):
    found = {}
    for case in CASES:
        found[case] = mine = in_a_process("--case", case, *given)
        first = found["all logits at once"]
        memory, slower = first["MB"] / mine["MB"], mine["seconds"] / first["seconds"]
        print(
            f"{case}: {mine['MB']:,.0f} MB on top of weights and gradients, {memory:.1f} times less;"
            f" {mine['seconds']:.1f} s a step, {slower:.2f} times as long; log-probs {mine['logp']:.4f} nats",
            flush=True,
        )
    if util.find_spec("trl") and not given:
        other = in_a_process("--trl")["MB"]
        print(f"TRL, one pair in a pass and checkpointing: {other:,.0f} MB, {other / mine['MB']:.1f} times ours")


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1:] == ["--trl"]:
        print(json.dumps(of_trl()))
    elif sys.argv[1:2] == ["--case"]:
        print(json.dumps(measured(*sys.argv[2:])))
    else:
        main(*sys.argv[1:])
