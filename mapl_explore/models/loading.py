"""Causal language models and their tokenizers, from a folder, from the hub, or from this package."""

import contextlib
import hashlib
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import huggingface_hub
import torch
import transformers

from mapl_explore.files import shipped, shortened
from mapl_explore.models.adapters import merged, recorded_base, require_peft
from mapl_explore.models.checking import VOCABULARIES, require_embeddings, require_tokenizer, vocabulary_advice
from mapl_explore.models.choices import BF16_WEIGHTS
from mapl_explore.models.kinds import Model, Tokenizer
from mapl_explore.models.model_folder import (
    ADAPTER_CONFIG,
    INDEX,
    WEIGHTS,
    base_of_adapters,
    holds_adapters,
    readable,
    require_adapters,
    require_all_weights,
    require_files,
)
from mapl_explore.notes import note

Read = TypeVar("Read")
OF_ADAPTERS = "*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"  # the files to fetch: no pickle
HUB_TIMEOUT = 5.0  # seconds to find out whether the hub can be reached at all


def load_model(
    name: str | os.PathLike = "tiny", *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[Model, Tokenizer]:
    """Return a causal language model in evaluation mode (no dropout), and its tokenizer.

    Weights are read from safetensors only, and code that comes with a model is never run. A hub model that was fetched
    before is read from this machine without asking the hub.

    Parameters
    ----------
    name : str or path
        ``"tiny"``, the small GPT-2 that comes with this package; a folder; or a name on the Hugging Face hub. Adapters
        of peft (LoRA) are merged into the model that their ``adapter_config.json`` names, by a folder or on the hub; a
        :class:`~mapl_explore.notes.Note` says so.
    device : str or torch.device
        Where the model is put.
    dtype : torch.dtype
        The type of its weights, whichever they are stored in. Adapters are merged in float32 and rounded then: in
        bfloat16 a weight that is larger than 512 times what is added to it would stay as it is.

    Returns
    -------
    model, tokenizer
        Of ``transformers``. A tokenizer without a padding token pads with its end-of-text token.

    Raises
    ------
    TypeError
        If the name is neither text nor a path.
    OSError
        If the model is not there, is damaged or not complete, has weights for layers that its configuration does not
        name, or has to come from a hub that cannot be reached.
    ValueError
        If the device is not there, or the tokenizer makes nothing of text, has more tokens than the model has
        embeddings, or has no end-of-text token: nothing would say where a response ends.
    ImportError
        If it has adapters, and peft is not installed.

    Examples
    --------
    >>> model, tokenizer = load_model("tiny")
    >>> model.training
    False
    """
    if not isinstance(name, str | os.PathLike):
        raise TypeError(f"name must be that of a model or of its folder, not {shortened(name)}")
    _require_device(device)
    source = os.fspath(name)
    bases = _bases(source)
    model, tokenizer = _fitting(source, dtype=dtype)
    if bases := bases or _bases(source):  # of adapters that were fetched meanwhile, too
        note(f"{source!r} holds adapters: they are merged into {', on '.join(map(repr, bases))}")
    model.to(device)  # type: ignore[arg-type]  # transformers wraps it, and its types are lost
    return model.eval(), tokenizer


def load_outline(name: str | os.PathLike) -> tuple[Model, Tokenizer]:
    """Return a model without its weights, on the device "meta", and its tokenizer, in seconds.

    Of the weights the names and sizes are read; what is raised is what :func:`load_model` raises.
    """
    with warnings.catch_warnings():
        # Adapters are merged, too: that makes nothing, and torch says so of each.
        warnings.filterwarnings("ignore", ".*copying from a non-meta parameter", UserWarning)
        return _fitting(os.fspath(name), dtype=torch.float32, device_map="meta")


def _fitting(source: str, **options: Any) -> tuple[Model, Tokenizer]:
    """Return a model and a tokenizer that fits it."""
    model, tokenizer = _read_by_name(source, _model, given=source, **options)
    require_tokenizer(tokenizer, source)
    require_embeddings(tokenizer, model, source)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model, tokenizer


def weights_type(precision: str) -> torch.dtype:
    """Return the type of weights in a precision, one of ``choices.PRECISIONS``."""
    return torch.bfloat16 if precision == BF16_WEIGHTS else torch.float32


def load_tokenizer(name: str | os.PathLike) -> Tokenizer:
    """Return the tokenizer of a model alone, as it is; the name and what is raised are those of :func:`load_model`."""
    return _read_by_name(name, _tokenizer)


def folder_of(name: str | os.PathLike) -> Path | None:
    """Return the folder that a model is read from; None for one on the hub that was not fetched before."""
    source = str(shipped("data") / "tiny-gpt2") if name == "tiny" else os.fspath(name)
    if os.path.isdir(source):
        return Path(source)
    try:
        return Path(huggingface_hub.snapshot_download(source, local_files_only=True))
    except (OSError, ValueError):
        return None


def folders_of(name: str | os.PathLike) -> list[Path]:
    """Return the folder of a model and, of adapters, those of what they are merged into; none if one is not here."""
    found = [folder_of(each) for each in (name, *_bases(name))]
    return [] if None in found else [folder for folder in found if folder]


def _bases(name: str | os.PathLike, above: tuple[Path, ...] = ()) -> list[str]:
    """Return the name of the model that adapters belong to and, where that holds adapters itself, so on."""
    folder = folder_of(name)
    if folder is None or not holds_adapters(str(folder)):
        return []
    if (place := folder.resolve()) in above:
        raise OSError(f"{str(folder)!r} holds adapters of adapters that belong to itself: no model is below them")
    base = base_of_adapters(str(folder))
    return [base, *_bases(base, (*above, place))]


def _require_device(device: str | torch.device) -> None:
    try:
        torch.zeros(1, device=device).item()
    except Exception as error:  # torch asserts where CUDA is not built in
        raise ValueError(f"device must be one that torch can use here, such as 'cpu', not {device!r}") from error


def weights_checksum(model: torch.nn.Module, dtype: torch.dtype | None = None) -> str:
    """Return the sha256 of the names and bytes of all weights of a model, whatever device they are on.

    With a ``dtype`` it is that of a model whose weights are of this type.
    """
    digest = hashlib.sha256()
    for name, stored in model.state_dict().items():
        weights = stored.to(dtype) if dtype and stored.is_floating_point() else stored
        digest.update(name.encode())
        digest.update(weights.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence the weight-loading bars and advice of ``transformers`` inside a block; errors are still raised."""
    log = transformers.utils.logging
    verbosity, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)
        if bars:
            log.enable_progress_bar()


def _read_by_name(name: str | os.PathLike, read: Callable[..., Read], **options: Any) -> Read:
    """Return what a function reads of a model with such a name, from the folder that has it, or from the hub."""
    source = str(shipped("data") / "tiny-gpt2") if name == "tiny" else os.fspath(name)
    if os.path.isfile(source):
        raise OSError(f"{source!r} is a file, not the folder of a model")
    return read(source, **options) if os.path.isdir(source) else _from_hub(source, read, **options)


def _model(source: str, *, given: str, dtype: torch.dtype, **options: Any) -> tuple[Model, Tokenizer]:
    if os.path.isdir(source) and holds_adapters(source):
        return _from_adapters(source, given, dtype, **options)
    if os.path.isdir(source):
        with quiet_transformers():
            require_files(source)
    return _from_pretrained(source, dtype=dtype, **options)


def _from_adapters(source: str, name: str, dtype: torch.dtype, **options: Any) -> tuple[Model, Tokenizer]:
    """Return the model that adapters belong to, with them merged into it."""
    base = base_of_adapters(source)
    require_peft(f"the folder of adapters {name!r}")
    try:
        model, _ = _read_by_name(base, _model, given=base, dtype=torch.float32, **options)
    except OSError as error:
        advice = f"; base_model_name_or_path in its {ADAPTER_CONFIG} names that model, and may be changed"
        raise OSError(f"{name!r} holds adapters of a model that cannot be read: {error}{advice}") from error
    with quiet_transformers(), readable(source, f"no adapters of {base!r}"):
        _note_other_base(model, source, base)
        model = merged(model, source)
        model.to(dtype)  # type: ignore[arg-type]  # as above
    model.name_or_path = name  # adapters of this model are not adapters of its base
    return model, _tokenizer(source)


def _note_other_base(model: Model, source: str, base: str) -> None:
    """Say where a model has other weights than those that adapters were trained on; an outline has none."""
    known = None if model.device.type == "meta" else recorded_base(model, source)
    if known and weights_checksum(model, weights_type(known[1])) != known[0]:
        note(
            f"{source!r} holds adapters that were trained on other weights than {base!r} has now: they fit them no more"
        )


def _from_hub(name: str, read: Callable[..., Read], **options: Any) -> Read:
    """Return what a function reads of a model on the hub, of a copy that was fetched before if there is one."""
    folder = folder_of(name)
    if folder is not None and holds_adapters(str(folder)):
        return read(str(folder), **options)
    with contextlib.suppress(OSError):
        return read(name, local_files_only=True, **options)
    files = _files_on_hub(name)
    if ADAPTER_CONFIG in files and not files & {WEIGHTS, INDEX}:
        require_adapters(name, files)
        return read(huggingface_hub.snapshot_download(name, allow_patterns=[*OF_ADAPTERS]), **options)
    return read(name, **options)


def _files_on_hub(name: str) -> set[str]:
    """Return the names of the files of a model on the hub, or raise OSError."""
    # transformers would retry for minutes where there is no network, so one short question goes first.
    try:
        found = huggingface_hub.HfApi().model_info(name, timeout=HUB_TIMEOUT)
        return {each.rfilename for each in found.siblings or []}
    except huggingface_hub.errors.HFValidationError:
        raise OSError(f"no folder {name!r}, and no name a model on the hub can have") from None
    except huggingface_hub.errors.RepositoryNotFoundError:
        raise OSError(f"no folder {name!r} here, and no public model of that name on the hub") from None
    except Exception as error:
        raise OSError(
            f"no folder {name!r} here, no such model fetched before, and the hub cannot be reached"
            f" ({type(error).__name__}): run 'hf download {name}' where there is a network, or name a folder, or 'tiny'"
        ) from None


def _tokenizer(source: str, **options: Any) -> Tokenizer:
    """Return the tokenizer of a model; of adapters without one, that of the model that they belong to."""
    has_own = any(os.path.isfile(os.path.join(source, name)) for name in VOCABULARIES)
    if not has_own and os.path.isdir(source) and holds_adapters(source):
        return load_tokenizer(base_of_adapters(source))
    with readable(source, "no tokenizer", lambda: vocabulary_advice(source)):
        return transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False, **options)


def _from_pretrained(source: str, *, dtype: torch.dtype, **options: Any) -> tuple[Model, Tokenizer]:
    quiet = quiet_transformers() if os.path.isdir(source) or "local_files_only" in options else contextlib.nullcontext()
    with quiet:
        with readable(source, "no causal language model"):
            transformers.AutoConfig.from_pretrained(source, trust_remote_code=False, **options)
        tokenizer = _tokenizer(source, **{name: each for name, each in options.items() if name != "device_map"})
        with readable(source, "no causal language model"):
            options |= {"trust_remote_code": False, "dtype": dtype, "use_safetensors": True}
            options |= {"output_loading_info": True, "ignore_mismatched_sizes": True}  # they are refused below, by name
            loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(source, **options)
    model, loading = loaded
    require_all_weights(source, model, loading)
    return model, tokenizer
