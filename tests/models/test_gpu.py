"""What a GPU computes is what the CPU computes; skipped where torch finds no GPU."""

import pytest
import torch
from tiny_models import byte_tokenizer, random_gpt2, save_tiny

from conftest import assert_close
from mapl_explore.data import PreferenceSet
from mapl_explore.losses import LOSSES, ScoredSets
from mapl_explore.models.encoding import encode_sets
from mapl_explore.models.generating import token_batches
from mapl_explore.models.scorer import SetScorer
from mapl_explore.models.scoring import score_encoded
from mapl_explore.training.finetuning import finetune

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA GPU")

SETS = [
    PreferenceSet("what is 1 + 1?", [" two", " 2"], [" 3", " four or five, or six"]),
    PreferenceSet("a prompt of many words, to be padded", [" abc"], [" " + "d" * 20, "e", "fg"]),
    PreferenceSet("and another", [" one", " of two"], [" three", " of four"]),
    PreferenceSet("", ["é"], [""]),
]


def scored(device):
    generator = torch.Generator().manual_seed(0)
    logp, ref_logp = (-30 * torch.rand(5, 6, generator=generator, dtype=torch.float64) for _ in range(2))
    label = torch.tensor([[1, 1, 1, -1, -1, -1]] * 4 + [[1, -1, -1, 0, 0, 0]])
    length = torch.randint(1, 9, (5, 6), generator=generator)
    logp, *columns = (column.to(device) for column in (logp, ref_logp, length, label))
    return logp.requires_grad_(), ScoredSets(logp, *columns)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
def test_each_loss_and_its_gradient(loss):
    results = []
    for device in ("cpu", "cuda"):
        logp, sets = scored(device)
        losses = loss(sets)
        losses.sum().backward()
        results.append((losses, logp.grad))
    for on_cpu, on_gpu in zip(*results, strict=True):
        # Sums of 6 terms of up to 30 nats in another order, and tau of a rule by another path to the same root.
        assert_close(on_gpu, on_cpu.detach().numpy(), k=1e4, atol=1e-12)


@pytest.mark.parametrize("share", [True, False])
def test_log_probs(share):
    encoded = encode_sets(byte_tokenizer(), SETS)
    tables = [score_encoded(SetScorer(random_gpt2().to(device), share), encoded) for device in ("cpu", "cuda")]
    # The promise of score_sets: float32 sums of about 100 nats.
    assert (tables[0] - tables[1]).abs().max() < 1e-5


def test_bf16_log_probs_are_those_of_float32_to_the_digits_it_has():
    encoded = encode_sets(byte_tokenizer(), SETS)
    model = random_gpt2().to("cuda")
    exact, rough = (score_encoded(SetScorer(model, precision=each), encoded) for each in ("float32", "bf16"))
    # Per token logits of a few nats, off by a few of 2^-8 of themselves.
    assert (exact - rough).abs().max() < 0.02 * exact.abs().max()
    assert (exact - rough).abs().max() > 0


def test_greedy_answers():
    prompts = [[5, 6, 7], [8]]
    options = {"k": 2, "max_tokens": 5, "temperature": 0, "seed": 0, "ends": [[0], [0]]}
    on_cpu, on_gpu = (
        [*token_batches(random_gpt2().to(device), prompts, ["a", "b"], **options)] for device in ("cpu", "cuda")
    )
    assert on_cpu == on_gpu


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_run_is_that_of_the_cpu(tmp_path, precision):
    model = save_tiny(tmp_path / "base")
    options = {"loss": "dpo-smooth", "data": SETS[:2] * 4, "eval": SETS[2:], "model": model, "steps": 4, "lr": 1e-3}
    options |= {"sets_per_step": 4, "answers": 2, "progress": False, "precision": precision}
    on_cpu, on_gpu = (
        finetune(output=tmp_path / device, device=device, **options).run.log for device in ("cpu", "cuda")
    )
    for before, after in zip(on_cpu, on_gpu, strict=True):
        assert after["loss"] == pytest.approx(before["loss"], rel=1e-3 if precision == "float32" else 5e-2)
