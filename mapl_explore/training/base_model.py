"""The model that a run begins with: read by its name or given itself, and its weights kept to compare with."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch
import transformers

from mapl_explore.models.adapters import is_wrapped, obstacle, unwrapped, with_adapters
from mapl_explore.models.checking import (
    require_embeddings,
    require_finite,
    require_tokenizer,
    require_tokenizer_object,
    told_of,
)
from mapl_explore.models.choices import BF16_WEIGHTS, FLOAT32
from mapl_explore.models.kinds import Model
from mapl_explore.models.loading import folders_of, load_model, load_tokenizer, weights_type
from mapl_explore.models.model_folder import changed_weights
from mapl_explore.models.scorer import SetScorer
from mapl_explore.notes import note
from mapl_explore.training.own_loss import kind_of
from mapl_explore.training.settings import Settings, name_of

ModelAndTokenizer = tuple[transformers.PreTrainedModel, transformers.PreTrainedTokenizerBase]


def base_model(model: Any, device: str | torch.device, precision: str = FLOAT32) -> ModelAndTokenizer:
    """Return the model that a run begins with, on a device, and its tokenizer.

    Parameters
    ----------
    model : str, PreTrainedModel or pair (PreTrainedModel, PreTrainedTokenizerBase)
        A name is read by :func:`mapl_explore.load_model`. A model given itself, perhaps in peft's wrapper, is returned,
        in evaluation mode.
    device : str or torch.device
        Where the model is put.
    precision : {"float32", "bf16", "bf16-weights"}
        Says of which type the weights of a model with a name will be.

    Raises
    ------
    OSError
        If the model or its tokenizer cannot be read.
    ValueError
        If the two do not fit together, no tokenizer is given and the model has no name to read one from, or a weight
        is NaN or infinite.
    """
    named = isinstance(model, str)
    network, tokenizer = (
        load_model(model, device=device, dtype=weights_type(precision)) if named else _given(model, device)
    )
    require_finite(network, model if named else network.name_or_path or type(network).__name__)
    return network, tokenizer


def adapted_model(settings: Settings, network: Any) -> Any:
    """Return the model with the adapters that are asked for; say where they are put on others, or are missed."""
    apart = is_wrapped(network) != (settings.lora is not None) and not settings.merge  # both are refused below
    lost = _why_lost(unwrapped(network)) if apart and not isinstance(settings.model, str) else ""
    if lost and settings.lora is not None:
        raise ValueError(f"{lost}: merge=True writes the whole model; or save it first, and give what is read there")
    if lost:
        note(f"{lost}: save the model below them as well")
    if settings.lora is None:
        if settings.precision == BF16_WEIGHTS and not is_wrapped(network):
            note(
                f"precision {BF16_WEIGHTS!r}: a weight moves by at least a 256th of itself or not at all, so that small"
                " updates are lost; adapters (lora) stay in float32"
            )
        return network
    if not settings.merge and len(folders_of(network.name_or_path)) > 1:
        others = "mapl_explore reads the two together, and other tools cannot; merge writes a model that they read"
        note(f"the adapters are put on those of {network.name_or_path!r}: {others}")
    return with_adapters(network, cast(Mapping[str, Any], settings.lora), seed=settings.seed)


def _why_lost(network: Model) -> str:
    """Return why a model that was given itself cannot be read again below the adapters that are saved; "" if it can."""
    name = network.name_or_path
    folders = folders_of(name) if name else []
    if not folders:
        return "adapters need a model that is found again, which has a folder or a name on the hub"
    changed = [] if len(folders) > 1 else changed_weights(network, folders[0])
    return f"adapters would be read on {name!r}, and {changed[0]} of model is another than there" if changed else ""


def require_trainable(model: Any, precision: str = FLOAT32) -> None:
    """Raise TypeError unless this is a model of ``transformers``, or a pair of one and its tokenizer.

    Raises ValueError, with the reason, if it is one that cannot be trained here in this precision.
    """
    network, tokenizer = _pair(model)
    if not isinstance(unwrapped(network), transformers.PreTrainedModel):
        kinds = "the name of a folder, a model of transformers or a pair (model, tokenizer)"
        raise TypeError(f"model must be {kinds}, not {kind_of(network)}{_way_out(network)}")
    if tokenizer is not None:
        require_tokenizer_object(tokenizer)
    reason = next((reason for reason in _obstacles(network, precision) if reason), None)
    if reason:
        raise ValueError(f"model must be one that can be trained, and this {type(network).__name__} {reason}")


class BaseWeights:
    """The weights that a run begins with, kept on the CPU: as much memory as the weights that are trained.

    Of a model with adapters these are the adapters, which at first change nothing.

    Parameters
    ----------
    network : PreTrainedModel
        The model before its training.
    """

    def __init__(self, network: torch.nn.Module):
        self._kept = [weights.detach().to("cpu", copy=True) for weights in _trained(network)]

    @contextlib.contextmanager
    def within(self, network: torch.nn.Module) -> Iterator[None]:
        """Let a model compute as it did before its training, as long as the block runs."""
        self._exchange(network)
        try:
            yield
        finally:
            self._exchange(network)

    @contextlib.contextmanager
    def scorer(self, of: SetScorer) -> Iterator[SetScorer]:
        """Lend the scorer of a model before its training, given that of now; within the block there is no other one."""
        with self.within(of.model):
            yield of

    @torch.no_grad()
    def _exchange(self, network: torch.nn.Module) -> None:
        # One after another, so that at no time two whole models are on a GPU.
        for weights, kept in zip(_trained(network), self._kept, strict=True):
            present = weights.detach().to("cpu", copy=True)
            weights.copy_(kept)
            kept.copy_(present)


class OtherModel:
    """A model that another one is compared with; on a GPU only as long as it computes.

    Parameters
    ----------
    network : PreTrainedModel
        The model.
    precision : {"float32", "bf16", "bf16-weights"}
        In which it computes.
    """

    def __init__(self, network: transformers.PreTrainedModel, precision: str = "float32"):
        self._scorer = SetScorer(network, precision=precision)

    @property
    def network(self) -> transformers.PreTrainedModel:
        """Return the model."""
        return self._scorer.model

    @contextlib.contextmanager
    def scorer(self, of: SetScorer) -> Iterator[SetScorer]:
        """Lend its scorer, on the device of another one."""
        before = next(self._scorer.parameters()).device
        self._scorer.to(next(of.parameters()).device)
        try:
            yield self._scorer
        finally:
            self._scorer.to(before)


def reference_model(model: Any, base: transformers.PreTrainedModel, precision: str) -> OtherModel | None:
    """Return the model that a run is compared with, given itself or by its name; None where it is the base.

    Raises
    ------
    OSError
        If the model cannot be read.
    ValueError
        If it is the model that is trained, or a weight is NaN or infinite.
    """
    if model is None:
        return None
    if unwrapped(model) is unwrapped(base):
        raise ValueError("reference must be another model than model, which is trained in place; leave it out for that")
    network, name = model, name_of(model) or type(model).__name__
    with told_of("reference", name):
        if isinstance(model, str):
            network, _ = load_model(model, dtype=weights_type(precision))
        require_finite(network, name)
    return OtherModel(network, precision)


def _trained(network: torch.nn.Module) -> list[torch.nn.Parameter]:
    """Return the weights that an optimizer changes; those that two layers share are there once."""
    return [weights for weights in network.parameters() if weights.requires_grad]


def _pair(model: Any) -> tuple[Any, Any]:
    """Return a model and the tokenizer given with it, None without one."""
    return model if isinstance(model, tuple) and len(model) == 2 else (model, None)


def _given(model: Any, device: str | torch.device) -> ModelAndTokenizer:
    network, given = _pair(model)
    tokenizer = _tokenizer_of(network) if given is None else given
    source = tokenizer.name_or_path or type(tokenizer).__name__
    require_tokenizer(tokenizer, source)
    require_embeddings(tokenizer, network, source)
    return network.to(device).eval(), tokenizer


def _tokenizer_of(network: transformers.PreTrainedModel) -> transformers.PreTrainedTokenizerBase:
    """Return the tokenizer from where a model was read."""
    advice = "give the pair (model, tokenizer)"
    if not network.name_or_path:
        raise ValueError(f"model has no name to read its tokenizer from: {advice}")
    try:
        return load_tokenizer(network.name_or_path)
    except OSError as error:
        raise OSError(f"no tokenizer is given with model, and {error}: {advice}") from error


def _way_out(model: Any) -> str:
    """Return what to give in the place of a compiled model."""
    return ": give its _orig_mod, the model that torch.compile was given" if hasattr(model, "_orig_mod") else ""


def _obstacles(network: transformers.PreTrainedModel, precision: str) -> Iterator[str]:
    """Yield each reason why a model cannot be trained here, and an empty text where there is none."""
    weights = list(network.parameters())
    wanted = str(weights_type(precision))
    # Adapters are in float32 on weights of any type.
    kinds = {str(each.dtype) for each in weights if not (is_wrapped(network) and each.requires_grad)} - {wanted}
    places = {str(each.device) for each in weights}
    yield "is quantised: load it without quantization_config" * bool(getattr(network, "is_quantized", False))
    yield obstacle(network)
    yield "has its weights on the device 'meta', so it has none: load them" * ("meta" in places)
    yield f"is on several devices ({', '.join(sorted(places))}): load it without device_map" * (len(places) > 1)
    way = "call its float() first" if precision != BF16_WEIGHTS else "call its bfloat16() first"
    hint = f"; precision {BF16_WEIGHTS!r} trains these" if kinds == {"torch.bfloat16"} else ""
    yield f"has weights in {', '.join(sorted(kinds))}, not {wanted.removeprefix('torch.')}: {way}{hint}" * bool(kinds)
    yield "has no weight that requires_grad" * (not any(each.requires_grad for each in weights))
