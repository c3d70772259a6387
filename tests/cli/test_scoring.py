"""The commands tau, score and select write what the functions return, and refuse before a model loads."""

import json
import math
import warnings
from dataclasses import replace

import numpy as np
import pandas
import pytest
from command_lines import SETS, refused

from conftest import assert_close
from mapl_explore.cli import main as cli
from mapl_explore.data import PreferenceSet, read_sets, write_sets
from mapl_explore.files import sole_writer
from mapl_explore.notes import note


def test_tau_prints_the_three_roots_and_what_each_means(capsys):
    assert cli.main(["tau", "--n", "4", "--gap", "1", "--epsilon", "0.1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    lower, upper, asymptotic = (float(line.split()[1]) for line in lines[1:4])
    # Six digits are printed; each root put back into its equation gives the target.
    assert math.isclose(math.log1p(math.exp(-lower)) / lower, 0.1, rel_tol=1e-4)
    assert math.isclose(math.log1p(3 * math.exp(-upper)) / upper, 0.1, rel_tol=1e-4)
    assert math.isclose(3 * math.exp(-asymptotic) / asymptotic, 0.1, rel_tol=1e-4)
    assert "At and below it, the error is at least 0.1, whatever the others." in lines[1]
    assert "At and above it, the error is at most 0.1, whatever the others." in lines[2]
    assert "3.6% too large, where the bound is 0.0893 and not 0.1" in lines[3]


def test_tau_with_an_alpha_prints_the_roots_of_that_smoothing_and_no_form_that_it_has_not(capsys):
    assert cli.main(["tau", "--n", "4", "--gap", "1", "--epsilon", "0.1", "--alpha", "2"]) == 0
    out = capsys.readouterr().out
    lower, upper = (float(line.split()[1]) for line in out.splitlines()[1:3])
    for n, tau in ((2, lower), (4, upper)):  # the closed form of the bound at alpha = 2
        assert math.isclose((n - 1) * (1 - tau) ** 2 / (2 * n * tau), 0.1, rel_tol=1e-4)
    assert "asymptotic" not in out
    assert "alpha 2" in out
    line = "alpha must be one number from 1 (log-sum-exp) to 2 (sparsemax), not 3.0"
    code, err = refused(capsys, "tau", "--n", "4", "--gap", "1", "--epsilon", "0.1", "--alpha", "3")
    assert (code, line in err) == (2, True)


def test_tau_by_bracket_agrees_with_newton(capsys):
    printed = []
    for method in ("newton", "bracket"):
        assert cli.main(["tau", "--n", "8", "--gap", "0.5", "--epsilon", "0.05", "--method", method]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]


def test_select_writes_pairs_that_finetune_reads_and_whose_margins_are_in_the_band(world_file, tmp_path, capsys):
    from mapl_explore.data import read_sets
    from mapl_explore.models.loading import load_model
    from mapl_explore.models.scoring import score_sets

    output = tmp_path / "pairs.jsonl"
    words = ["select", str(world_file), str(output), "--accept", "Band(low=-2, high=2)", "--size", "30"]
    assert cli.main(words) == 0
    assert "30 of" in capsys.readouterr().out
    pairs = read_sets(output)
    assert len(pairs) == 30
    logp = score_sets(*load_model("tiny"), pairs, progress=False).logp
    # The log-probs depend on how the sets are batched by up to 1e-5 nats.
    assert np.abs(logp[:, 0] - logp[:, 1]).max() <= 2 + 1e-4


def test_select_writes_nothing_when_the_kernel_accepts_nothing(world_file, tmp_path, capsys):
    output = tmp_path / "pairs.jsonl"
    assert cli.main(["select", str(world_file), str(output), "--accept", "Band(low=900, high=901)"]) == 2
    assert "accepts (almost) none of" in capsys.readouterr().err
    assert not output.exists()


def test_tau_of_data_recommends_with_its_reason(world_file, capsys):
    assert cli.main(["tau", "--data", str(world_file), "--epsilon", "0.05"]) == 0
    out = capsys.readouterr().out
    assert "12 sets" in out
    assert "UpperBound(epsilon=0.05)" in out
    assert "recommended: Smooth(tau=" in out
    assert "because one tau of" in out
    assert cli.main(["tau", "--data", str(world_file), "--alpha", "1.5"]) == 0
    out = capsys.readouterr().out
    assert "alpha=1.5)" in next(line for line in out.splitlines() if line.startswith("recommended"))


ONLY_WITH_DATA = (["--share", "0.9"], ["--loss", "dpo"], ["--model", "tiny"], ["--reference", "m"], ["--chat"])


@pytest.mark.parametrize(
    ("words", "unread"),
    [
        *((["--n", "8", "--gap", "0.5", "--epsilon", "0.05", *option], option[0]) for option in ONLY_WITH_DATA),
        (["--data", "SETS", "--method", "newton"], "--method"),
        (["--data", "SETS", "--gap", "1"], "--gap"),
    ],
)
def test_tau_refuses_an_option_that_it_would_not_read(no_model, sets_file, capsys, words, unread):
    code, err = refused(capsys, "tau", *(str(sets_file) if word == "SETS" else word for word in words))
    assert code == 2
    assert f"--data, tau does not read {unread}: leave out" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("words", [["tau", "--data", "x.jsonl", "--n", "4"], ["tau"]])
def test_tau_takes_either_numbers_or_a_file(words, capsys):
    assert cli.main(words) == 2
    assert "--data" in capsys.readouterr().err


RATIOS = "DPO compares log-ratios to a reference, and without one all of them are 0: give --reference MODEL"


@pytest.mark.parametrize("reference", [[], ["--reference", "tiny"]])
@pytest.mark.parametrize("words", [["tau", "--data", "SETS"], ["select", "SETS", "o.jsonl", "--accept", "Band()"]])
def test_log_ratios_to_nothing_are_refused_before_a_model_loads(no_model, sets_file, capsys, words, reference):
    words = [str(sets_file) if word == "SETS" else word for word in words]
    code, err = refused(capsys, *words, "--loss", "dpo", *reference)
    assert code == 2
    assert RATIOS in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["select", "SETS", "nowhere/o.jsonl", "--accept", "Band()"], "there is no folder 'nowhere'"),
        (["select", "SETS", "o.csv", "--accept", "Band()"], "'o.csv' cannot be written: write .jsonl"),
        (["select", "SETS", "SETS", "--accept", "Band()"], "is the file that is read"),
        (["select", "SETS", "/dev/null", "--accept", "Band()"], "is a device"),
        (["select", "SETS", ".", "--accept", "Band()"], "is a folder"),
        (
            ["select", "SETS", "o.jsonl", "--accept", "Band()", "--size", "0"],
            "--size must be an integer from 1",
        ),
        (["select", "SETS", "o.jsonl", "--accept", "Band()", "--size", "100000000000"], "from 1 to 10000000, not 1000"),
        (["select", "SETS", "o.jsonl", "--accept", "Band()", "--seed", "-1"], "--seed must be at least 0, not -1"),
        (["select", "SETS", "o.jsonl", "--accept", "band(0, 2)"], "Did you mean 'Band(low=0, high=2)'?"),
        (["score", "SETS", "nowhere/o.jsonl"], "there is no folder 'nowhere'"),
        (["score", "SETS", "o.txt"], "'o.txt' cannot be written: write .jsonl, .jsonl.gz, .csv, .parquet"),
        (["score", "SETS", "SETS"], "is the file that is read"),
        (["tau", "--data", "SETS", "--share", "2"], "LeaderShare: share must be strictly between 1/2 and 1, not 2.0"),
        (["tau", "--data", "SETS", "--epsilon", "0"], "UpperBound: epsilon must be > 0 and finite, not 0.0"),
    ],
)
def test_what_cannot_end_well_is_refused_before_a_model_loads(no_model, sets_file, capsys, monkeypatch, words, message):
    monkeypatch.chdir(sets_file.parent)
    before = sets_file.read_bytes()
    code, err = refused(capsys, *("sets.jsonl" if word == "SETS" else word for word in words))
    assert code == 2
    assert message in err
    assert [path.name for path in sets_file.parent.iterdir()] == ["sets.jsonl"]
    assert sets_file.read_bytes() == before


@pytest.mark.parametrize("words", [["select", "--accept", "Band()"], ["score"]])
def test_a_second_writer_of_one_output_is_refused_at_once(no_model, sets_file, capsys, words):
    output = sets_file.parent / "o.jsonl"
    with sole_writer(output):
        code, err = refused(capsys, words[0], str(sets_file), str(output), *words[1:])
    assert code == 2
    assert "is being written by another process" in err


def as_scored(rows):
    return [[row[name] for name in ("logp", "ref_logp", "length", "label")] for row in rows]


def expected_rows(models):
    from mapl_explore.models.loading import load_model
    from mapl_explore.models.scoring import score_sets

    model, tokenizer = load_model(models[0])
    scored = score_sets(model, tokenizer, SETS, reference=load_model(models[1])[0], progress=False)
    columns = (scored.logp, scored.ref_logp, scored.length, scored.label)
    return [[column[i, j].item() for column in columns] for i in range(len(SETS)) for j in range(3)]


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".csv", ".parquet"])
def test_score_writes_what_score_sets_returns_in_the_format_of_the_name(two_models, sets_file, tmp_path, suffix):
    output = tmp_path / f"scores{suffix}"
    words = ["--model", two_models[0], "--reference", two_models[1]]
    assert cli.main(["score", str(sets_file), str(output), *words]) == 0
    readers = {".csv": pandas.read_csv, ".parquet": pandas.read_parquet}
    table = readers.get(suffix, lambda path: pandas.read_json(path, lines=True))(output)
    assert list(table) == ["set", "prompt", "response", "label", "length", "logp", "ref_logp"]
    rows = table.to_dict("records")
    assert_close(np.array(as_scored(rows)), np.array(expected_rows(two_models)), k=64, dtype="float32")
    texts = [(i, one.prompt, text) for i, one in enumerate(SETS) for text in (*one.positives, *one.negatives)]
    assert [(row["set"], row["prompt"], row["response"]) for row in rows] == texts


@pytest.fixture
def graded_file(tmp_path):
    path = tmp_path / "graded.jsonl"
    write_sets(path, [replace(one, scores=[i / 3, -1, 2]) for i, one in enumerate(SETS)])
    return path


def test_scores_of_sets_are_the_column_reward_and_stay_with_selected_pairs(two_models, graded_file, tmp_path):
    output, model = tmp_path / "scores.jsonl", ["--model", two_models[0]]
    assert cli.main(["score", str(graded_file), str(output), *model]) == 0
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert list(rows[0]) == ["set", "prompt", "response", "label", "reward", "length", "logp"]
    assert [row["reward"] for row in rows] == [score for i in range(len(SETS)) for score in (i / 3, -1, 2)]
    pairs = tmp_path / "pairs.jsonl"
    assert cli.main(["select", str(graded_file), str(pairs), *model, "--accept", "Band(low=-99, high=99)"]) == 0
    for one in read_sets(pairs):
        number = [each.prompt for each in SETS].index(one.prompt)
        assert one.scores == (number / 3, {" no": -1, " x": 2}[one.negatives[0]])


@pytest.mark.parametrize("command", ["tau", "select", "score"])
def test_scores_in_some_sets_alone_are_refused_before_a_model_loads(no_model, graded_file, capsys, command):
    write_sets(graded_file, [*read_sets(graded_file), SETS[0]])
    words = {"tau": ["--data", "F"], "select": ["F", "o.jsonl", "--accept", "Band()"], "score": ["F", "o.csv"]}[command]
    output = str(graded_file.parent / "o.csv")
    words = [{"F": str(graded_file), "o.csv": output, "o.jsonl": output[:-3] + "jsonl"}.get(one, one) for one in words]
    code, err = refused(capsys, command, *words)
    assert code == 2
    line = f"scores must stand in all sets or in none: 1 of 5 has none, first {graded_file}:5"
    assert line in err
    assert err.count("\n") == 1


def test_score_without_a_reference_has_no_column_of_it(two_models, sets_file, tmp_path):
    output = tmp_path / "scores.jsonl"
    assert cli.main(["score", str(sets_file), str(output), "--model", two_models[0]]) == 0
    assert "ref_logp" not in json.loads(output.read_text().splitlines()[0])


def test_select_by_log_ratios_takes_those_of_the_two_models(two_models, sets_file, tmp_path, capsys):
    rows = np.array(expected_rows(two_models)).reshape(len(SETS), 3, 4)
    ratios = rows[:, :, 0] - rows[:, :, 1]
    margins = ratios[:, :1] - ratios[:, 1:]
    low = np.sort(margins.ravel())[-1] - 1e-6  # room for the largest margin alone
    output = tmp_path / "pairs.jsonl"
    words = ["--model", two_models[0], "--reference", two_models[1], "--loss", "dpo"]
    words += ["--accept", f"Band(low={low}, high=1000)", "--size", "1"]
    assert cli.main(["select", str(sets_file), str(output), *words]) == 0
    number, column = np.unravel_index(margins.argmax(), margins.shape)
    best = PreferenceSet(SETS[number].prompt, SETS[number].positives, [SETS[number].negatives[column]])
    assert read_sets(output) == [best]


def test_tau_of_data_says_against_which_reference(two_models, sets_file, capsys):
    words = ["--model", two_models[0], "--reference", two_models[1], "--loss", "dpo"]
    assert cli.main(["tau", "--data", str(sets_file), *words]) == 0
    assert f"under {two_models[0]} against {two_models[1]}\n" in capsys.readouterr().out


def test_tau_of_data_names_no_reference_where_the_loss_reads_none(two_models, sets_file, capsys):
    words = ["--model", two_models[0], "--reference", two_models[1]]
    assert cli.main(["tau", "--data", str(sets_file), *words]) == 0
    assert capsys.readouterr().out.startswith(f"4 sets; scores of MaxMin(pair=Hardest()) under {two_models[0]}\n")


def test_a_reference_that_reads_other_tokens_is_refused(two_models, sets_file, tmp_path, capsys):
    output = tmp_path / "o.jsonl"
    code, err = refused(capsys, "score", str(sets_file), str(output), "--model", "tiny", "--reference", two_models[0])
    assert code == 2
    assert f"--reference {two_models[0]} reads the responses as other tokens than --model tiny" in err
    assert not output.exists()


@pytest.mark.parametrize("command", ["tau", "select", "score"])
@pytest.mark.parametrize(("given", "chat"), [
    ([], "auto"), (["--chat"], "always"), (["--chat", "always"], "always"), (["--chat", "never"], "never"),
])  # fmt: skip
def test_chat_is_passed_on_to_the_scoring_of_both_models(command, given, chat, sets_file, monkeypatch, capsys):
    from mapl_explore.losses import ScoredSets

    asked = []

    def scores_by_name(model, sets, *, chat, device, batch_size, precision, fresh, before):
        assert (device, batch_size, precision, fresh) == ("auto", None, "float32", False)
        asked.append((model, chat))
        logp = np.array([[-1.0, -2.0, -2.5]] * len(sets)) * (1 if model == "m" else 1.5)
        return ScoredSets(logp, logp, [[3] * 3] * len(sets), [[1, -1, -1]] * len(sets))

    monkeypatch.setattr("mapl_explore.models.kept_scores.scores_by_name", scores_by_name)
    output = str(sets_file.parent / "o.jsonl")
    words = {
        "tau": ["--data", str(sets_file)],
        "select": [str(sets_file), output, "--accept", "Band(low=-9, high=9)"],
        "score": [str(sets_file), output],
    }[command]
    assert cli.main([command, *words, "--model", "m", "--reference", "r", *given]) == 0
    assert asked == [("m", chat), ("r", chat)]


def test_a_note_that_is_given_again_is_no_second_line(capsys):
    with cli._notes_as_lines():
        for _ in range(2):
            with warnings.catch_warnings():
                pass  # Python forgets what it has shown
            note("once")
    assert capsys.readouterr().out == "note: once\n"


def test_a_note_of_the_library_is_a_line_and_said_once(two_models, sets_file, capsys):
    long = [PreferenceSet("p" * 100, ["a"], ["b", "c"])]
    write_sets(sets_file, long)
    words = ["--model", two_models[0], "--reference", two_models[1], "--loss", "dpo"]
    assert cli.main(["tau", "--data", str(sets_file), *words]) == 0
    out = capsys.readouterr().out
    assert out.startswith("note: cut to 64 tokens, the most that are read: 0 of 3 responses")
    assert out.count("note: ") == 1


@pytest.mark.parametrize("loss", ["sft", "InfoNCA()", "GRPO()"])
def test_tau_of_a_loss_that_makes_no_pair_is_refused_before_a_model_loads(no_model, sets_file, capsys, loss):
    code, err = refused(capsys, "tau", "--data", str(sets_file), "--loss", loss)
    assert code == 2
    assert "makes no pair of a set, so there is no tau to choose for it" in err


def test_tau_of_a_loss_a_token_says_so(two_models, sets_file, capsys):
    assert cli.main(["tau", "--data", str(sets_file), "--model", two_models[0], "--loss", "simpo"]) == 0
    out = capsys.readouterr().out
    assert "gap (nats a token)" in out
    assert "tau (1/nats a token)" in out


def test_a_number_with_an_exponent_is_no_option(tmp_path, capsys):
    path = tmp_path / "scored.jsonl"
    path.write_text(json.dumps({"prompt": "p", "responses": ["a", "b"], "scores": [-1e6, -5e6]}))
    assert cli.main(["data", "convert", str(path), str(tmp_path / "out.jsonl"), "--threshold", "-3e6"]) == 0
    assert read_sets(tmp_path / "out.jsonl") == [PreferenceSet("p", ["a"], ["b"], [-1e6, -5e6])]
