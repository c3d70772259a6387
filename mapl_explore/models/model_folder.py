"""What the folder of a model must hold, and every error of reading it as one line that names the folder."""

import contextlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path

import safetensors
import tokenizers
import torch
import transformers

from mapl_explore.files import counted, shortened
from mapl_explore.models.kinds import Model
from mapl_explore.notes import note

WEIGHTS = "model.safetensors"
ADAPTERS, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
INDEX = f"{WEIGHTS}.index.json"  # names the files of weights that are in parts
GENERATION = "generation_config.json"
JSON_FILES = ("config.json", ADAPTER_CONFIG, "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
# Tables that older versions of transformers saved with the weights, and that it computes by itself.
BUFFERS = ("bias", "masked_bias", "inv_freq", "position_ids", "_float_tensor", "version")
SAVE = "write it again with save_pretrained"
RUN, ROUNDS = "run.json", "rounds.json"  # the records that fine-tuning begins a folder with; the model comes last
POINTER = b"version https://git-lfs.github.com/spec/"  # how a file begins that git-lfs has not fetched


def holds_adapters(source: str) -> bool:
    """Return whether a folder holds adapters of peft, and no whole model."""
    folder = Path(source)
    return (folder / ADAPTER_CONFIG).is_file() and not any((folder / name).is_file() for name in (WEIGHTS, INDEX))


def base_of_adapters(source: str) -> str:
    """Return the name of the model that the adapters in a folder belong to, or raise OSError.

    A relative path is looked for from here, as peft does, and then from where the folder lies, and from in there.
    """
    require_adapters(source, os.listdir(source))
    path = os.path.join(source, ADAPTER_CONFIG)
    with readable(source, "no adapters"):
        name = _read_object(path).get("base_model_name_or_path")
    if not isinstance(name, str) or not name or os.path.abspath(name) == os.path.abspath(source):
        raise OSError(f"{path!r} must name the model of the adapters as base_model_name_or_path, not {shortened(name)}")
    places = [Path(name), Path(os.path.abspath(source)).parent / name, Path(source) / name]
    return next((os.fspath(place) for place in places if place.is_dir()), name)


def require_files(source: str) -> None:
    """Raise OSError unless a folder has a configuration, all files of its weights, and no damaged generation file."""
    if not os.path.isfile(os.path.join(source, "config.json")):
        raise OSError(f"{source!r} holds no model: {_why_none(Path(source))}")
    _require_safetensors(source)
    _require_all_shards(source)
    if os.path.isfile(os.path.join(source, GENERATION)):
        _require_generation(source)


def _why_none(folder: Path) -> str:
    begun, rounds = ((folder / name).is_file() for name in (RUN, ROUNDS))
    if begun and not rounds:
        return f"its run has not ended, as its {RUN} says; finetune with --resume goes on with it"
    return "there is no config.json in it"


def _require_safetensors(source: str) -> None:
    folder = Path(source)
    if (folder / INDEX).is_file() or any(folder.glob("*.safetensors")):
        return
    refuse_pickles(source, os.listdir(source), "its weights", "transformers")
    raise OSError(f"{source!r} holds no weights: there is no {WEIGHTS} in it")


def refuse_pickles(source: str, names: Iterable[str], what: str, library: str) -> None:
    """Raise OSError where a pickle is among the names of files, which have no safetensors among them."""
    pickles = sorted(name for name in names if any(fnmatch(name, pattern) for pattern in PICKLES))
    if pickles:
        raise OSError(
            f"{source!r} holds {what} as a pickle alone, {pickles[0]}: pickles can run code, so none is read here;"
            f" if you trust it, load it with {library} and save it with save_pretrained, which writes safetensors"
        )


def require_adapters(source: str, names: Collection[str]) -> None:
    """Raise OSError unless there are weights of adapters, as safetensors, among the names of files."""
    if ADAPTERS not in names:
        refuse_pickles(source, names, "its adapters", "peft")
        raise OSError(f"{source!r} holds no adapters that can be read: there is no {ADAPTERS} in it")


def _require_generation(source: str) -> None:
    """Raise OSError for a ``generation_config.json`` that transformers would pass over or fail at later."""
    path = os.path.join(source, GENERATION)
    try:
        settings = _read_object(path)
        _require_generation_values(settings.get("max_new_tokens"), settings.get("eos_token_id"))
        transformers.GenerationConfig.from_pretrained(source)
    except Exception as error:  # a file from elsewhere may be wrong in any way
        raise OSError(f"{path!r} cannot be used ({first_line(error)}): mend it, or remove it") from error


def _require_generation_values(most: object, ends: object) -> None:
    if most is not None and (not isinstance(most, int) or most < 1):
        raise ValueError(f"max_new_tokens must be a whole number of at least 1, not {shortened(most)}")
    if not all(isinstance(end, int) for end in (ends if isinstance(ends, list) else [ends or 0])):
        raise ValueError(f"eos_token_id must be a token's number or a list of them, not {shortened(ends)}")


@contextlib.contextmanager
def readable(source: str, what: str, advice: Callable[[], str] = str) -> Iterator[None]:
    """Make any error of reading a model a line about its folder, or about the file in it that is damaged."""
    try:
        yield
    except safetensors.SafetensorError as error:
        words = f"its weights are damaged or cut short ({first_line(error)}); fetch or save them again"
        raise OSError(f"{source!r} holds {what} that can be read: {_pointer(source) or words}") from error
    except Exception as error:  # a file from elsewhere may be wrong in any way
        reason = _pointer(source) or _damage(source) or f"{first_line(error)}{advice()}"
        raise OSError(f"{source!r} holds {what} that can be read: {reason}") from error


def _pointer(source: str) -> str:
    """Return which file of a folder is a pointer of git-lfs and what to do about it, "" where none is."""
    for path in sorted(Path(source).glob("*")):
        if path.is_file() and _begins_as_pointer(path):
            return f"{path.name} is a pointer of git-lfs, not the file itself; run 'git lfs pull' in that folder"
    return ""


def _begins_as_pointer(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(len(POINTER)) == POINTER


def _damage(source: str) -> str:
    """Return which of the small files of a folder is damaged and how, "" where none is."""
    for name in JSON_FILES:
        path = os.path.join(source, name)
        try:
            if os.path.isfile(path):
                _read_small(path)
        except Exception as error:  # a tokenizer's errors have no class of their own
            return f"{name} is damaged ({first_line(error)}); fetch it again, or {SAVE}"
    return ""


def _read_small(path: str) -> None:
    _read_object(path)
    if path.endswith("tokenizer.json"):
        tokenizers.Tokenizer.from_file(path)


def _read_object(path: str | os.PathLike) -> dict:
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}, not an object")
    return content


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, or its kind where it says nothing."""
    if isinstance(error, KeyError):
        return f"there is no {error}"
    first, *more = str(error).splitlines() or [type(error).__name__]
    if first.endswith(":") and more:  # the reason is on the next line
        return f"{first} {more[0].strip()}"
    return first.removesuffix(" from one of: ")  # transformers' list follows on lines of its own


def changed_weights(model: Model, folder: Path) -> list[str]:
    """Return the names of the weights of a model that are others than in a folder, read one at a time.

    What the folder's files call by another name than the model, in which peft may have put adapters, is passed over.
    """
    own = {name.replace(".base_layer", ""): weights for name, weights in model.state_dict().items()}
    prefix = f"{model.base_model_prefix}."
    found = []
    for path in sorted(folder.glob("*.safetensors")):
        with safetensors.safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118  # it has no other way to name them
                mine = own.get(name, own.get(prefix + name))
                if mine is not None and not torch.equal(file.get_tensor(name).to(mine.dtype), mine.cpu()):
                    found.append(name)
    return found


def require_all_weights(source: str, model: Model, loading: dict) -> None:
    """Raise OSError unless the weights of a folder are those of its model, as transformers reports their loading.

    Weights outside the layers, such as a head for another task, are passed over with a note; weights for layers that
    the model does not have would make it another model.
    """
    _require_sizes(source, loading["mismatched_keys"])
    missing, surplus = sorted(loading["missing_keys"]), sorted(loading["unexpected_keys"])
    if missing:
        few = counted(len(missing), "weight")
        raise OSError(f"{source!r} holds {few} too few for its model, such as {missing[0]!r}")
    layers = [name for name in surplus if _of_layers(name, model)]
    if layers:
        many = f"{counted(len(layers), 'weight')} too many for its model, such as {layers[0]!r}"
        raise OSError(f"{source!r} holds {many}: config.json is of another model, or was changed")
    others = [name for name in surplus if not _is_buffer(name)]
    if others:
        many = f"{counted(len(others), 'weight')} of {source!r}"
        note(f"{many} fit nowhere in its model and are not used, such as {others[0]!r}")


def _require_sizes(source: str, mismatched: list) -> None:
    if mismatched:
        name, saved, expected = sorted(mismatched)[0]
        raise OSError(
            f"{source!r} holds {counted(len(mismatched), 'weight')} of another size than its config.json says, such as"
            f" {name!r}: {tuple(saved)}, not {tuple(expected)}"
        )


def _of_layers(name: str, model: Model) -> bool:
    """Return whether a weight that the model lacks would belong to its repeated layers, or to a module it has."""
    if _is_buffer(name):
        return False
    base = f"{model.base_model_prefix}."
    return any(_in_layers(one, model) for one in (name, base + name, name.removeprefix(base)))


def _in_layers(name: str, model: torch.nn.Module) -> bool:
    modules, parts = dict(model.named_modules()), name.split(".")
    above = [modules[path] for n in range(1, len(parts)) if (path := ".".join(parts[:n])) in modules]
    in_list = any(isinstance(module, torch.nn.ModuleList) for module in above)
    return in_list or any(True for module in above[-1:] for _ in module.parameters(recurse=False))


def _is_buffer(name: str) -> bool:
    *modules, last = name.split(".")
    # GPT-2's mask is attn.bias; the bias of a projection stands one level deeper, as attn.c_attn.bias.
    return last in BUFFERS and (last != "bias" or modules[-1:] in (["attn"], ["attention"], ["crossattention"]))


def _require_all_shards(source: str) -> None:
    """Raise unless a folder with weights in parts has all of them, and the index that names them."""
    folder = Path(source)
    in_parts = (folder / INDEX).is_file() or any(folder.glob("model-*-of-*.safetensors"))
    if not in_parts or (folder / "model.safetensors").is_file():
        return
    missing = sorted(name for name in _parts(folder / INDEX) if not (folder / name).is_file())
    if missing:
        lost = f"{missing[0]} is missing" + f", and {len(missing) - 1} more" * (len(missing) > 1)
        raise OSError(f"{source!r} holds a model in several files, not all of them: {lost}; fetch the folder again")


def _parts(index: Path) -> set[str]:
    """Return the names of an index and of the files that it names."""
    if not index.is_file():
        return {index.name}
    try:
        return {index.name, *json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise OSError(f"{str(index)!r} is damaged ({type(error).__name__}): fetch the folder again") from error
