"""The arguments of finetune are said once, and a model itself can be given in the place of its name."""

import contextlib
import copy
import inspect
import math
import shutil
from dataclasses import fields, replace

import peft
import pytest
import torch
import transformers
from lora_models import own_lora
from tiny_models import byte_tokenizer, random_gpt2, save_tiny
from tuned_runs import interrupted

import mapl_explore
from mapl_explore import Settings, finetune
from mapl_explore.cli import main as cli
from mapl_explore.data import PreferenceSet
from mapl_explore.losses import DPO, First
from mapl_explore.models import adapters
from mapl_explore.models.encoding import EncodedSet
from mapl_explore.models.loading import load_model, weights_checksum
from mapl_explore.notes import Note
from mapl_explore.runs.record import read_run
from mapl_explore.training import base_model
from mapl_explore.training.base_model import BaseWeights
from mapl_explore.training.schedule import learning_rate, sets_per_pass, updates

SETS = [PreferenceSet(f"what is {i}?", [f" {i}"], [" no", " x"][: 1 + i % 2]) for i in range(6)]
REQUIRED = {"loss": "dpo", "data": SETS[:4], "output": "run"}
QUICK = {"loss": "dpo", "data": SETS[:4], "eval": SETS[4:], "steps": 2, "sets_per_step": 4, "lr": 1e-2, "answers": 2}
QUICK |= {"device": "cpu", "progress": False}


def model_of_its_own():
    """Return a random model and its tokenizer that were read from nowhere."""
    return random_gpt2(seed=2), byte_tokenizer()


@pytest.fixture
def tune(tmp_path):
    """Fine-tune: tune(name of the run, options...)."""
    return lambda name="run", **options: finetune(**{"output": tmp_path / name, **QUICK, **options})


def same_weights(one, other):
    return weights_checksum(one) == weights_checksum(other)


def timeless(run):
    return [{name: value for name, value in entry.items() if name != "tokens_per_second"} for entry in run.log]


DECISIVE = {
    "model": "m", "reference": "r", "steps": 5, "epochs": 2.0, "sets_per_step": 2, "lr": 0.5, "seed": 2**32 - 1,
    "truncate": "error", "max_length": 9, "precision": "bf16", "verifier": "exact", "answers": 3, "answer_tokens": 5,
    "chat": "never", "threshold": 0.5, "patience": 1, "training": {"weight_decay": 0.1}, "lora": "r=2",
}  # fmt: skip
ELSEWHERE = {"loss", "data", "eval"}  # in the record
HARMLESS = {
    "output",
    "device",
    "batch_size",
    "checkpointing",
    "save_every",
    "callbacks",
    "report",
    "resume",
    "progress",
}


def test_what_decides_a_result_is_in_its_record_and_nothing_else_is():
    usual = Settings(**REQUIRED)
    for name, value in DECISIVE.items():
        asked = replace(usual, **{name: value})
        assert asked.decisive == usual.decisive | {name: getattr(asked, name)} != usual.decisive
    assert replace(usual, verifier="exact", answer_at=[2, 1]).decisive["answer_at"] == [1, 2]
    assert usual.decisive.keys() == DECISIVE.keys()
    # A merged model is that of its adapters, in other files.
    assert {each.name for each in fields(Settings)} == {*DECISIVE, *ELSEWHERE, *HARMLESS, "answer_at", "merge"}


def test_a_seed_is_one_that_each_generator_takes():
    with pytest.raises(ValueError, match=r"seed must be an integer from 0 to 4294967295, not 4294967296"):
        Settings(**REQUIRED, seed=2**32)


@pytest.mark.parametrize(
    ("weights", "adapted", "rate", "whose"),
    [
        (10_000_000, False, 8e-5, None),
        (10_000_000, True, 8e-5, None),
        (10_000_001, False, 1e-6, "lr is 1e-06, as for any model of"),
        (10_000_001, True, 1e-5, "lr is 1e-05, as for adapters on any model of"),
    ],
)
def test_the_highest_rate_goes_by_the_weights_and_one_of_a_large_model_is_noted(weights, adapted, rate, whose):
    with pytest.warns(Note, match=whose) if whose else contextlib.nullcontext():
        assert learning_rate(Settings(**REQUIRED), weights, adapted) == rate
    assert learning_rate(Settings(**REQUIRED, lr=0.5), weights, adapted) == 0.5


def test_epochs_take_as_many_updates_as_hold_them_and_a_pass_divides_a_step():
    rounds = Settings(**REQUIRED, epochs=1.5, sets_per_step=4)
    assert [updates(rounds, sets) for sets in (8, 9, 10, 11)] == [3, 4, 4, 5]
    assert updates(Settings(**REQUIRED, steps=7), 100) == 7
    encoded = [EncodedSet((1,), ((2, 3), (4,)), 1)] * 12
    assert [sets_per_pass(encoded, 12, True, most) for most in (1, 2, 5, 6, 11, 12, None)] == [1, 2, 4, 6, 6, 12, 12]


def test_the_signature_of_finetune_is_that_of_its_settings():
    shown = inspect.signature(finetune).parameters
    assert {name: one.default for name, one in shown.items()} == {
        name: one.default for name, one in inspect.signature(Settings).parameters.items()
    }
    assert shown["seed"].default == 0
    assert all(one.kind is inspect.Parameter.KEYWORD_ONLY for one in shown.values())


@pytest.mark.parametrize("thing", [Settings, finetune])
def test_the_help_says_of_each_argument_its_default_and_what_it_is(thing):
    text = inspect.getdoc(thing)
    assert text.count("Parameters\n-----") == 1
    for each in fields(Settings):
        (entry,) = [part for part in text.split("\n") if part.startswith(f"{each.name} : ")]
        assert repr(each.default) in entry or each.default is inspect._empty or each.name in REQUIRED
        assert each.metadata["help"][1:20] in text


def test_each_setting_is_an_option_of_the_command_with_its_default_and_its_help(capsys):
    with pytest.raises(SystemExit):
        cli.main(["finetune", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    given = vars(cli._parser().parse_args(["finetune", "--loss", "dpo", "--data", "d", "--output", "o"]))
    for each in fields(Settings):
        if each.name not in ("progress", "callbacks"):
            assert each.metadata["help"] in shown
            assert each.name in REQUIRED or given[each.name] == each.default


def test_settings_and_keywords_make_the_same_run(tune, tmp_path):
    plain = tune("plain").run
    settings = Settings(**QUICK, output=tmp_path / "settings")
    assert timeless(finetune(settings).run) == timeless(plain)
    both = finetune(settings, output=tmp_path / "both", steps=1).run
    assert both.arguments == plain.arguments | {"steps": 1}


def test_what_is_no_settings_is_named():
    with pytest.raises(TypeError, match="finetune takes Settings, or arguments by keyword, not 'dpo'"):
        finetune("dpo")
    with pytest.raises(TypeError, match="stpes"):
        finetune(**REQUIRED, stpes=3)


def test_settings_know_their_loss_and_cannot_be_changed():
    settings = Settings(**REQUIRED)
    assert settings.loss == DPO(pair=First())
    with pytest.raises(AttributeError):
        settings.steps = 3
    assert replace(settings, steps=3).steps == 3
    with pytest.raises(ValueError, match="steps must be an integer from 1"):
        replace(settings, steps=0)


@pytest.mark.parametrize(("given", "every"), [({"steps": 1}, 1), ({"steps": 10}, 3), ({"save_every": 7}, 7)])
def test_a_checkpoint_is_saved_after_a_quarter_of_the_steps_if_nothing_is_said(given, every):
    assert Settings(**REQUIRED, **given).every == every


def test_settings_are_shown_without_data_and_weights():
    shown = repr(Settings(**REQUIRED, model=model_of_its_own()))
    assert "steps=24" in shown
    assert "\n" not in shown
    assert "what is 0?" not in shown


def test_a_model_itself_is_trained_in_place_as_the_one_of_its_folder_is(tune, tmp_path):
    named = tune("named", model=save_tiny(tmp_path / "base", seed=2))
    model, tokenizer = load_model(tmp_path / "base")
    done = tune("given", model=(model, tokenizer))
    assert done.model is model
    assert done.tokenizer is tokenizer
    assert same_weights(done.model, named.model)
    assert (timeless(done.run), done.run.before) == (timeless(named.run), named.run.before)
    assert (done.run.after, done.run.intervals) == (named.run.after, named.run.intervals)
    assert done.run.arguments == named.run.arguments | {"model": str(tmp_path / "base")}
    assert same_weights(load_model(done.folder)[0], model)


def test_a_model_alone_is_trained_with_the_tokenizer_from_where_it_was_read(tune, tmp_path):
    named = tune("named", model=save_tiny(tmp_path / "base", seed=2))
    model, _ = load_model(tmp_path / "base")
    assert timeless(tune("alone", model=model).run) == timeless(named.run)


def test_a_model_in_training_mode_is_trained_without_dropout_and_left_in_evaluation_mode(tune):
    plain = tune("plain", model=model_of_its_own())
    model = random_gpt2(seed=2, dropout=0.5).train()
    done = tune("dropout", model=(model, byte_tokenizer()))
    assert same_weights(done.model, plain.model)
    assert not model.training


def test_weights_that_are_frozen_stay_as_they_are(tune):
    model, tokenizer = model_of_its_own()
    model.transformer.wte.requires_grad_(False)
    before = copy.deepcopy(model)
    done = tune(model=(model, tokenizer))
    assert torch.equal(model.transformer.wte.weight, before.transformer.wte.weight)
    assert not torch.equal(model.transformer.wpe.weight, before.transformer.wpe.weight)
    assert done.run.after["kl"] != 0.0


def test_a_model_that_was_read_from_nowhere_is_recorded_by_its_weights(tune):
    model, tokenizer = model_of_its_own()
    checksum = weights_checksum(model)
    done = tune(model=(model, tokenizer))
    assert read_run(done.folder).arguments["model"] == ""
    assert done.run.weights_checksum == checksum != weights_checksum(model)


def test_a_model_that_was_read_from_nowhere_needs_its_tokenizer(tune, tmp_path):
    with pytest.raises(ValueError, match=r"model has no name to read its tokenizer from: give the pair"):
        tune(model=random_gpt2())
    assert list(tmp_path.iterdir()) == []


def test_a_model_whose_tokenizer_is_gone_needs_it_given(tune, tmp_path):
    save_tiny(tmp_path / "base")
    model, _ = load_model(tmp_path / "base")
    shutil.rmtree(tmp_path / "base")
    with pytest.raises(OSError, match=r"no tokenizer is given with model, and .*base.*: give the pair") as caught:
        tune(model=model)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_tokenizer_of_another_model_is_refused(tune, tmp_path):
    config = transformers.GPT2Config(vocab_size=100, n_positions=64, n_embd=8, n_layer=1, n_head=1)
    with pytest.raises(ValueError, match=r"the tokenizer of .* has 257 tokens, its model 100"):
        tune(model=(transformers.GPT2LMHeadModel(config), byte_tokenizer()))
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_a_model_itself_goes_on_from_the_same_weights_given_again(tune, monkeypatch):
    whole = tune("whole", model=model_of_its_own(), steps=4)
    model, tokenizer = model_of_its_own()
    with monkeypatch.context() as patch:
        interrupted(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            tune("cut", model=(model, tokenizer), steps=4)
    with pytest.raises(ValueError, match="was started with other weights"):
        tune("cut", model=(model, tokenizer), steps=4, resume=True)
    with pytest.warns(Note, match="going on from checkpoint-2"):
        resumed = tune("cut", model=model_of_its_own(), steps=4, resume=True)
    assert same_weights(resumed.model, whole.model)
    assert (resumed.run.before, resumed.run.after) == (whole.run.before, whole.run.after)
    assert resumed.run.after["kl"] != 0.0


def test_the_base_is_read_once(tune, tmp_path, monkeypatch):
    read, load = [], base_model.load_model
    monkeypatch.setattr(base_model, "load_model", lambda *args, **options: read.append(args) or load(*args, **options))
    done = tune(model=save_tiny(tmp_path / "base"))
    assert len(read) == 1
    assert done.run.after["kl"] != 0.0


def test_the_weights_of_the_base_are_back_for_a_block_and_then_those_of_the_training():
    model = random_gpt2(seed=1)
    kept, base = BaseWeights(model), copy.deepcopy(model)
    with torch.no_grad():
        for weights in model.parameters():
            weights.mul_(1.5)
    trained = copy.deepcopy(model)
    for _ in range(2):
        with kept.within(model):
            assert same_weights(model, base)
        assert same_weights(model, trained)
    with pytest.raises(ZeroDivisionError), kept.within(model):
        raise ZeroDivisionError
    assert same_weights(model, trained)


class Quantised(transformers.GPT2LMHeadModel):
    is_quantized = True


def meta():
    with torch.device("meta"):
        return transformers.GPT2LMHeadModel(random_gpt2().config)


def with_adapters():
    model = random_gpt2()
    own_lora(model)
    return model


def added_adapter():
    model = random_gpt2()
    with adapters._quiet():
        model.add_adapter(peft.LoraConfig(target_modules=["c_attn"]))
    return model


def two_adapters():
    model = own_lora(random_gpt2())
    with adapters._quiet():
        model.add_adapter("more", peft.LoraConfig(target_modules="all-linear"))
    return model


def on_the_head():
    return own_lora(random_gpt2(), modules_to_save=["lm_head"])


def other_kind():
    with adapters._quiet():
        return peft.get_peft_model(random_gpt2(), peft.IA3Config("CAUSAL_LM"))


UNFIT = {
    "halves": (
        lambda: random_gpt2().bfloat16(),
        r"has weights in torch\.bfloat16, not float32: call its float\(\) .*'bf16-weights'",
    ),
    "meta": (meta, "has its weights on the device 'meta', so it has none"),
    "quantised": (lambda: Quantised(random_gpt2().config), "is quantised: load it without quantization_config"),
    "adapters": (with_adapters, "has adapters without peft's model around it: give what get_peft_model returned"),
    "added adapter": (added_adapter, "has adapters without peft's model around it"),
    "two adapters": (two_adapters, "has the adapters default, more, not one alone that is named default"),
    "tied": (on_the_head, "has adapters on its head, which is tied to its embeddings"),
    "kind of adapters": (other_kind, "has adapters of the kind IA3, not LORA"),
    "frozen": (lambda: random_gpt2().requires_grad_(False), "has no weight that requires_grad"),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_a_model_that_cannot_be_trained_is_refused_in_one_line(tune, tmp_path, kind):
    make, message = UNFIT[kind]
    with pytest.raises(ValueError, match=f"model must be one that can be trained, and this .* {message}") as caught:
        tune(model=(make(), byte_tokenizer()))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


class Wrapped(torch.nn.Module):
    def __init__(self, **attributes):
        super().__init__()
        self.__dict__.update(attributes)


OTHERS = {
    "compiled": (lambda: torch.compile(random_gpt2(), backend="eager"), "give its _orig_mod"),
    "module": (lambda: torch.nn.Linear(2, 2), "not Linear"),
    "turned round": (lambda: model_of_its_own()[::-1], "not a PreTrainedTokenizerFast|not a TokenizersBackend"),
    "three": (lambda: (1, 2, 3), r"not \(1, 2, 3\)"),
    "no tokenizer": (lambda: (random_gpt2(), "gpt2"), "tokenizer must be a tokenizer, .* not 'gpt2'"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_no_model_is_refused_in_one_line(tune, tmp_path, kind):
    make, message = OTHERS[kind]
    with pytest.raises(TypeError, match=message) as caught:
        tune(model=make())
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_given_model_with_a_nan_is_refused_by_the_name_of_its_weights(tune, tmp_path):
    model, tokenizer = model_of_its_own()
    with torch.no_grad():
        model.transformer.ln_f.weight[0] = math.nan
    with pytest.raises(ValueError, match=r"must be finite, but .*ln_f\.weight holds a NaN"):
        tune(model=(model, tokenizer))
    assert list(tmp_path.iterdir()) == []


def test_settings_are_public():
    assert mapl_explore.Settings is mapl_explore.training.Settings
