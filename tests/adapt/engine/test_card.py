"""The page of a model folder, whole: every heading, name, setting and version in its place."""

import torch
from torch.utils.data import TensorDataset

import adapt
from adapt import Model, Stream, Trainer, domain, engine, heads, supervised
from adapt.engine import card
from tests.adapt.engine.tiny import cloud, network, streams

PLAIN = {
    "encoder kind": "Encoder", "head kind": "Classifier", "names": ["ada", "bob"], "inputs": "float32 (6,)",
    "preparation words": "none", "weights": {"source": "somewhere", "licence": "MIT"}, "versions": {"torch": "2"},
    "card": {
        "data": {"source": "TensorDataset of 48 rows", "target": "a|b\nc"}, "labels": {"source": "learned from"},
        "steps": 7, "weights averaged over the steps": True, "settings": {"seed": 0}, "watched": ["held out", "target"],
        "target label seen": "no",
        "scores": [{"words": "accuracy 0.5", "data": "TensorDataset of 30 rows", "n counts": "rows"}],
    },
}  # fmt: skip

PAGE = """# Model

Encoder: Encoder. Head: Classifier.
Names: ada, bob.
Inputs: float32 (6,), for each row. Preparation: none.

```python
from adapt import Model

model = Model.load("this folder")
model.predict(x)
```

## Score

- accuracy 0.5, on TensorDataset of 30 rows; n counts rows

## Data and labels

| stream | data | labels |
| --- | --- | --- |
| source | TensorDataset of 48 rows | learned from |
| target | a\\|b c | unknown |

A target label was seen in training: no.

Scored along the way, with labels: held out, target.

## Weights

The training began with: somewhere. Licence: MIT.

## Settings and versions

| name | value |
| --- | --- |
| steps | 7 |
| weights averaged over the steps | True |
| seed | 0 |
| torch | 2 |
"""


def test_the_page_word_by_word():
    assert card.readme(PLAIN) == PAGE


def test_the_page_of_a_model_without_names_scores_data_and_settings():
    page = card.readme({**PLAIN, "names": None, "inputs": None, "card": {}})
    assert "Names:" not in page and "Scored along the way" not in page and "steps" not in page
    assert "Inputs: unknown, for each row." in page and "\n\nNot evaluated.\n\n" in page
    assert "A target label was seen in training: unknown.\n\n## Weights" in page


def test_the_page_shows_the_first_fifty_names():
    names = [f"n{i}" for i in range(51)]
    assert f"Names: {', '.join(names[:50])}, ....\n" in card.readme({**PLAIN, "names": names})
    assert f"Names: {', '.join(names[:50])}.\n" in card.readme({**PLAIN, "names": names[:50]})


def test_the_card_of_a_run():
    encoder, head = network()
    watch = {"held out": (head, cloud(20, seed=5))}
    terms = [supervised(head, on="source"), domain.dan()]
    made = Trainer(encoder, terms, streams(), watch=watch, ema=0.5, progress=False, device="cpu")
    assert made.fit(2).model(head).card | {"settings": None} == {
        "data": {"source": "TensorDataset of 48 rows", "target": "TensorDataset of 40 rows"},
        "labels": {"source": "learned from, by supervised_source", "target": "withheld from all terms"},
        "target label seen": "no", "watched": ["held out"], "steps": 2, "weights averaged over the steps": True,
        "settings": None,
    }  # fmt: skip
    settings = made.model(head).card["settings"]
    assert settings.keys() == made.settings.keys() and settings["seed"] == 0
    assert all(isinstance(value, bool | int | float | str) for value in settings.values())


def test_labels_in_words():
    head = network()[1]
    learner, reader = supervised(head, on="source"), domain.dan()
    labelled, hidden = Stream(cloud(), 12), Stream(cloud(), 12, labels=False)
    assert card.labels_of("source", labelled, [learner, reader]) == "learned from, by supervised_source"
    assert card.labels_of("target", hidden, [reader]) == "withheld from all terms"
    assert card.labels_of("spare", labelled, [learner, reader]) == "there, and no term reads the stream"
    assert card.labels_of("target", labelled, [learner, reader]) == "unknown: there, and dan could read them"


def test_a_head_that_was_solved_on_rows():
    rows, settings = cloud(9), {"shots": 3, "names": ("a", "b")}
    found = card.card_of_rows(rows, "the probe", settings)
    assert found == {
        "data": {"target": "TensorDataset of 9 rows"}, "labels": {"target": "learned from, the probe"},
        "target label seen": "yes", "settings": {"shots": 3, "names": "('a', 'b')"},
    }  # fmt: skip
    found = card.card_of_rows(None, None, {})
    assert found["data"] == {"target": "not known"} and found["target label seen"] == "no"


class Own(torch.utils.data.Dataset):
    def __init__(self, words):
        self.words = words

    def __repr__(self):
        return self.words

    def __len__(self):
        return 4


def test_a_data_set_says_what_it_is_in_one_line():
    assert card.shown_data(Own("digits, photographs")) == "digits, photographs"
    assert card.shown_data(Own("two\nlines")) == card.shown_data(Own("x" * 300)) == "Own of 4 rows"
    assert card.shown_data(Own("x" * 299)) == "x" * 299
    assert card.shown_data([1, 2]) == "list of 2 rows"
    assert card.shown_data(TensorDataset(torch.zeros(3))) == "TensorDataset of 3 rows"


def test_a_score_of_units_says_so():
    encoder, head = network()
    model = Model(encoder, head, inputs=cloud(1).tensors[0])
    model.evaluate(cloud(12))
    model.evaluate(cloud(12), unit=torch.arange(12) // 3)
    assert [s["n counts"] for s in model.card["scores"]] == ["rows", "units"]
    assert [s["n"] for s in model.card["scores"]] == [12, 4]


def test_versions_name_the_makers():
    assert set(card.versions()) == {"adapt", "torch", "numpy", "python"}
    assert card.versions()["adapt"] == adapt.__version__ and engine is not None
    assert card.weights_of(torch.nn.Linear(1, 1)) == {"source": "unknown", "licence": "unknown"}
    assert card.weights_of(heads.Classifier(2, 2)) == {"source": "unknown", "licence": "unknown"}
