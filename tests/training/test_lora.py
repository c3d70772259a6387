"""Adapters in place of all weights: what is trained and saved, how a run goes on, and what of a user's own works."""

import math
import sys

import pytest
import safetensors.torch
import torch
import transformers
import yaml
from lora_models import own_lora, trained
from tiny_models import byte_tokenizer, random_gpt2
from tuned_runs import EVAL, QUICK, TRAIN, interrupted, timeless

from mapl_explore.losses import LOSSES
from mapl_explore.models.adapters import unwrapped
from mapl_explore.models.loading import load_model, load_outline
from mapl_explore.models.scoring import score_sets
from mapl_explore.notes import Note, heard
from mapl_explore.runs.checkpoints import last_checkpoint
from mapl_explore.runs.record import read_run
from mapl_explore.training.examples import training_examples
from mapl_explore.training.finetuning import finetune
from mapl_explore.training.options import LORA
from mapl_explore.training.settings import Settings
from mapl_explore.training.trainer import PreferenceTrainer

ADAPTERS = "adapter_model.safetensors"


def weights(folder):
    return (folder / ADAPTERS).read_bytes()


@pytest.fixture(scope="module")
def adapted(base, tmp_path_factory):
    """A finished DPO of adapters with answers, which the tests only look at."""
    output = tmp_path_factory.mktemp("adapted") / "run"
    return finetune(loss="dpo", model=base, output=output, lora="r=4,alpha=8", **QUICK | {"answers": 2, "lr": 1e-2})


@pytest.mark.parametrize("loss", LOSSES)
def test_a_step_of_every_loss_changes_adapters_alone(tune, base, loss):
    done = tune(loss=loss, steps=1, lora={"r": 4})
    before = load_model(base)[0].state_dict()
    found = {name.replace(".base_layer", ""): each for name, each in unwrapped(done.model).state_dict().items()}
    assert all(torch.equal(found[name], before[name]) for name in before)
    assert all(each.abs().max() > 0 for name, each in trained(done.model).items() if "lora_B" in name)
    assert math.isfinite(done.run.after["loss"])


def test_folder_and_checkpoints_hold_adapters_and_the_tokenizer(adapted):
    names = {"README.md", "adapter_config.json", ADAPTERS, "tokenizer.json", "tokenizer_config.json"}
    found = {path.name for path in adapted.folder.iterdir()}
    assert found == names | {"run.json", "probes.npz", "measured.npz", "reference.npz", "checkpoints"}
    state = torch.load(last_checkpoint(adapted.folder) / "optimizer.pt", weights_only=True)["state"]
    assert len(state) == len(trained(adapted.model)) == 16
    saved = safetensors.torch.load_file(last_checkpoint(adapted.folder) / ADAPTERS)
    assert all("lora_" in name for name in saved)


def model_card(folder):
    """Return the fields and the words of a run's README.md."""
    _, front, words = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(front), " ".join(words.split())


def logits(model):
    with torch.no_grad():
        return model(torch.arange(1, 20)[None]).logits


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft asks by the former name
def test_the_card_names_the_base_and_what_it_says_of_reading_the_adapters_is_so(adapted, base):
    fields, words = model_card(adapted.folder)
    assert (fields["library_name"], fields["base_model"]) == ("peft", base.name)
    assert "holds adapters (LoRA)" in words
    own = logits(adapted.model)
    for name in ("peft.AutoPeftModelForCausalLM", "transformers.AutoModelForCausalLM"):
        assert f"`{name}.from_pretrained`" in words
        module, kind = name.split(".")
        read = getattr(sys.modules[module], kind).from_pretrained(adapted.folder)
        assert (logits(read.eval()) - own).abs().max() < 1e-5
    assert "`mapl_explore.load_model`" in words
    assert (logits(load_model(adapted.folder)[0]) - own).abs().max() < 1e-5


def test_the_card_of_adapters_on_adapters_says_that_other_tools_do_not_read_them(adapted, tune):
    with pytest.warns(Note, match="are put on those of"):
        done = tune(loss="dpo", model=adapted.folder, lora="r=2")
    fields, words = model_card(done.folder)
    assert (fields["library_name"], fields["base_model"]) == ("peft", adapted.folder.name)
    assert "`mapl_explore.load_model` on it gives the model; other tools do not read the two together" in words
    assert (logits(load_model(done.folder)[0]) - logits(done.model)).abs().max() < 1e-5


@pytest.mark.parametrize("precision", ["float32", "bf16-weights"])
@pytest.mark.filterwarnings("ignore:precision 'bf16-weights'")
def test_adapters_whose_base_has_other_weights_now_are_told(tune, base, tmp_path, precision):
    model, tokenizer = load_model(base)
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path / "own")
    folder = tune(loss="dpo", model=tmp_path / "own", lora="r=2", precision=precision).folder
    with heard() as notes:
        load_model(folder)
    assert not [note for note in notes if "other weights" in note]
    with torch.no_grad():
        model.transformer.ln_f.bias[3] += 0.5
    model.save_pretrained(tmp_path / "own")
    with pytest.warns(Note, match=r"trained on other weights than '.*own' has now: they fit them no more"):
        load_model(folder)


def test_the_outline_of_adapters_on_a_model_is_read_without_its_weights(adapted):
    model, _ = load_outline(adapted.folder)
    assert model.device.type == "meta"


def test_the_card_of_merged_adapters_is_that_of_any_model(tune):
    fields, words = model_card(tune(loss="dpo", lora="r=2", merge=True).folder)
    assert (fields["library_name"], "base_model" in fields) == ("transformers", False)
    assert "AutoModelForCausalLM.from_pretrained` on this folder gives the model. Its dropout" in words


def test_a_record_has_all_options(adapted):
    assert read_run(adapted.folder).arguments["lora"] == LORA | {"r": 4, "alpha": 8.0}


def test_the_base_is_the_model_without_its_adapters(adapted, done):
    assert adapted.run.weights_checksum == done.run.weights_checksum
    assert adapted.run.before == done.run.before
    for name in ("chosen_ratio", "rejected_ratio", "kl"):
        assert adapted.run.before[name] == 0 != adapted.run.after[name]


def test_measures_after_are_those_of_the_model_that_the_folder_gives(adapted, base):
    model, tokenizer = load_model(adapted.folder)
    sets = score_sets(model, tokenizer, EVAL, reference=load_model(base)[0])
    chosen = [(one.logp - one.ref_logp)[one.label > 0].mean() for one in sets]
    assert abs(sum(chosen) / len(chosen) - adapted.run.after["chosen_ratio"]) < 1e-4


def test_a_run_of_adapters_can_be_the_model_of_another_run(adapted, tune):
    with pytest.warns(Note, match="are put on those of .*': mapl_explore reads the two together"):
        done = tune(loss="dpo", model=adapted.folder, lora="r=2")
    assert abs(done.run.before["chosen"] - adapted.run.after["chosen"]) < 1e-4
    assert load_model(done.folder)
    with pytest.warns(Note) as said:
        done = tune("whole", loss="dpo", model=adapted.folder, lora="r=2", merge=True)
    assert not [one for one in said if "are put on those of" in str(one.message)]
    assert transformers.AutoModelForCausalLM.from_pretrained(done.folder)


def test_all_weights_of_a_model_with_adapters_are_trained_and_compared_with_that_model(adapted, tune, base):
    done = tune(loss="dpo", model=adapted.folder, answers=2)
    assert abs(done.run.before["chosen"] - adapted.run.after["chosen"]) < 1e-4
    for name in ("chosen_ratio", "rejected_ratio", "kl"):
        assert done.run.before[name] == 0 != done.run.after[name]
    changed, before = load_model(done.folder)[0].state_dict(), load_model(adapted.folder)[0].state_dict()
    assert not any(torch.equal(changed[name], before[name]) for name in before)
    assert not list(done.folder.glob("adapter*"))
    done = tune("with reference", loss="dpo", model=adapted.folder, reference=str(base))
    assert abs(done.run.before["chosen_ratio"] - adapted.run.after["chosen_ratio"]) < 1e-4


def test_merged_it_is_a_model_like_any_other(adapted, tune, base):
    done = tune(loss="dpo", lora="r=4,alpha=8", lr=1e-2, answers=2, merge=True)
    assert done.run.after == adapted.run.after
    assert not [path.name for path in done.folder.iterdir() if "adapter" in path.name]
    ours, theirs = (each.state_dict() for each in (load_model(adapted.folder)[0], done.model))
    read = transformers.AutoModelForCausalLM.from_pretrained(done.folder).state_dict()
    assert type(done.model) is transformers.GPT2LMHeadModel
    assert all(torch.equal(read[name], theirs[name]) for name in read)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.filterwarnings("ignore:going on from checkpoint:mapl_explore.notes.Note")
def test_a_finished_run_resumed_with_merge_and_without_holds_one_of_the_two(tune):
    options = {"loss": "dpo", "lora": "r=4,alpha=8", "lr": 1e-2}
    adapters, whole = tune(**options), tune("whole", **options, merge=True)

    def read(folder):
        models = load_model(folder)[0], transformers.AutoModelForCausalLM.from_pretrained(folder)
        names = {path.name for path in folder.iterdir() if path.suffix in (".safetensors", ".json")}
        return names, [dict(each.named_parameters()) for each in models]

    apart, merged = read(adapters.folder), read(whole.folder)
    for merge, (names, models) in ((True, merged), (True, merged), (False, apart)):
        tune(**options, merge=merge, resume=True)
        found, again = read(adapters.folder)
        assert found == names
        for one, two in zip(again, models, strict=True):
            assert one.keys() == two.keys()
            assert all(torch.equal(one[name], two[name]) for name in two)


def test_an_interrupted_run_resumes_to_the_bits_of_the_uninterrupted_one(tune, monkeypatch):
    options = {"loss": "dpo-smooth", "steps": 6, "lora": "r=4,dora=true", "checkpointing": True}
    whole = tune("whole", **options)
    interrupted(monkeypatch, 5)
    with pytest.raises(KeyboardInterrupt):
        tune("cut", **options)
    monkeypatch.undo()
    cut = whole.folder.parent / "cut"
    assert last_checkpoint(cut).name == "checkpoint-4"
    with pytest.warns(Note, match="going on from checkpoint-4"):
        resumed = tune("cut", **options, resume=True)
    assert weights(cut) == weights(whole.folder)
    assert timeless(resumed.run) == timeless(whole.run)


def test_activations_computed_again_and_half_precision_train_adapters(tune):
    plain, again = (tune(str(on), loss="dpo", lora="r=4", checkpointing=on) for on in (False, True))
    assert weights(plain.folder) == weights(again.folder)
    half = tune("half", loss="dpo", lora="r=4", checkpointing=True, precision="bf16")
    assert weights(half.folder) != weights(plain.folder)


def test_the_best_adapters_are_kept_where_a_run_ends_early(tune):
    training = {"warmup_steps": 0}
    with pytest.warns(
        Note, match=r"^patience: ended at step \d of 8, and kept step \d, whose held-out loss is the smallest"
    ):
        done = tune(loss="dpo", lora="r=4", steps=8, lr=50.0, save_every=1, patience=2, training=training)
    losses = [entry["eval_loss"] for entry in done.run.evaluations]
    assert losses[-1] > min(losses)
    assert abs(done.run.after["loss"] - min(losses)) < 1e-6


def test_resume_with_other_adapters_is_refused(tune):
    tune(loss="dpo", lora="r=4")
    for lora in ("r=8", None):
        with pytest.raises(ValueError, match=r"started with lora \{'r': 4, .*\}, not"):
            tune(loss="dpo", lora=lora, resume=True)


REFUSED = {
    "r": "lora must be KEY=VALUE, such as r=16, not 'r'",
    "r=0": "lora: r must be an integer from 1 .* not 0",
    "r=2.5": r"lora: r must be an integer from 1 .* not 2\.5",
    "alpha=0": "lora: alpha must be > 0 and finite, not 0",
    "alpha=NaN": "lora: alpha must be > 0 and finite, not nan",
    "dora=1": "lora: dora must be true or false, not 1",
    "rank=8": "lora has 'rank', and it may have r, alpha, targets, rslora, dora, dropout",
    "dropout=0.1": r"lora: dropout must be 0, not 0\.1: all dropout is off in training",
    "targets=": "lora: targets must be all-linear or names of layers, not ''",
    "targets=3": "lora: targets must be all-linear or names of layers, not 3",
    "targets=lm_head": "lora: targets must be other layers, .* on its head, .*; its linear layers are c_attn,",
    "targets=nix": "which has no 'nix'; its linear layers are c_attn, c_proj, c_fc$",
    "targets=ln_f": "lora: Target module LayerNorm.*; its linear layers are c_attn, c_proj, c_fc$",
}


@pytest.mark.parametrize("text", REFUSED)
def test_wrong_options_are_refused_in_one_line(tune, tmp_path, text):
    with pytest.raises(ValueError, match=REFUSED[text]) as caught:
        tune(loss="dpo", lora=text)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_options_are_text_or_a_mapping():
    settings = Settings(loss="dpo", data=TRAIN, output="x", lora="r=8, alpha=4,targets=a+b,dropout=0.0,rslora=true")
    assert settings.lora == {"r": 8, "alpha": 4.0, "targets": ["a", "b"], "rslora": True, "dora": False}
    again = Settings(loss="dpo", data=TRAIN, output="x", lora=settings.lora)
    assert again.lora == settings.lora
    with pytest.raises(TypeError, match="lora must be text such as 'r=16,alpha=32', or a mapping, not 16"):
        Settings(loss="dpo", data=TRAIN, output="x", lora=16)


def test_where_peft_is_not_installed_nothing_is_written(tune, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ImportError, match=r"lora needs peft, which is not installed: pip install"):
        tune(loss="dpo", lora="r=4")
    assert list(tmp_path.iterdir()) == []


def test_without_adapters_there_is_nothing_to_merge(tune):
    with pytest.raises(ValueError, match="merge needs lora"):
        tune(loss="dpo", merge=True)


def test_finetune_trains_a_model_with_adapters_of_the_users_own(tune, base):
    model, tokenizer = load_model(base)
    wrapped = own_lora(model, r=4, lora_dropout=0.5, target_modules=["c_attn"], modules_to_save=["ln_f"])
    done = tune(loss="dpo", model=(wrapped, tokenizer), answers=2, lr=1e-2)
    assert done.model is wrapped
    assert done.run.before["kl"] == 0 != done.run.after["kl"]
    read, tokenizer = load_model(done.folder)
    sets = score_sets(read, tokenizer, EVAL, reference=load_model(base)[0])
    chosen = [(one.logp - one.ref_logp)[one.label > 0].mean() for one in sets]
    assert abs(sum(chosen) / len(chosen) - done.run.after["chosen_ratio"]) < 1e-4


def test_adapters_twice_are_refused(tune, tmp_path):
    with pytest.raises(ValueError, match="lora must not be given with a model that has adapters"):
        tune(loss="dpo", lora="r=4", model=(own_lora(random_gpt2()), byte_tokenizer()))
    assert list(tmp_path.iterdir()) == []


LOST = {
    "adapters need a model that is found again": lambda model: setattr(model, "name_or_path", ""),
    r"transformer\.h\.0\.attn\.c_attn\.bias of model is another than there": lambda model: torch.nn.init.ones_(
        model.transformer.h[0].attn.c_attn.bias
    ),
}


@pytest.mark.parametrize("said", LOST)
def test_adapters_on_weights_that_are_in_no_folder_are_refused_before_any_work_or_told(tune, base, tmp_path, said):
    model, tokenizer = load_model(base)
    LOST[said](model)
    with pytest.raises(ValueError, match=said):
        tune(loss="dpo", steps=1, model=(model, tokenizer), lora="r=2")
    assert list(tmp_path.iterdir()) == []
    merged = tune("merged", loss="dpo", steps=1, model=(model, tokenizer), lora="r=2", merge=True)
    saved, whole = (each.state_dict() for each in (load_model(merged.folder)[0], merged.model))
    assert all(torch.equal(saved[name], whole[name]) for name in saved)
    model, tokenizer = load_model(base)
    LOST[said](model)
    with pytest.warns(Note, match=said):
        tune("own", loss="dpo", steps=1, model=(own_lora(model), tokenizer))


@pytest.fixture
def made(tmp_path):
    """Make a trainer of adapters of the user's own: made(name of the folder, options of TrainingArguments...)."""

    def make(name="out", model=None, **options):
        torch.manual_seed(0)
        model = model or own_lora(random_gpt2(dropout=0.5), r=4, lora_dropout=0.5)
        options = {"max_steps": 4, "report_to": "none", "disable_tqdm": True, "use_cpu": True} | options
        options |= {"log_level": "error", "remove_unused_columns": False, "learning_rate": 1e-2, "logging_steps": 1}
        args = transformers.TrainingArguments(tmp_path / name, save_strategy="steps", save_steps=2, **options)
        examples = training_examples(model, byte_tokenizer(), TRAIN, progress=False)
        made = PreferenceTrainer(loss="dpo", model=model, args=args, train_dataset=examples)
        made.remove_callback(transformers.PrinterCallback)
        return made, model

    return make


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated:FutureWarning")
@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_trainer_trains_saves_and_resumes_adapters_of_the_users_own(made, tmp_path, checkpointing):
    engine, whole = made("whole", gradient_checkpointing=checkpointing)
    before = {name: each.clone() for name, each in whole.named_parameters()}
    engine.train()
    changed = {name for name, each in whole.named_parameters() if not torch.equal(each, before[name])}
    assert changed == trained(whole).keys()
    engine, resumed = made("cut", gradient_checkpointing=checkpointing)
    engine.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
    assert all(map(torch.equal, trained(resumed).values(), trained(whole).values()))
    assert not list((tmp_path / "whole" / "checkpoint-4").glob("model*"))


def test_a_trainer_refuses_adapters_that_would_not_be_saved(made):
    model = random_gpt2()
    own_lora(model)
    with pytest.raises(ValueError, match="this GPT2LMHeadModel has adapters without peft's model around it"):
        made(model=model)
