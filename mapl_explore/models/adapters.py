"""Adapters of peft on a causal language model: few weights, which are trained in place of the model's own."""

import contextlib
import importlib.util
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers.pytorch_utils import Conv1D

from mapl_explore.models.kinds import Model
from mapl_explore.models.model_folder import ADAPTER_CONFIG, ADAPTERS, GENERATION, INDEX

WHOLE = ("model*.safetensors", "config.json", GENERATION, INDEX)  # the files of a whole model
LINEAR = (torch.nn.Linear, Conv1D)  # the latter is GPT-2's
RECORD = "run.json"  # of the run that adapters come from, where it is one of finetune
ONE = "default"  # what peft calls an adapter that was given no name


def require_peft(what: str) -> None:
    """Raise ImportError unless peft is installed."""
    if importlib.util.find_spec("peft") is None:
        raise ImportError(f"{what} needs peft, which is not installed: pip install 'mapl_explore[lora]'")


def is_wrapped(model: object) -> bool:
    """Return whether this is peft's wrapper of a model."""
    return hasattr(model, "get_base_model")


def unwrapped(model: Any) -> Model:
    """Return the model of ``transformers`` inside peft's wrapper, which has put adapters into it; else the model."""
    # The wrapper's forward takes neither positions nor for how many tokens logits are wanted.
    return model.get_base_model() if is_wrapped(model) else model


def obstacle(model: Any) -> str:
    """Return why the adapters of a model cannot be trained or saved here, "" where there is nothing against it."""
    if not is_wrapped(model):
        found = any(hasattr(module, "get_base_layer") for module in model.modules())
        return "has adapters without peft's model around it: give what get_peft_model returned" * found
    config = model.active_peft_config
    if config.peft_type != "LORA":
        return f"has adapters of the kind {config.peft_type.value}, not LORA"
    if getattr(config, "alora_invocation_tokens", None):
        return "has adapters that begin at a token (alora_invocation_tokens)"
    if list(model.peft_config) != [ONE]:
        return f"has the adapters {', '.join(model.peft_config)}, not one alone that is named {ONE}"
    return "has adapters on its head, which is tied to its embeddings: merged they would change both" * _on_tied(model)


def _on_tied(model: Any) -> bool:
    """Return whether peft has replaced the embeddings or the head of a model in which the two are one."""
    tables = model.get_input_embeddings(), model.get_output_embeddings()
    replaced = any(hasattr(table, name) for table in tables for name in ("get_base_layer", "modules_to_save"))
    return replaced and bool(model.config.get_text_config().tie_word_embeddings)


def with_adapters(model: Model, options: Mapping[str, Any], *, seed: int) -> Any:
    """Return peft's wrapper of a model with LoRA in it, which changes no log-prob before its training.

    Parameters
    ----------
    model : PreTrainedModel
        Changed in place: its layers get adapters, and these alone require gradients.
    options : mapping
        ``r``, ``alpha``, ``targets``, ``rslora`` and ``dora``.
    seed : int
        Of the first weights of the adapters.

    Raises
    ------
    ValueError
        If the model has adapters; or a target is not in it, or can have none.
    """
    if is_wrapped(model):
        raise ValueError("lora must not be given with a model that has adapters: these are trained")
    from peft import LoraConfig, get_peft_model  # 1 s, for runs with adapters alone

    targets = options["targets"]
    scale = {"lora_alpha": options["alpha"], "use_rslora": options["rslora"]}
    config = LoraConfig("CAUSAL_LM", r=options["r"], target_modules=targets, use_dora=options["dora"], **scale)
    names = [f".{name}" for name, _ in model.named_modules()]
    trained = _trained(model)
    has = f"; its linear layers are {', '.join(linear_names(model))}"
    for target in [] if isinstance(targets, str) else targets:
        if not any(name.endswith(f".{target}") for name in names):
            raise ValueError(f"lora: targets must be layers of {type(model).__name__}, which has no {target!r}{has}")
    with _quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            wrapped = get_peft_model(model, config)
        except ValueError as error:
            raise ValueError(f"lora: {' '.join(str(error).split()).rstrip('.')}{has}") from error
    if reason := obstacle(wrapped):
        wrapped.unload()
        _unfreeze(trained)
        raise ValueError(f"lora: targets must be other layers, for so {type(model).__name__} {reason}{has}")
    name = model.name_or_path or ""
    if os.path.isdir(name):  # the adapters are read from other folders than this one, too
        config.base_model_name_or_path = os.path.abspath(name)
    return wrapped


def linear_names(model: Model) -> list[str]:
    """Return the last names of the linear layers of a model, each once and without its head: what targets may name."""
    head = model.get_output_embeddings()
    linear = [name for name, one in model.named_modules() if isinstance(one, LINEAR) and one is not head]
    return list(dict.fromkeys(name.rpartition(".")[2] for name in linear))


def save_weights(model: Any, folder: str | os.PathLike, weights: dict[str, Any] | None = None) -> None:
    """Write a model, or of a wrapped one the adapters alone, as its own library reads them; or with other weights."""
    # Without this word peft asks the hub whether the base has been given more tokens.
    options: dict[str, Any] = {"save_embedding_layers": False} if is_wrapped(model) else {}
    model.save_pretrained(folder, **options | ({"state_dict": weights} if weights else {}))


def replace_weights(model: Any, folder: str | os.PathLike) -> None:
    """Write a model, or adapters, in place of the adapters or the model that a folder holds."""
    save_weights(model, folder)
    # A folder with both is read as that model with these adapters on top of it.
    for pattern in WHOLE if is_wrapped(model) else (ADAPTERS, ADAPTER_CONFIG):
        for path in Path(folder).glob(pattern):
            path.unlink()


def read_adapters(model: Any, folder: str | os.PathLike) -> None:
    """Give a wrapped model the weights of the adapters in a folder.

    Raises
    ------
    ValueError
        If they are not those of such a model, or one is NaN or infinite.
    """
    from peft import get_peft_model_state_dict, set_peft_model_state_dict

    saved = load_file(Path(folder) / ADAPTERS)
    own, with_embeddings = (get_peft_model_state_dict(model, save_embedding_layers=each) for each in (False, True))
    own |= {name: with_embeddings[name] for name in saved.keys() & with_embeddings.keys()}
    for name in sorted(own.keys() | saved.keys()):
        there, here = (each[name].shape if name in each else None for each in (saved, own))
        if there != here:
            sizes = " and ".join("not there" if each is None else str(tuple(each)) for each in (there, here))
            raise ValueError(f"they are of another model: {name} in the file and in the model is {sizes}")
        if not saved[name].isfinite().all():
            raise ValueError(f"they must be finite, but {name} holds a NaN or inf")
    set_peft_model_state_dict(model, saved)


def merged(model: Model, folder: str | os.PathLike) -> Model:
    """Return a model, changed in place, whose weights are its own and those of the adapters in a folder together."""
    from peft import PeftConfig, get_peft_model

    with _quiet(), torch.random.fork_rng(devices=[]):  # what is drawn is read over
        _resize(model, folder)
        trained = _trained(model)
        wrapped = get_peft_model(model, PeftConfig.from_pretrained(os.fspath(folder)))
    reason = obstacle(wrapped)
    if reason:
        raise ValueError(f"it {reason}")
    read_adapters(wrapped, folder)
    whole = wrapped.merge_and_unload()
    _unfreeze(trained)
    return whole


def _trained(model: Model) -> list[torch.nn.Parameter]:
    return [weights for weights in model.parameters() if weights.requires_grad]


def _unfreeze(trained: list[torch.nn.Parameter]) -> None:
    """Let weights be trained again, which peft has frozen."""
    for weights in trained:
        weights.requires_grad_(True)


def recorded_base(model: Model, folder: str | os.PathLike) -> tuple[str, str] | None:
    """Return checksum and precision of the weights that adapters were trained on, as the record next to them tells.

    None where there is no such record; or where tokens had been added to the model, whose weights are then no base's.
    """
    try:
        record = json.loads((Path(folder) / RECORD).read_text(encoding="utf-8"))
        known = str(record["weights_checksum"]), str(record["arguments"]["precision"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return None if _saved_rows(model, folder) else known


def _resize(model: Model, folder: str | os.PathLike) -> None:
    """Give a model as many embeddings as adapters were saved with, where tokens had been added to it before."""
    rows = _saved_rows(model, folder)
    table: Any = model.get_input_embeddings()
    if rows and rows != {len(table.weight)}:
        model.resize_token_embeddings(max(rows), mean_resizing=False)


def _saved_rows(model: Model, folder: str | os.PathLike) -> set[int]:
    """Return how many embeddings are saved whole with adapters; nothing where none are."""
    table: Any = model.get_input_embeddings()
    [prefix] = [f"base_model.model.{name}." for name, module in model.named_modules() if module is table]
    saved = load_file(Path(folder) / ADAPTERS)
    whole = [name for name in saved if name.startswith(prefix) and name.endswith("weight") and "lora_" not in name]
    return {len(saved[name]) for name in whole}


def merged_in(wrapped: Any) -> Model:
    """Return the model inside a wrapped one with its adapters merged into it: in float32.

    Where its weights are in bfloat16 that is done on the CPU: in bfloat16 itself, a weight that is larger than 512
    times what is added to it would stay as it is.
    """
    if any(weights.dtype == torch.bfloat16 for weights in wrapped.parameters()):
        wrapped = wrapped.to("cpu", torch.float32)
    return wrapped.merge_and_unload()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence peft's warnings: it sets right what they are about, such as GPT-2's transposed layers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
