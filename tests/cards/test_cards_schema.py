"""Cards as files: what the schema accepts, and its errors for everything else."""

import json
import subprocess
import sys

import pytest
import yaml

from visionzoo.cards import card_folder, card_names, find_card, read_card, read_cards
from visionzoo.cards.files import missing_cards
from visionzoo.cards.schema import STATUS, ZooFields, json_schema
from visionzoo.config import config_names, load_config
from visionzoo.config.data_parts import tasks_of
from visionzoo.errors import CardError, UnknownName
from visionzoo.front_matter import split_front_matter

NAME = "rcnet_retinanet"


@pytest.fixture
def edited(tmp_path):
    """Write a copy of a card with its front matter changed by a function, and return its path."""

    def write(change, name=NAME, stem=None):
        front, body = split_front_matter(find_card(name).read_text(), find_card(name))
        fields = yaml.safe_load(front)
        change(fields)
        path = tmp_path / f"{stem or name}.md"
        path.write_text(f"---\n{yaml.safe_dump(fields, sort_keys=False)}---\n{body}")
        return path

    return write


def complaint(path):
    with pytest.raises(CardError) as caught:
        read_card(path)
    return str(caught.value)


def test_every_config_has_a_card_and_every_card_a_config():
    assert card_names() == config_names()
    assert missing_cards() == []


@pytest.mark.parametrize("name", config_names())
def test_card_agrees_with_its_config(name):
    card = read_card(name)
    assert card.tasks == tasks_of(load_config(name).cfg)
    assert card.summary
    assert card.params >= card.zoo.compute.trainable
    needed = {"build", "forward", "eval"} | ({"learn"} if card.params else set())
    assert {check.kind for check in card.zoo.checks} >= needed


def test_json_schema_is_up_to_date():
    stored = json.loads((card_folder() / "schema.json").read_text())
    assert stored == json_schema(), "refresh it with `visionzoo cards schema --write`"


def test_every_status_is_explained():
    assert set(ZooFields.model_json_schema()["properties"]["status"]["enum"]) == set(STATUS)


def test_numbers_of_a_paper_name_their_source():
    for card in read_cards():
        for result, _ in card.numbers("paper"):
            assert result.source.url.startswith("https://")


def test_the_hub_understands_the_cards():
    from huggingface_hub import ModelCardData
    from huggingface_hub.repocard_data import model_index_to_eval_results

    for card in read_cards():
        front = yaml.safe_load(split_front_matter(card.text, card.path)[0])
        if front["model-index"][0]["results"]:
            name, results = model_index_to_eval_results(front["model-index"])
            assert name == card.name
            assert [result.metric_value for result in results][: len(results)]
        assert ModelCardData(**{key: value for key, value in front.items() if key != "model-index"}).license


def test_reading_cards_imports_no_torch():
    code = "import sys, visionzoo.cards as c; c.read_cards(); print(sorted({'torch', 'mmdet'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_unknown_field_suggests_the_nearest(edited):
    path = edited(lambda card: card["visionzoo"].update(licences=card["visionzoo"].pop("licenses")))
    text = complaint(path)
    assert "visionzoo.licences: no such field; did you mean licenses?" in text
    assert "visionzoo.licenses: expected this field, found none; add it" in text


def test_unknown_field_inside_a_check(edited):
    path = edited(lambda card: card["visionzoo"]["checks"][1].update(tolerence=1.0))
    assert complaint(path) == f"{path}: visionzoo.checks.1.tolerence: no such field; did you mean tolerance?"


def test_wrong_type_is_not_converted(edited):
    path = edited(lambda card: card["visionzoo"]["compute"].update(params="37636598"))
    assert complaint(path).startswith(
        f"{path}: visionzoo.compute.params: the value should be a valid integer, found '37636598'"
    )


@pytest.mark.parametrize("which", ["code", "weights", "data"])
def test_missing_licence(edited, which):
    path = edited(lambda card: card["visionzoo"]["licenses"].pop(which))
    assert complaint(path) == f"{path}: visionzoo.licenses.{which}: expected this field, found none; add it"


def test_name_and_config_follow_from_the_file(edited):
    zoo = read_card(edited(lambda card: None)).zoo
    assert (zoo.name, zoo.config) == (NAME, f"configs/{NAME}.py")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda card: card["model-index"][0].update(name="rcnet"),
            "model-index.0.name: expected 'rcnet_retinanet' as in the file's name, found 'rcnet'",
        ),
        (
            lambda card: card["visionzoo"].update(name="rcnet"),
            "visionzoo.name: expected 'rcnet_retinanet' as in the file's name, found 'rcnet'",
        ),
        (
            lambda card: card["visionzoo"].update(config="configs/a.py"),
            "visionzoo.config: expected 'configs/rcnet_retinanet.py' as in the file's name, found 'configs/a.py'",
        ),
        (
            lambda card: card.update(license="mit"),
            "license: expected 'apache-2.0' as in visionzoo.licenses.code, found 'mit'",
        ),
        (
            lambda card: card["model-index"][0]["results"][1]["task"].update(type="other"),
            "model-index.0.results.1.task.type: expected 'object-detection' as in pipeline_tag, found 'other'",
        ),
    ],
)
def test_what_is_repeated_for_the_hub_is_equal(edited, change, expected):
    path = edited(change)
    assert complaint(path) == f"{path}: {expected}; fix it"


def test_cards_of_a_task_have_one_pipeline_tag():
    tags = {(card.task, card.fields.pipeline_tag) for card in read_cards() if len(card.tasks) == 1}
    assert len(tags) == len({task for task, _ in tags})


def test_number_of_a_paper_without_source(edited):
    path = edited(lambda card: card["model-index"][0]["results"][0].pop("source"))
    assert complaint(path) == (
        f"{path}: model-index.0.results.0: a paper's number needs a `source` with name and url beside `metrics`, "
        "found none; add it"
    )


def args_of(card):
    """Return the ``args`` of the number that the run ``tiny`` measured."""
    return card["model-index"][0]["results"][1]["metrics"][0]["args"]


@pytest.mark.parametrize("lacking", ["run", "unit"])
def test_measured_number_refers_to_a_run(edited, lacking):
    text = complaint(edited(lambda card: args_of(card).pop(lacking)))
    assert f"results.1.metrics.0.args.{lacking}: expected this field, found none; add it" in text


def test_run_states_commit_or_version(edited):
    path = edited(lambda card: card["visionzoo"]["runs"]["tiny"].pop("commit"))
    assert complaint(path) == (
        f"{path}: visionzoo.runs.tiny: a run needs the `commit` or the `version` of visionzoo, found none; add it"
    )


@pytest.mark.parametrize("lacking", ["command", "date", "hardware"])
def test_run_states_how_to_measure_again(edited, lacking):
    path = edited(lambda card: card["visionzoo"]["runs"]["tiny"].pop(lacking))
    assert complaint(path) == f"{path}: visionzoo.runs.tiny.{lacking}: expected this field, found none; add it"


def test_run_written_at_a_number_is_moved(edited):
    path = edited(lambda card: args_of(card).update(command="visionzoo test x"))
    assert complaint(path) == (
        f"{path}: model-index.0.results.1.metrics.0.args.command: no such field; "
        "write it once in visionzoo.runs, and refer to it with `run: ID`"
    )


@pytest.mark.parametrize(("run", "advice"), [("tinny", "did you mean 'tiny'?"), ("a100", "add it there")])
def test_unknown_run(edited, run, advice):
    path = edited(lambda card: args_of(card).update(run=run))
    assert complaint(path) == (
        f"{path}: model-index.0.results.1.metrics.0.args.run: expected an id of visionzoo.runs, found '{run}'; {advice}"
    )


def test_unused_run(edited):
    def change(card):
        card["visionzoo"]["runs"]["idle"] = card["visionzoo"]["runs"]["tiny"]

    path = edited(change)
    assert complaint(path) == (
        f"{path}: visionzoo.runs.idle: expected a measured number with `run: idle`, found none; "
        "refer to it or remove it"
    )


def test_card_finds_the_run_of_a_number():
    card = read_card(NAME)
    commits = [card.run_of(metric).commit for _, metric in card.numbers("measured")]
    assert commits == ["b43628d", "f79c557", "f79c557"]
    assert [card.run_of(metric) for _, metric in card.numbers("paper")] == [None]


def test_number_is_either_of_paper_or_measured(edited):
    def change(card):
        args_of(card)["origin"] = "estimated"

    assert "estimated" in complaint(edited(change))


WEIGHTS = {
    "id": "in1k_224",
    "url": "https://example.org/a.pth",
    "checked_by": "first_download",
    "format": {"converter": "dinat", "use": "classifier"},
    "for": "model",
    "license": "MIT",
    "provenance": "the authors trained it on ImageNet-1k",
}


def with_weights(edited, *entries):
    return edited(lambda card: card["visionzoo"].update(weights=[{**WEIGHTS, **entry} for entry in entries]))


def test_weights_of_every_origin_are_read(edited):
    path = with_weights(
        edited,
        {},
        {"id": "by_hash", "sha256": "a" * 64, "checked_by": "sha256", "bytes": 5, "mirrors": ["https://b.org/a.pth"]},
        {"id": "by_name", "url": "http://example.org/net-0123abcd.pth", "checked_by": "file_name"},
        {"id": "by_hand", "url": None, "page": "https://drive.example.org/x", "file": "a.pth"},
        {"id": "of_pip", "url": "pip://torch/torch/a.pth", "format": {}},
    )
    weights = read_card(path).zoo.weights
    assert [each.name for each in weights] == ["a.pth", "a.pth", "net-0123abcd.pth", "a.pth", "a.pth"]
    assert [each.for_ for each in weights] == ["model"] * 5
    assert read_card(path).fields.model_dump(by_alias=True)["visionzoo"]["weights"][0]["for"] == "model"


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"sha256": "12"}, "weights.0.sha256: the value should"),
        ({"url": "ftp://example.org/a"}, "weights.0.url: the value should"),
        ({"url": None}, "weights.0: a file without `url` needs `page` and `file`, found none; add it"),
        ({"url": "https://example.org/"}, "weights.0: a `url` without the name of a file needs `file`, found none"),
        (
            {"checked_by": "sha256"},
            "weights.0: `checked_by` expected first_download for a.pth without `sha256`, found sha256; fix it",
        ),
        ({"sha256": "a" * 64}, "`checked_by` expected sha256 for a.pth with `sha256`, found first_download"),
        ({"url": "https://example.org/a-0123abcd.pth"}, "`checked_by` expected file_name for a-0123abcd.pth"),
        ({"url": "http://example.org/a.pth"}, "an http address needs `sha256` or hex digits in the file's name"),
        ({"format": {"use": "model"}}, "weights.0.format: `use` and `options` belong to a `converter`, found none"),
        ({"format": {"convertor": "dinat"}}, "weights.0.format.convertor: no such field; did you mean converter?"),
        ({"licence": "MIT"}, "weights.0.licence: no such field; did you mean license?"),
    ],
)
def test_weights_that_contradict_themselves(edited, entry, expected):
    assert expected in complaint(with_weights(edited, entry))


def test_ids_of_weights_are_unique(edited):
    assert "weights: every `id` once, found in1k_224 2 times; fix it" in complaint(with_weights(edited, {}, {}))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# no front matter\n", "expected YAML between two lines `---` on top, found none"),
        ("---\na: [1\n---\n", "expected valid YAML, but"),
        ("---\nlicense: mit\nlicense: mit\n---\n", ":3: expected valid YAML, but 'license' is written twice"),
        ("---\n- 1\n---\n", "expected a mapping as front matter, found list"),
        ("---\n---\n", "expected a mapping as front matter, found NoneType"),
    ],
)
def test_broken_front_matter(tmp_path, text, expected):
    path = tmp_path / "x.md"
    path.write_text(text)
    assert expected in complaint(path)


def test_card_that_is_not_there_or_not_text(tmp_path):
    assert "can be read" in complaint(tmp_path / "none.md")
    (tmp_path / "binary.md").write_bytes(b"\xff\xfe\x00")
    assert "can be read" in complaint(tmp_path / "binary.md")


def test_unknown_card_suggests_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'rcnet_retinanet'"):
        find_card("rcnet_retinnet")
