"""Files, tables and lists are read by their content; what is no list of records is told in one line."""

import bz2
import gzip
import json
import lzma
import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import datasets
import pandas
import pyarrow.parquet
import pytest
from format_records import PAIR, RECORDS, SUM, written

from mapl_explore.cli import main as cli
from mapl_explore.data import PreferenceSet, read_all, read_sets, write_sets
from mapl_explore.data.world import world_sets
from mapl_explore.notes import Note


@pytest.mark.parametrize("name", ["gone.jsonl", "gone.jsonl.gz", "gone.parquet"])
def test_a_file_that_is_not_there_is_told_by_its_name_and_the_reason(tmp_path, name):
    with pytest.raises(FileNotFoundError, match="No such file or directory") as caught:
        read_sets(tmp_path / name)
    assert caught.value.filename == str(tmp_path / name)


@pytest.mark.parametrize("name", RECORDS)
def test_a_table_and_its_parquet_file_read_as_the_lines_do(name, tmp_path):
    record, expected = RECORDS[name]
    table = datasets.Dataset.from_list([record])
    table.to_parquet(tmp_path / "data.parquet")
    assert read_sets(table) == read_sets(tmp_path / "data.parquet") == [expected]


def test_a_compressed_file_reads_as_the_plain_one(tmp_path):
    write_sets(tmp_path / "plain.jsonl", world_sets(20, seed=1))
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress((tmp_path / "plain.jsonl").read_bytes()))
    assert read_sets(tmp_path / "packed.jsonl.gz") == world_sets(20, seed=1)


def test_a_compressed_file_cut_short_or_damaged_is_refused(tmp_path):
    write_sets(tmp_path / "plain.jsonl", world_sets(20, seed=1))
    packed = gzip.compress((tmp_path / "plain.jsonl").read_bytes())
    for damaged in (packed[: len(packed) // 2], packed[:50] + bytes(50) + packed[100:], packed[:-8] + bytes(8)):
        (tmp_path / "packed.jsonl.gz").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"packed.jsonl.gz: not a whole gzip file"):
            read_sets(tmp_path / "packed.jsonl.gz")


@pytest.mark.parametrize(("name", "split"), [("some/pairs", "train"), ("some/pairs:test", "test")])
def test_a_name_that_is_no_file_is_asked_for_at_the_hub_by_split_and_without_code(name, split, monkeypatch):
    asked = []

    def load_dataset(*words, **options):
        asked.append((words, options))
        return datasets.Dataset.from_list([RECORDS["trl, plain"][0]])

    monkeypatch.setattr("huggingface_hub.HfApi", lambda: SimpleNamespace(dataset_info=lambda *_, **__: None))
    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    assert read_sets(name) == [SUM]
    assert asked == [(("some/pairs",), {"split": split})]


def test_a_hub_that_cannot_be_reached_is_one_line(monkeypatch):
    def unreachable(*_, **__):
        raise ConnectionError("no route\nmore")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: SimpleNamespace(dataset_info=unreachable))
    with pytest.raises(OSError, match=r"^no file 'some/pairs' here, .*\(ConnectionError: no route\)$"):
        read_sets("some/pairs")


STACKED = {
    "an array on one line": json.dumps([PAIR, PAIR]),
    "an array with a record a line": f"[\n{json.dumps(PAIR)},\n{json.dumps(PAIR)}\n]\n",
    "an array over many lines": json.dumps([PAIR, PAIR], indent=2),
    "an array after blank lines": "\n \n" + json.dumps([PAIR, PAIR], indent=2) + "\n\n",
    "objects over many lines": json.dumps(PAIR, indent=2) + "\n" + json.dumps(PAIR, indent=2),
    "one object over many lines": json.dumps(PAIR, indent=2),
}


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "mark"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("form", STACKED)
def test_json_is_read_however_it_is_laid_out(form, pack, mark, tmp_path):
    (tmp_path / "data.jsonl").write_bytes(pack((mark + STACKED[form]).encode()))
    assert read_sets(tmp_path / "data.jsonl") == [SUM]


@pytest.mark.parametrize("lay_out", [json.dumps, lambda rows: "".join(json.dumps(row) + "\n" for row in rows)])
def test_a_table_without_names_of_columns_is_told_in_one_line(lay_out, tmp_path, capsys):
    rows = pandas.DataFrame([PAIR, PAIR]).values.tolist()
    (tmp_path / "data.json").write_text(lay_out(rows))
    with pytest.raises(
        ValueError, match=r"data.json:1: .*a list, without names .*frame.to_json\(FILE, orient='records'"
    ):
        read_sets(tmp_path / "data.json")
    cli.main(["data", "check", str(tmp_path / "data.json")])
    assert capsys.readouterr().out.count("fault: ") == 1


@pytest.mark.parametrize("fault", ["the text of", "a control character in", "an escape in", "an end of"])
def test_a_fault_in_json_is_told_in_words_that_stand_once(fault, tmp_path):
    line = {
        "the text of": '{"prompt": "p',
        "a control character in": '{"prompt": "a\x01b"}',
        "an escape in": r'{"prompt": "a\qb"}',
        "an end of": '{"prompt": "a\\',
    }[fault]
    path = written(tmp_path / "data.jsonl", PAIR)
    path.write_text(path.read_text() + line)
    with pytest.raises(ValueError, match=r"data.jsonl:2: not a JSON object \([^:]+\w at column 1[1-6]\)$") as caught:
        read_sets(path)
    assert "at at" not in str(caught.value)


def test_an_array_of_another_encoding_is_told_by_its_line(tmp_path):
    (tmp_path / "data.json").write_bytes('\n[{"prompt": "p"},\n{"prompt": "é"}]'.encode("latin-1"))
    with pytest.raises(ValueError, match=r"data.json:3: not UTF-8 text \(invalid"):
        read_sets(tmp_path / "data.json")


def test_a_fault_in_an_array_is_told_by_the_number_and_the_line_of_its_record(tmp_path):
    (tmp_path / "data.json").write_text("\n" + json.dumps([PAIR, {"prompt": "p", "chosen": "a"}, 3], indent=1))
    places = [str(fault).partition("data.json: ")[2] for fault in read_all(tmp_path / "data.json").faults]
    assert places == [
        "record 2 (line 8): the field 'rejected' is missing",
        "record 3 (line 12): not a JSON object but 3",
    ]


BROKEN = {
    "[1, 2": r"data: the array has no end",
    "[": r"data: the array has no end",
    '[{"a": 1},\n{"a" 2}]': r"data: record 2 \(line 2\): not a JSON object \(Expecting ':' .* at line 2 column 6\)",
    "[{}\n{}]": r"data: record 1 \(line 1\): after it a comma or the end of the array must come, not '{}\]'",
    "[{}]\n[{}]": r"data: text after the end of the array",
    "[" * 100_000: r"data: record 1 \(line 1\): .*nested too deeply",
    "[" + "9" * 5000 + "]": r"data: record 1 \(line 1\): .*a whole number of more than 4300 digits",
    "{": r"data: record 1 \(line 1\): not a JSON object \(Expecting property name",
    '{"prompt":' * 100_000: r"data: record 1 \(line 1\): .*nested too deeply|data:1: .*nested too deeply",
    '{"prompt": ' + "9" * 5000 + "}": r"data:1: .*a whole number of more than 4300 digits",
    '{"prompt": "p", "completions": ["a", "b"], "scores": [1, 1e999]}': r"data:1: scores\[1\] .*finite .*, not inf",
    '{"prompt": "p", "completions": ["a", "b"], "scores": [NaN, 1]}': r"data:1: scores\[0\] .*finite .*, not nan",
    "": "data: there is nothing in it, no record at all",
    " \n\t\r\n": "data: there is nothing in it, no record at all",
    "\ufeff\n": "data: there is nothing in it, no record at all",
    "[]": "data: there is nothing in it, no record at all",
    "prompt,chosen,rejected\nq,yes,no\n": r"data:1: not a JSON object but 'prompt,chosen,rejected'; if this is CSV,"
    r" write it as JSONL first: python -c \"import pandas; pandas.read_csv\('.*data'\).to_json\('data.jsonl', .*\)\"$",
    '"prompt";"chosen"\n': r"data:1: not a JSON object but '\"prompt\";\"chosen\"'; .*'.*data', sep=';'\).to_json",
    "prompt\tchosen, or not\trejected\n": r"if this is TSV, .* pandas.read_csv\('.*data', sep='\\t'\).to_json",
    "<html>": "data: not JSON in UTF-8 but an HTML page: download the file itself",
    "\n <!DOCTYPE html>\n<html>": "data: not JSON in UTF-8 but an HTML page: download the file itself",
    "# c, d\n{}": "data: not JSON in UTF-8 but a comment, and JSON has none: remove it$",
    "<a, b>": r"data:1: not a JSON object but '<a, b>'",
    "null\n": r"data:1: not a JSON object but None$",
    "3": r"data:1: not a JSON object but 3$",
    '"a, b"\n{': r"data:1: not a JSON object but 'a, b'$",
}


@pytest.mark.parametrize("content", BROKEN, ids=range(len(BROKEN)))
def test_a_file_that_is_no_list_of_records_is_one_line(content, tmp_path, capsys):
    (tmp_path / "data").write_text(content)
    with pytest.raises(ValueError, match=BROKEN[content]):
        read_sets(tmp_path / "data")
    assert cli.main(["data", "check", str(tmp_path / "data")]) in (1, 2)
    out, err = capsys.readouterr()
    assert out.count("fault: ") <= 1
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"PK\x03\x04\x14", "a zip archive"), (pickle.dumps({"a": 1}), "a pickle"), (b"\x08\x00{}", "a binary file"),
     ('{"prompt": "é"}'.encode("utf-16"), "UTF-16 text"), ('{"prompt": "é"}'.encode("utf-16-le"), "a binary file"),
     (b"\x89PNG\r\n\x1a\n, ", "an image"), (b"%PDF-1.7, a\n", "a PDF file"), (b"a,\x01b;c\n", "a binary file"),
     (b"version https://git-lfs.github.com/spec/v1\noid sha256:4\n", "a Git LFS pointer, .* git lfs pull"),
     ("d,\u00e9".encode("latin-1"), "a binary file, or text of another encoding"),
     (bz2.compress(b"{}"), "a bzip2 file"), (lzma.compress(b"{}"), "an xz file")],
)  # fmt: skip
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_file_that_is_no_text_is_told_by_what_it_is(content, kind, pack, tmp_path):
    for name in ("data.jsonl", "data.csv"):
        (tmp_path / name).write_bytes(pack(content))
        with pytest.raises(ValueError, match=rf"{name}: not JSON in UTF-8 but {kind}"):
            read_sets(tmp_path / name)


def test_the_content_and_not_the_name_tells_what_a_file_is(tmp_path):
    write_sets(tmp_path / "o.parquet", [SUM])
    write_sets(tmp_path / "o.jsonl.gz", [SUM])
    write_sets(tmp_path / "o.jsonl", [SUM])
    others = ("o.parquet", "a.jsonl"), ("o.jsonl.gz", "b.csv"), ("o.jsonl", "c.jsonl.gz")
    for name, other in others:
        assert read_sets((tmp_path / name).rename(tmp_path / other)) == [SUM]


@pytest.mark.parametrize("content", [b"", b"text", b"PAR1 and no more"])
def test_a_broken_parquet_file_is_one_line(content, tmp_path):
    (tmp_path / "o.parquet").write_bytes(content)
    with pytest.raises(ValueError, match=r"o.parquet: not a whole parquet file \("):
        read_sets(tmp_path / "o.parquet")


def test_the_way_out_does_not_write_over_the_table(tmp_path):
    (tmp_path / "a.jsonl").write_text("prompt\tchosen\trejected\n")
    with pytest.raises(ValueError, match=r"to_json\('a_records.jsonl'"):
        read_sets(tmp_path / "a.jsonl")


@pytest.mark.parametrize("name", ["a.csv", "a.CSV", "a.csv.gz", "a.tsv", "a.xlsx"])
def test_a_table_of_another_program_is_refused_by_name_with_the_way_out(name, tmp_path):
    (tmp_path / name).write_text("prompt,chosen,rejected\nq,yes,no\n")
    with pytest.raises(ValueError, match=rf"{name}: .* is not read; write it as JSONL .*pandas.read_\w+\('.*{name}'"):
        read_sets(tmp_path / name)


@pytest.mark.parametrize(
    ("suffix", "separator"), [("csv", ","), ("csv", ";"), ("csv", "\t"), ("tsv", "\t"), ("tsv", ",")]
)
def test_the_way_out_of_csv_works(suffix, separator, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(f"a.{suffix}").write_text("prompt,chosen,rejected\n2 + 2 =,four,five\n".replace(",", separator))
    with pytest.raises(ValueError, match="python -c") as caught:
        read_sets(f"a.{suffix}")
    exec(str(caught.value).partition('python -c "')[2].removesuffix('"'), {})
    assert read_sets("a.jsonl") == [PreferenceSet("2 + 2 =", ["four"], ["five"])]


def test_the_standard_input_is_read_by_its_name(tmp_path):
    words = [sys.executable, "-m", "mapl_explore", "data", "check"]
    done = subprocess.run([*words, "/dev/stdin"], input=json.dumps(PAIR), capture_output=True, text=True)
    assert "/dev/stdin: 1 record in the format trl, 1 set" in done.stdout
    with pytest.raises(ValueError, match=r"'-' is no file; to read the standard input, name /dev/stdin"):
        read_sets("-")


def test_records_in_a_list_are_read_and_named_by_their_row():
    assert read_sets([PAIR, PAIR]) == [SUM]
    with pytest.raises(ValueError, match=r"^row 2: the field 'rejected' is missing"):
        read_sets([PAIR, {"prompt": "p", "chosen": "a"}])


@pytest.mark.parametrize(
    ("source", "rule"),
    [(None, "not None"), (3, "not 3"), (PreferenceSet, "not <class"), (datasets.Dataset, "not <class"),
     ((one for one in [PAIR]), "not <generator"), ({"prompt": "p"}, r"not \{'prompt'"), (b"a.jsonl", "not b'a"),
     (pyarrow.table({"prompt": ["p"]}), "not pyarrow.Table"),
     (pandas.DataFrame([PAIR]), r"of a pandas DataFrame, datasets.Dataset.from_pandas\(frame\), not"),
     (datasets.DatasetDict(test=datasets.Dataset.from_list([PAIR])), r"one split .*, as source\['test'\]")],
)  # fmt: skip
def test_a_source_of_another_kind_is_one_line(source, rule):
    with pytest.raises(TypeError, match=f"^source must .*{rule}"):
        read_sets(source)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(IsADirectoryError):
        read_sets(tmp_path)


def test_a_table_of_pandas_is_read_by_the_way_that_the_error_names():
    assert read_sets(datasets.Dataset.from_pandas(pandas.DataFrame([PAIR]))) == [SUM]


def test_a_byte_order_mark_and_unusual_line_breaks_are_no_fault(tmp_path):
    one = PreferenceSet("a\u2028b\x85c", ["\u2029"], ["d"])
    write_sets(tmp_path / "odd.jsonl", [one, SUM])
    (tmp_path / "odd.jsonl").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "odd.jsonl").read_bytes())
    assert read_sets(tmp_path / "odd.jsonl") == [one, SUM]


def test_describing_and_reading_lines_do_not_wait_for_datasets(tmp_path):
    path = written(tmp_path / "data.jsonl", RECORDS["ours"][0])
    code = (
        "import sys; from mapl_explore.cli import main as cli; cli.main(sys.argv[1:]); print('datasets' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, "data", "check", str(path)], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_columns_given_as_records_are_told_the_way():
    with pytest.raises(TypeError, match=r"of columns, datasets.Dataset.from_dict\(columns\), not {'prompt'"):
        read_sets({"prompt": ["p"], "chosen": ["a"], "rejected": ["b"]})


def test_records_that_a_threshold_leaves_out_are_told(tmp_path):
    records = [{"prompt": p, "responses": ["a", "b"], "scores": scores} for p, scores in (("p", [3, 1]), ("q", [3, 2]))]
    with pytest.warns(Note, match="1 record left out, whose scores make no two sides"):
        assert read_sets(records, threshold=2) == [PreferenceSet("p", ["a"], ["b"], [3, 1])]
