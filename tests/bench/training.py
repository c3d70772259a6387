"""Time a training step, and its memory, against TRL's DPOTrainer, side by side; and against the size of the set.

Both train the same random GPT-2 with transformers' own Trainer loop and AdamW, reference log-probs computed beforehand:
on a CPU one of 6 layers of 384 in float32, on a GPU, where there is one, GPT-2's own 12 layers of 768 (124M) in bf16;
50,257 tokens in either. The loss is DPO's, as mean over all pairs of a positive and a negative of a set: TRL gets the
pairs, we get the sets. First the gradients are compared, in float32. Each measurement is a process of its own, so that
its peak of memory is its own; the engines take turns. Last comes where the time of a step goes.
"""

import json
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import product

import torch
import transformers

BETA, WORDS = 0.1, 50_257
ON_GPU = torch.cuda.is_available()
WIDTH, LAYERS, HEADS, PRECISION = (768, 12, 12, "bf16") if ON_GPU else (384, 6, 6, "float32")
PARTS = 8
ROUNDS, WARM, STEPS = (1, 5, 20) if ON_GPU else (1, 1, 2)


@dataclass(frozen=True)
class Case:
    """What a step trains on; lengths in tokens."""

    sets: int
    positives: int
    negatives: int
    prompt: int
    response: int

    @property
    def tokens(self):
        """Return the response tokens of a step."""
        return self.sets * (self.positives + self.negatives) * self.response


CASES = {
    "2 sets of 4 + 4, prompt 200, responses 32": Case(2, 4, 4, 200, 32),
    "8 pairs of 1 + 1, prompt 64, responses 64": Case(8, 1, 1, 64, 64),
}
SIZES = {f"2 sets of {k}": Case(2, k // 2, k // 2, 200, 32) for k in (2, 4, 8, 16, 32)}


def texts(case, count):
    """Return random sets: prompt, positives, negatives; a word is a token, and eos makes the last one of a response."""
    rng = random.Random(0)

    def words(length):
        return "".join(f" w{rng.randrange(WORDS - 1)}" for _ in range(length))

    def several(n):
        return [words(case.response - 1) for _ in range(n)]

    return [(words(case.prompt), several(case.positives), several(case.negatives)) for _ in range(count)]


def tokenizer(count=WORDS):
    from tokenizers import Tokenizer, models, pre_tokenizers

    whole = Tokenizer(models.WordLevel({f"w{i}": i for i in range(count - 1)} | {"<end>": count - 1}, unk_token="w0"))
    whole.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=whole, eos_token="<end>", pad_token="<end>")


def model():
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=WORDS, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS, bos_token_id=WORDS - 1, eos_token_id=WORDS - 1
    )
    # Without dropout, which both switch off; TRL in the model, after it was made.
    config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = 0.0
    return transformers.GPT2LMHeadModel(config).to("cuda" if ON_GPU else "cpu")


class Clock(transformers.TrainerCallback):
    """Notes how long each step took, all of it: batch, forward, backward, optimizer."""

    def __init__(self):
        self.seconds, self.last = [], None

    def on_train_begin(self, args, state, control, **kwargs):
        if ON_GPU:
            torch.cuda.reset_peak_memory_stats()
        self.last = now()

    def on_step_end(self, args, state, control, **kwargs):
        before, self.last = self.last, now()
        self.seconds.append(self.last - before)


def now():
    if ON_GPU:
        torch.cuda.synchronize()
    return time.perf_counter()


def options(folder, batch, accumulation):
    return {
        "output_dir": folder,
        "max_steps": WARM + STEPS,
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": accumulation,
        "learning_rate": 1e-5,
        "use_cpu": not ON_GPU,
        "bf16": False,
        "gradient_checkpointing": False,
        "save_strategy": "no",
        "report_to": "none",
        "logging_steps": 1,
        "disable_tqdm": True,
    }


def ours(case, folder, accumulation=1, precision=PRECISION):
    """Return our trainer and its network."""
    from mapl_explore.data import PreferenceSet
    from mapl_explore.models.encoding import encode_sets
    from mapl_explore.models.scorer import SetScorer
    from mapl_explore.models.scoring import score_encoded
    from mapl_explore.training.finetuning import Example, PreferenceTrainer

    network, count = model(), case.sets * (WARM + STEPS)
    encoded = encode_sets(tokenizer(), [PreferenceSet(*one) for one in texts(case, count)])
    ref_logp = score_encoded(SetScorer(network), encoded, batch_size=case.sets, progress=False)
    examples = [Example(one, tuple(row.tolist())) for one, row in zip(encoded, ref_logp, strict=True)]
    args = transformers.TrainingArguments(
        **options(folder, case.sets // accumulation, accumulation), remove_unused_columns=False, label_names=[]
    )
    scorer = SetScorer(network, precision=precision)
    return PreferenceTrainer(loss=all_pairs(), model=scorer, args=args, train_dataset=examples), network


def theirs(case, folder, accumulation=1, precision=PRECISION):
    """Return TRL's trainer on every pair of every set, and its network."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    network, count = model(), case.sets * (WARM + STEPS)
    rows = [
        {"prompt": prompt, "chosen": chosen, "rejected": rejected}
        for prompt, positives, negatives in texts(case, count)
        for chosen, rejected in product(positives, negatives)
    ]
    batch = case.sets * case.positives * case.negatives // accumulation
    how = options(folder, batch, accumulation) | {"bf16": precision == "bf16"}
    args = DPOConfig(**how, beta=BETA, precompute_ref_log_probs=True)
    data = Dataset.from_list(rows)
    trainer = DPOTrainer(model=network, args=args, train_dataset=data, processing_class=tokenizer())
    trainer._get_train_sampler = lambda *_: torch.utils.data.SequentialSampler(trainer.train_dataset)
    return trainer, network


def all_pairs():
    """Return DPO as the mean over all pairs of a set: what TRL computes on them."""
    from mapl_explore.losses import DPO

    class AllPairs(DPO):
        def __call__(self, sets):
            r = self.score(sets)
            margins = torch.stack(
                [(row[label > 0][:, None] - row[label < 0]).flatten() for row, label in zip(r, sets.label, strict=True)]
            )
            return torch.nn.functional.softplus(-self.beta * margins).mean(-1)

    return AllPairs(beta=BETA)


ENGINES = {"ours": ours, "TRL": theirs}


def gradient(make, case):
    """Return the gradient of the first step's mean loss, as one vector."""
    with tempfile.TemporaryDirectory() as folder:
        trainer, network = make(case, folder, precision="float32")
        batch = next(iter(trainer.get_train_dataloader()))
        trainer.state.max_steps = 1
        trainer.compute_loss(trainer.model, trainer._prepare_inputs(batch)).backward()
    return torch.cat([each.grad.flatten() for each in network.parameters()])


def measured(make, case, accumulation):
    """Return seconds of a step (the least) and megabytes: of the GPU, or on top of what the imports took."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        trainer, _ = make(case, folder, accumulation)
        clock = Clock()
        trainer.add_callback(clock)
        trainer.train()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    megabytes = peak / (2**20 if sys.platform == "darwin" else 2**10)
    if ON_GPU:
        megabytes = torch.cuda.max_memory_allocated() / 2**20
    return {"seconds": min(clock.seconds[WARM:]), "megabytes": megabytes}


def parts(case):
    """Return lines that tell where the time of our steps goes: into which kernels of a GPU, else which operators."""
    kind, spent, thing = (
        ("CUDA", "self_device_time_total", "kernels of the GPU")
        if ON_GPU
        else ("CPU", "self_cpu_time_total", "operators of torch")
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer, _ = ours(case, folder)
        clock = Clock()
        trainer.add_callback(clock)
        with torch.profiler.profile(activities=[getattr(torch.profiler.ProfilerActivity, kind)]) as profile:
            trainer.train()
    seconds = {each.key: getattr(each, spent) / 1e6 for each in profile.key_averages()}
    total = sum(seconds.values())
    lines = [f"{100 * total / sum(clock.seconds):.0f} % of the time of our steps is that of {thing}, and of that"]
    longest = sorted(seconds, key=seconds.get)[: -PARTS - 1 : -1]
    return {"lines": lines + [f"    {100 * seconds[each] / total:4.1f} %  {each[:90]}" for each in longest]}


def in_a_process(engine, case, accumulation=1):
    arguments = [sys.executable, __file__, engine, case, str(accumulation)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def best(*results):
    return {name: min(each[name] for each in results) for name in results[0]}


def side_by_side(name, case):
    """Print both engines on a case; TRL also in smaller passes, and the better of its two."""
    pairs = case.sets * case.positives * case.negatives
    passes = {("ours", 1): [], ("TRL", 1): []} | ({("TRL", 8): []} if pairs > 8 else {})
    for _ in range(ROUNDS):
        for (engine, accumulation), results in passes.items():
            results.append(in_a_process(engine, name, accumulation))
    result = {key: best(*results) for key, results in passes.items()}
    own = result["ours", 1]
    print(
        f"{name}: ours {own['seconds']:.3f} s a step, {own['megabytes']:,.0f} MB, "
        f"{case.tokens / own['seconds']:,.0f} response tokens/s"
    )
    for (engine, accumulation), other in result.items():
        if engine == "TRL":
            how = f"{pairs} pairs in {accumulation} pass{'es' * (accumulation > 1)}"
            print(
                f"    TRL, {how}: {other['seconds']:.3f} s, {other['megabytes']:,.0f} MB; it takes "
                f"{other['seconds'] / own['seconds']:.1f} times as long and {other['megabytes'] / own['megabytes']:.1f}"
                " times the memory"
            )


def main():
    import trl

    versions = f"torch {torch.__version__}, transformers {transformers.__version__}, trl {trl.__version__}"
    print(f"{versions}, {torch.cuda.get_device_name() if ON_GPU else platform.machine() + ', one thread'}, {PRECISION}")
    for name in CASES:
        print(f"{name}: gradients differ by {in_a_process('gradients', name)['difference']:.1e} of the largest")
    for name, case in CASES.items():
        side_by_side(name, case)
    for name, case in SIZES.items():
        own = in_a_process("ours", name)
        print(
            f"{name}, prompt 200, responses 32: {own['seconds']:.3f} s a step, "
            f"{1e6 * own['seconds'] / case.tokens:,.0f} microseconds a response token"
        )
    for name in CASES:
        print(f"{name}:", "\n".join(in_a_process("parts", name)["lines"]))


def child(engine, name, accumulation):
    torch.set_num_threads(1)  # two threads that share a core with other work measure that work
    transformers.logging.set_verbosity_error()
    case = (CASES | SIZES)[name]
    if engine == "gradients":
        mine, other = (gradient(make, case) for make in (ours, theirs))
        result = {"difference": ((mine - other).abs().max() / other.abs().max()).item()}
    elif engine == "parts":
        result = parts(case)
    else:
        result = measured(ENGINES[engine], case, int(accumulation))
    print(json.dumps(result))


if __name__ == "__main__":
    child(*sys.argv[1:]) if sys.argv[1:] else main()
