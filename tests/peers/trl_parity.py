"""Compare our losses with TRL's own code, in value and in gradient, on the log-probs of single pairs: make peers.

TRL computes a loss inside a trainer, from what a model puts out. So each trainer is made without its constructor, with
the few attributes that its loss reads, and its model is replaced by the output of one that gives each response just
the log-prob that ours gets. From there on - means per token, NLL, loss - all that stands beside ours is TRL's code.
"""

import platform
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import NamedTuple

import torch
import transformers
import trl
from accelerate import Accelerator
from trl import DPOTrainer, GRPOTrainer
from trl.experimental.cpo import CPOTrainer
from trl.experimental.orpo import ORPOTrainer

from mapl_explore.losses import CDPO, CPO, DPO, GRPO, IPO, ORPO, Hinge, Loss, RobustDPO, ScoredSets, SimPO

COUNT, LONGEST, STEEPEST = 100, 40, 5.0  # random pairs; tokens a response; nats a token
CPU = Accelerator(cpu=True)
# A margin of up to 200 nats is off by some 200 eps before beta and the link; seen are 190. TRL's ORPO works in float32,
# on means per token; where its odds lose most, at 100 nats, the NLL outweighs them. Seen are 1.2 eps.
LIMITS = {"float64": 1000 * 2.0**-52, "float32": 16 * 2.0**-23}


class Pair(NamedTuple):
    """Log-probs, those of the reference, and tokens: of the chosen response, then of the rejected one."""

    logp: torch.Tensor
    ref_logp: torch.Tensor
    length: torch.Tensor


def pair(logp, ref_logp, length):
    return Pair(torch.tensor(logp).double(), torch.tensor(ref_logp).double(), torch.tensor(length))


def random_pair(generator):
    length = torch.randint(1, LONGEST + 1, (2,), generator=generator)
    logp, ref_logp = -STEEPEST * length * torch.rand(2, 2, generator=generator, dtype=torch.float64)
    return Pair(logp, ref_logp, length)


# Margins of +-100 nats, in log-probs, in means per token and in log-ratios; then +-200 in log-ratios; then none at all.
EXTREMES = [
    pair([-1, -101], [-1, -1], [1, 1]),
    pair([-101, -1], [-1, -1], [1, 1]),
    pair([-1, -101], [-101, -1], [1, 7]),
    pair([-101, -1], [-1, -101], [7, 1]),
    pair([-8, -8], [-8, -8], [4, 4]),
]
# In float32, which TRL's ORPO computes in, exp of these is 1.
ALMOST_CERTAIN = [pair([-1e-9, -6], [-1, -1], [1, 3]), pair([-6, -1e-9], [-1, -1], [3, 1])]


def everyday():
    generator = torch.Generator().manual_seed(0)
    return [random_pair(generator) for _ in range(COUNT)] + EXTREMES


def as_it_is(pair):
    return pair


def per_token(pair):
    return Pair(pair.logp / pair.length, pair.ref_logp / pair.length, torch.ones_like(pair.length))


def log_ratios(pair):
    return Pair(pair.logp - pair.ref_logp, torch.zeros_like(pair.ref_logp), pair.length)


def without_reference(pair):
    return pair._replace(ref_logp=torch.zeros_like(pair.ref_logp))


def response_mask(pair, prompt):
    """Return where the tokens of the responses stand (2, tokens), after the prompt and before the padding."""
    position = torch.arange(prompt + int(pair.length.max()))
    return (position >= prompt) & (position < prompt + pair.length[:, None])


def output(pair, prompt):
    """Return what a model with two words in its vocabulary puts out, if all that it reads is word 0."""
    mask = response_mask(pair, prompt)[:, 1:]
    # A nat for each token of the prompt and of the padding: whatever TRL does not mask will show.
    logps = torch.where(mask, (pair.logp / pair.length)[:, None], -1.0)
    odds = torch.nn.functional.pad(logps - torch.log(-torch.expm1(logps)), (0, 1))
    return SimpleNamespace(
        logits=torch.stack([odds, torch.zeros_like(odds)], dim=-1),
        log_probs=torch.where(mask, logps, 0.0),  # DPOTrainer takes them as its patched model gives them: masked
        **dict.fromkeys(("entropy", "mean_logits"), torch.zeros_like(logps)),
        is_top1=mask,
    )


def bare(kind, **attributes):
    """Return a trainer that can do nothing but its loss."""
    trainer = object.__new__(kind)
    trainer.__dict__.update(accelerator=CPU, aux_loss_enabled=False, **attributes)
    return trainer


def dpo(loss, pair, prompt, loss_type="sigmoid"):
    """Return DPOTrainer's loss."""
    trainer = bare(
        DPOTrainer, model=SimpleNamespace(training=True), beta=loss.beta, loss_types=[loss_type], loss_weights=[1.0]
    )
    trainer.label_smoothing = getattr(loss, "smoothing", 0.0)
    trainer.__dict__.update(ld_alpha=None, f_divergence_type="reverse_kl", use_weighting=False)
    trainer.__dict__.update(
        precompute_ref_logps=True, _metrics=defaultdict(lambda: defaultdict(list)), _total_train_tokens=0, _tp_size=1
    )
    mask = response_mask(pair, prompt).long()
    inputs = {"input_ids": torch.zeros_like(mask), "attention_mask": torch.ones_like(mask), "completion_mask": mask}
    inputs |= {"ref_chosen_logps": pair.ref_logp[:1], "ref_rejected_logps": pair.ref_logp[1:]}
    return trainer.compute_loss(lambda **_: output(pair, prompt), inputs)


def cpo(loss, pair, prompt, loss_type="sigmoid"):
    """Return CPOTrainer's loss."""
    trainer = bare(CPOTrainer, beta=loss.beta, loss_type=loss_type, cpo_alpha=loss.nll, alpha=0.0)
    trainer.label_smoothing = getattr(loss, "smoothing", 0.0)
    trainer.__dict__.update(simpo_gamma=getattr(loss, "gamma", None), is_encoder_decoder=False, pad_token_id=0)
    return trainer.get_batch_loss_metrics(lambda *_, **__: output(pair, prompt), batch(pair, prompt))[0]


def orpo(loss, pair, prompt):
    """Return ORPOTrainer's loss."""
    trainer = bare(ORPOTrainer, beta=loss.lam, is_encoder_decoder=False, padding_value=0)
    return trainer.get_batch_loss_metrics(lambda *_, **__: output(pair, prompt), batch(pair, prompt))[0]


def grpo(loss, pair, prompt):
    """Return GRPOTrainer's loss with a ratio for each response; it standardises rewards before, so it is given ours."""
    trainer = bare(GRPOTrainer, beta=loss.beta, loss_type="grpo", importance_sampling_level="sequence")
    trainer.__dict__.update(epsilon_low=loss.clip, epsilon_high=loss.clip, current_gradient_accumulation_steps=1)
    trainer.__dict__.update(top_entropy_quantile=1.0, off_policy_mask_threshold=None, use_vllm=False)
    trainer.__dict__.update(_entropy_bonus_enabled=False, model=SimpleNamespace(training=True))
    trainer.args = SimpleNamespace(delta=None, use_bias_correction_kl=False)
    trainer._metrics = defaultdict(lambda: defaultdict(list))
    mask = response_mask(pair, 0).double()
    logps, ref_logps = (mask * (sums / pair.length)[:, None] for sums in (pair.logp, pair.ref_logp))
    trainer._get_per_token_logps_and_entropies = lambda *_, **__: (logps, torch.zeros_like(logps), None)
    inputs = dict.fromkeys(("completion_ids", "completion_mask"), mask) | {"advantages": torch.tensor([1.0, -1.0])}
    inputs |= dict.fromkeys(("prompt_ids", "prompt_mask"), mask[:, :prompt])
    inputs |= dict.fromkeys(("old_per_token_logps", "ref_per_token_logps"), ref_logps)
    return trainer.compute_loss(None, inputs)


def batch(pair, prompt):
    """Return a batch of one pair, as CPOTrainer and ORPOTrainer take it, each side as long as it is."""
    tensors = {}
    for side, length in zip(("chosen", "rejected"), pair.length.tolist(), strict=True):
        words = torch.zeros(1, prompt + length, dtype=torch.long)
        labels = words.masked_fill(torch.arange(prompt + length) < prompt, -100)
        tensors |= {
            f"{side}_input_ids": words,
            f"{side}_attention_mask": torch.ones_like(words),
            f"{side}_labels": labels,
        }
    return tensors


@dataclass(frozen=True)
class Comparison:
    """A loss of ours, the log-probs it is given, and what stands beside it; ``why`` they differ, if they are to."""

    loss: Loss
    theirs: Callable
    loss_type: str = ""
    view: Callable = as_it_is
    pairs: tuple = tuple(everyday())
    prompt: int = 1  # a model gives the first token no probability, so that a prompt of one token costs nothing
    dtype: str = "float64"  # TRL's
    why: str = ""

    def differences(self):
        """Return the largest relative difference in value and in gradient."""
        return torch.stack([self._differences(pair) for pair in self.pairs]).amax(dim=0).tolist()

    def _differences(self, pair):
        ours, theirs = graded(self._ours, pair), graded(self._theirs, pair)
        if not all(bool(part.isfinite().all()) for part in ours):
            sys.exit(f"{self.loss} is not finite at {pair}: {ours}")
        return torch.stack([apart(*parts) for parts in zip(theirs, ours, strict=True)])

    def _ours(self, pair):
        return self.loss(ScoredSets(*self.view(pair), label=torch.tensor([1, -1])))

    def _theirs(self, pair):
        return self.theirs(self.loss, pair, self.prompt, *filter(None, [self.loss_type]))

    def verdict(self, differences):
        agrees = all(difference <= LIMITS[self.dtype] for difference in differences)
        if self.why:
            return "NO LONGER DIFFERS" if agrees else f"on purpose: {self.why}"
        return "agrees" if agrees else "DIFFERS"


def graded(function, pair):
    """Return the value of a function of a pair, and its gradient in the two log-probs."""
    logp = pair.logp.clone().requires_grad_()
    value = function(pair._replace(logp=logp))
    return value.detach(), torch.autograd.grad(value, logp)[0]


def apart(theirs, ours):
    """Return the largest difference, relative to the largest number of both; NaN stays NaN."""
    return (theirs - ours).abs().max() / torch.maximum(theirs.abs(), ours.abs()).max().clamp(min=1e-300)


IPO_WHY = "TRL takes the mean log-ratio per token, ours the sum, as in the paper"
HINGE_WHY = "TRL compares log-ratios, ours log-probs, as in SLiC-HF"
PROMPT_WHY = "TRL's NLL covers the prompt's tokens too"
FAR_WHY = "from 64 nats a token on, our exp goes on along its tangent, to stay finite in float32"
CERTAIN_WHY = "from p = 1 - 3e-8 on, TRL's gradient is NaN, ours finite"

# Beta and its like are none of the defaults, so that none can be forgotten unnoticed.
COMPARISONS = [
    Comparison(DPO(beta=0.3), dpo, "sigmoid"),
    Comparison(RobustDPO(beta=0.3, smoothing=0.2), dpo, "robust"),
    Comparison(CDPO(beta=0.3, smoothing=0.2), cpo, "sigmoid", view=without_reference),
    Comparison(GRPO(clip=0.3, beta=0.1), grpo, pairs=tuple(everyday()[:COUNT])),
    Comparison(GRPO(clip=0.3, beta=0.1), grpo, pairs=tuple(EXTREMES), why=FAR_WHY),
    Comparison(IPO(beta=0.2), dpo, "ipo", why=IPO_WHY),
    Comparison(IPO(beta=0.2), dpo, "ipo", view=per_token),
    Comparison(Hinge(beta=0.05), dpo, "hinge", why=HINGE_WHY),
    Comparison(Hinge(beta=0.05), dpo, "hinge", view=log_ratios),
    Comparison(Hinge(beta=0.05), cpo, "hinge"),
    Comparison(CPO(beta=0.3, alpha=0.7), cpo, "sigmoid"),
    Comparison(SimPO(beta=1.5, gamma=0.8), cpo, "simpo"),
    Comparison(ORPO(lam=0.3), orpo, dtype="float32"),
    Comparison(ORPO(lam=0.3), orpo, prompt=5, dtype="float32", why=PROMPT_WHY),
    Comparison(ORPO(lam=0.3), orpo, pairs=tuple(ALMOST_CERTAIN), dtype="float32", why=CERTAIN_WHY),
]


def main():
    versions = {"trl": trl, "torch": torch, "transformers": transformers}
    named = ", ".join(f"{name} {module.__version__}" for name, module in versions.items())
    print(f"python {platform.python_version()}, {named}; {COUNT} random pairs and {len(EXTREMES)} extreme ones")
    print(f"{'loss':<10}{'given':<18}{'beside':<24}{'value':>10}{'gradient':>10}  verdict")
    verdicts = [report(comparison) for comparison in COMPARISONS]
    sys.exit(any(verdict.isupper() for verdict in verdicts))


def report(comparison):
    """Print one line of the table; return the verdict, in capitals where something is wrong."""
    differences = comparison.differences()
    verdict, view = comparison.verdict(differences), comparison.view.__name__.replace("_", " ")
    theirs = f"{comparison.theirs.__name__.upper()}Trainer {comparison.loss_type}"
    value, gradient = (f"{difference:.1e}" for difference in differences)
    print(f"{type(comparison.loss).__name__:<10}{view:<18}{theirs:<24}{value:>10}{gradient:>10}  {verdict}")
    return verdict


if __name__ == "__main__":
    main()
