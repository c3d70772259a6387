"""Models and adapters by their names on the hub: of what was fetched before, without a network; never a pickle."""

import shutil
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch
from kinds_of_models import SETS
from lora_models import own_lora, stirred
from tiny_models import save_tiny

from mapl_explore.models.kept_scores import scores_by_name
from mapl_explore.models.loading import folders_of, load_model, load_tokenizer
from mapl_explore.notes import Note

COMMIT = "0" * 40
NAME = "me/adapters"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of the hub's files, without a network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def fetched(cache, name, folder):
    """Put a folder into the cache, as if the hub had it under a name, and return where it lies."""
    repository = cache / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    shutil.move(folder, repository / "snapshots" / COMMIT)
    return repository / "snapshots" / COMMIT


@pytest.fixture
def base(cache, tmp_path):
    fetched(cache, "me/base", save_tiny(tmp_path / "made", context=128))
    return "me/base"


@pytest.fixture
def adapters(base, tmp_path):
    """A folder of adapters of a model on the hub, as peft itself writes it, and the model with them."""
    wrapped = stirred(own_lora(load_model(base)[0]))
    wrapped.save_pretrained(tmp_path / "adapters", save_embedding_layers=False)
    return tmp_path / "adapters", wrapped.eval()


def logits(model):
    with torch.no_grad():
        return model(input_ids=torch.arange(1, 20)[None]).logits


def test_adapters_are_read_by_their_name_with_the_base_that_they_name(cache, base, adapters):
    folder, wrapped = adapters
    fetched(cache, NAME, folder)
    with pytest.warns(Note, match=f"^'{NAME}' holds adapters: they are merged into '{base}'$"):
        model, tokenizer = load_model(NAME)
    assert (logits(model) - logits(wrapped)).abs().max() < 1e-4
    assert model.name_or_path == NAME
    assert tokenizer.get_vocab() == load_tokenizer(NAME).get_vocab()
    assert [one.parent.parent.name for one in folders_of(NAME)] == ["models--me--adapters", "models--me--base"]


def test_scores_of_adapters_are_kept_until_the_files_of_their_base_change(cache, base, adapters, tmp_path, monkeypatch):
    monkeypatch.setenv("MAPL_CACHE", str(tmp_path / "kept"))
    fetched(cache, NAME, adapters[0])
    first = scores_by_name(NAME, SETS[1:])
    with pytest.warns(Note, match="of an earlier command"):
        scores_by_name(NAME, SETS[1:])
    save_tiny(cache / "models--me--base" / "snapshots" / COMMIT, context=128, seed=5)
    assert (scores_by_name(NAME, SETS[1:]).logp != first.logp).any()


def test_a_base_that_was_not_fetched_is_named_with_the_adapters(cache, adapters):
    fetched(cache, NAME, adapters[0])
    shutil.rmtree(cache / "models--me--base")
    with pytest.raises(
        OSError, match=rf"'{NAME}' holds adapters of a model that cannot be read: .*'me/base'"
    ) as caught:
        load_model(NAME)
    assert "hf download me/base" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("read", [load_model, load_tokenizer])
def test_a_name_that_was_not_fetched_is_refused_in_one_line_without_a_network(cache, read):
    with pytest.raises(
        OSError, match=r"no such model fetched before, and the hub cannot be reached .*hf download me/no"
    ):
        read("me/no")


@pytest.fixture
def hub(monkeypatch, cache, tmp_path):
    """A hub that can be reached and has one repository: hub(folder) says which, and returns what is fetched of it."""

    def with_files(folder):
        names, asked = [path.name for path in folder.iterdir()], []

        def snapshot_download(name, local_files_only=False, allow_patterns=None):
            if local_files_only:
                return str(folder) if asked and name == NAME else real(name, local_files_only=True)
            asked.extend(huggingface_hub.utils.filter_repo_objects(names, allow_patterns=allow_patterns))
            for each in set(names) - set(asked):
                (folder / each).unlink()
            return str(folder)

        real = huggingface_hub.snapshot_download
        info = SimpleNamespace(siblings=[SimpleNamespace(rfilename=name) for name in names])
        monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda self, name, timeout: info)
        monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
        return asked

    return with_files


def test_adapters_on_the_hub_are_fetched_without_what_could_run_code(adapters, hub):
    folder, wrapped = adapters
    for name in ("training_args.bin", "optimizer.pt", "modeling_own.py"):
        (folder / name).write_bytes(b"x")
    asked = hub(folder)
    assert (logits(load_model(NAME)[0]) - logits(wrapped)).abs().max() < 1e-4
    assert sorted(asked) == ["adapter_config.json", "adapter_model.safetensors"]


def test_adapters_on_the_hub_that_are_a_pickle_are_not_fetched(adapters, hub):
    folder, _ = adapters
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    asked = hub(folder)
    with pytest.raises(OSError, match=rf"^'{NAME}' holds its adapters as a pickle alone, adapter_model\.bin: .* peft "):
        load_model(NAME)
    assert not asked


def test_a_folder_that_is_not_there_is_refused_without_asking_the_hub(monkeypatch):
    monkeypatch.setattr(huggingface_hub.utils, "get_session", lambda: pytest.fail("the hub was asked"))
    with pytest.raises(OSError, match=r"no folder '\./not/there'"):
        load_model("./not/there")


def test_a_hub_that_cannot_be_reached_is_asked_once_and_the_error_says_what_to_do(monkeypatch):
    asked = []

    def unreachable(self, name, **options):
        asked.append(name)
        raise ConnectionError("no network")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    with pytest.raises(OSError, match=r"cannot be reached .*: run 'hf download nobody/nothing' where"):
        load_model("nobody/nothing")
    assert asked == ["nobody/nothing"]
