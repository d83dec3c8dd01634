"""Any callable as a frozen encoder."""

import numpy
import pytest
import torch

from adapt import Stream, Trainer, datasets, encoders, engine, heads, inductive, ranking, supervised


def colours(x):
    assert isinstance(x, numpy.ndarray) and x.dtype == numpy.float32
    return x.mean((2, 3))


def letters(texts):
    assert isinstance(texts, list) and all(isinstance(text, str) for text in texts)
    return [[text.count(letter) for letter in "abc"] for text in texts]


def photos(rows=24):
    labels = torch.arange(rows) % 3
    images = torch.rand(rows, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 0.3
    images[torch.arange(rows), labels] += 0.7
    return datasets.arrays(images, [["red", "green", "blue"][int(i)] for i in labels])


def test_tensors_become_arrays_and_rows_become_features():
    encoder = encoders.callable(colours, 3, name="colours", fingerprint="1")
    x = torch.rand(5, 3, 4, 4, requires_grad=True)
    features = encoder(x)
    torch.testing.assert_close(features, x.detach().mean((2, 3)))
    assert features.dtype == torch.float32 and not features.requires_grad
    assert encoder.dim == 3 and encoder.source == "colours" and not list(encoder.parameters()) and not encoder.layers
    assert encoder(x.bfloat16()).shape == (5, 3)
    doubles = encoders.callable(lambda x: x.astype("float64"), 2, name="same", fingerprint="1")
    assert doubles(torch.zeros(4, 2, dtype=torch.float64)).dtype == torch.float32


def test_texts_and_dicts_and_ragged_rows():
    encoder = encoders.callable(letters, 3, name="letters", fingerprint="1")
    assert encoder(["abba", "c"]).tolist() == [[2, 2, 0], [0, 0, 1]]
    assert encoder(("abba", "c")).tolist() == encoder(["abba", "c"]).tolist()
    both = encoders.callable(lambda x: numpy.hstack([x["image"], letters(x["text"])]), 5, name="both", fingerprint="1")
    assert both({"image": torch.ones(1, 2), "text": ["cc"]}).tolist() == [[1, 1, 0, 0, 2]]
    boxes = encoders.callable(
        lambda x: {"boxes": [numpy.ones((n, 4)) for n in x[:, 0].astype(int)], "best": numpy.zeros(len(x))},
        4, name="boxes", fingerprint="1",
    )  # fmt: skip
    out = boxes(torch.arange(3.0)[:, None])
    assert [tuple(part.shape) for part in out["boxes"]] == [(0, 4), (1, 4), (2, 4)] and out["best"].shape == (3,)
    assert isinstance(boxes(torch.ones(2, 1))["boxes"], list), "a list stays a list where the numbers are equal"


def test_the_cache_follows_name_and_fingerprint_not_the_code(tmp_path):
    calls = []

    def counted(x):
        calls.append(len(x))
        return colours(x)

    data = photos()

    def compute(function, name="colours", fingerprint="1"):
        encoder = encoders.callable(function, 3, name=name, fingerprint=fingerprint)
        return engine.features(encoder, data, tmp_path, batch_size=10).tensors

    first, labels = compute(counted)
    assert calls == [10, 10, 4] and labels.tolist() == data.labels.tolist()
    torch.testing.assert_close(first, data.inputs.mean((2, 3)))
    assert torch.equal(compute(lambda x: 1 / 0)[0], first), "the kept features are taken"
    compute(counted, fingerprint="2")
    compute(counted, name="colors")
    assert len(calls) == 9 and len(list(tmp_path.iterdir())) == 3


def test_the_bytes_of_a_weight_file_are_a_fingerprint(tmp_path):
    path = tmp_path / "model.onnx"
    marks = []
    for raw in (b"one", b"two", b"one"):
        path.write_bytes(raw)
        marks.append(encoders.callable(colours, 3, name="c", fingerprint=path).body.mark)
    assert marks[0] == marks[2] != marks[1]
    with pytest.raises(FileNotFoundError):
        encoders.callable(colours, 3, name="c", fingerprint=tmp_path / "none")


def test_probe_ranking_and_trainer_take_the_features():
    data, encoder = photos(), encoders.callable(colours, 3, name="colours", fingerprint="1")
    rows, labels = engine.features(encoder, data).tensors
    head = inductive.probe(rows, labels, data.names).head
    assert (head(rows).argmax(1) == labels).all()
    noise = torch.rand(rows.shape, generator=torch.Generator().manual_seed(1))
    ranked = ranking.rank({"noise": noise, "colours": rows}, labels, resamples=10, halves=0)
    assert ranked.rows[0].name == "colours"
    torch.manual_seed(0)
    head = heads.Classifier(encoder, classes=data.names)
    trainer = Trainer(encoder, [supervised(head, on="photos")], {"photos": Stream(data, 12)})
    trainer.fit(steps=3)
    before = trainer.evaluate(head, data)
    assert before.n == 24
    texts = datasets.texts(["aab", "bcc", "aac", "ccb"], ["a", "c", "a", "c"])
    rows, labels = engine.features(encoders.callable(letters, 3, name="l", fingerprint="1"), texts).tensors
    assert rows.tolist() == [[2, 1, 0], [0, 1, 2], [2, 0, 1], [0, 1, 2]] and labels.tolist() == [0, 1, 0, 1]


def test_a_compiled_trainer_calls_the_function_as_it_is():
    encoder = encoders.callable(colours, 3, name="colours", fingerprint="1")
    compiled = torch.compile(encoder, backend="eager")
    assert torch.equal(compiled(torch.ones(2, 3, 4, 4)), torch.ones(2, 3))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x[:, :2], r"`function` of the encoder 'f' must return \(4, 3\), got 4 rows {\(2,\)}"),
        (lambda x: x[:3], r"\(4, 3\), got 3 rows {\(3,\)}"),
        (lambda x: [numpy.ones(3)] * 3 + [numpy.ones(2)], r"\(4, 3\), got 4 rows"),
        (lambda x: {"boxes": [1, 2]}, "4 entries of 'boxes', got 2"),
    ],
)
def test_other_features_are_refused(function, message):
    with pytest.raises(ValueError, match=message):
        encoders.callable(function, 3, name="f", fingerprint="1")(torch.zeros(4, 3))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"function": 3}, TypeError, "`function` must be a callable .* got a int"),
        ({"dim": 0}, ValueError, "`dim` must be a whole number of at least 1"),
        ({"name": ""}, ValueError, "must be texts that are not empty, got ''"),
        ({"fingerprint": None}, ValueError, "change the fingerprint whenever"),
    ],
)
def test_options(options, error, message):
    with pytest.raises(error, match=message):
        encoders.callable(**({"function": colours, "dim": 3, "name": "f", "fingerprint": "1"} | options))
