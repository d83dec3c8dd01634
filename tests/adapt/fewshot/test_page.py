"""The blocks of docs/fewshot.md run, on small made-up data."""

import re
from functools import partial
from pathlib import Path
from types import FunctionType

import numpy
import pytest
import torch
from PIL import Image
from torch.utils.data import TensorDataset

import adapt
from adapt import Model, Stream, Trainer, datasets, encoders, engine, fewshot, inductive
from adapt.streams import episodes
from tests.adapt.engine.tiny import cloud

PAGE = (Path(__file__).parents[3] / "docs" / "fewshot.md").read_text()
MODULES = [
    f"adapt.fewshot.{name}"
    for name in ("_alpha_tim", "_bd_cspn", "_centroid", "_drawings", "_episodic", "_evaluate", "_fit",
                 "_label_propagation", "_laplacian_shot", "_lda", "_logistic", "_pt_map", "_ridge", "_text_probe",
                 "_transduce", "_whitening", "method")
]  # fmt: skip
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)


def block(words):
    return next(b for b in BLOCKS if words in b)


def paint(path, colour, number):
    path.mkdir(parents=True, exist_ok=True)
    noise = numpy.random.default_rng(number).integers(0, 30, (40, 36, 3))
    Image.fromarray((numpy.array(colour) * 200 + noise).astype("uint8")).save(path / f"{number}.png")


def test_a_folder_for_each_person_and_a_folder_of_unknown_people(tmp_path, monkeypatch, capsys):
    colours = {"ada": (1, 0, 0), "Zoë": (0, 1, 0), "李雷": (0, 0, 1)}
    for i, (name, colour) in enumerate(colours.items()):
        for shot in range(1 + i):
            paint(tmp_path / "people" / name, colour, 10 * i + shot)
        paint(tmp_path / "new_photos", colour, i)
    for i, colour in enumerate([(1, 1, 0), (0, 1, 1), (1, 0, 1), (1, 1, 1), (0, 0, 0)]):
        for shot in range(4):
            paint(tmp_path / "strangers", colour, 100 + 10 * i + shot)
    paint(tmp_path / "new_photos", (1, 1, 0), 3)
    monkeypatch.chdir(tmp_path)
    code = block('"people"')
    assert len(code.replace("\n\n", "\n").strip().splitlines()) == 7
    torch.manual_seed(0)
    colour = encoders.callable(lambda x: x.mean((2, 3)), 3, name="colour", fingerprint="1")
    names = {"mobile": colour}
    exec(code.replace('encoders.load("mobilenet_v2", weights="imagenet")', "mobile").replace("model.save", "# "), names)
    predicted = names["model"].predict("new_photos").tolist()
    assert predicted == ["ada", "Zoë", "李雷", "unknown"]
    assert str(predicted[0]) in capsys.readouterr().out


def test_the_saved_model_of_a_folder_reads_files(tmp_path):
    for i, colour in enumerate([(1, 0, 0), (0, 1, 0)]):
        paint(tmp_path / "people" / str(i), colour, i)
    torch.manual_seed(0)
    model = fewshot.fit(encoders.small_conv(), datasets.images(tmp_path / "people", size=32))
    again = Model.load(model.save(tmp_path / "model"))
    files = [tmp_path / "people" / "0" / "0.png", tmp_path / "people" / "1" / "1.png"]
    assert again.predict(files).tolist() == [0, 1]


def test_other_blocks(capsys):
    torch.manual_seed(0)
    rows = cloud(120)
    x, y = rows.tensors
    encoder = encoders.wrap(torch.nn.Linear(6, 6), 6)
    own = {
        "encoder": encoder, "photos": x[:6], "names": ["a", "b", "c"] * 2, "new_photos": x, "fewshot": fewshot,
        "photos_of_strangers": 9 * x, "test": TensorDataset(x, y), "engine": engine, "Stream": Stream, "few": rows,
        "Trainer": lambda *a, **o: Trainer(*a, progress=False, **o), "inductive": inductive, "episodes": episodes,
        "train": rows, "other_people": rows, "torch": torch, "encoders": encoders,
        "queries": torch.ones(2, 1, 9, 9), "support": torch.ones(3, 1, 9, 9),
        "names_of_support": numpy.array(list("abc")),
    }  # fmt: skip
    for code in BLOCKS:
        if '"people"' in code:
            continue
        code = code.replace('model.save("models/people")', "pass").replace("ways=5", "ways=3")
        exec(code.replace("steps=300", "steps=2").replace("steps=100", "steps=2"), own)
    assert "n = 600" in capsys.readouterr().out
    assert set(own["model"].predict(x).tolist()) <= {0, 1, 2}


def test_every_public_name_is_on_the_page():
    own = {name for name in fewshot.__all__ if isinstance(getattr(fewshot, name), FunctionType)}
    own = {name for name in own if getattr(fewshot, name).__module__ in MODULES}
    assert len(own) > 15
    assert not [name for name in sorted(own) if f"fewshot.{name}" not in PAGE], "add the function to docs/fewshot.md"


def test_a_loss_of_tasks_is_a_function():
    with pytest.raises(TypeError, match="`loss` must be a function such as `losses.prototypical`, got 'ridge'"):
        fewshot.episodic("tasks", loss="ridge")


def test_the_episodic_term_is_the_mean_loss_of_the_tasks_and_trains():
    torch.manual_seed(0)
    encoder = encoders.wrap(torch.nn.Linear(6, 6), 6)
    stream = Stream(cloud(120), sampling=episodes(ways=3, shots=2, queries=4, tasks=3))
    trainer = Trainer(encoder, [fewshot.episodic("tasks")], {"tasks": stream}, progress=False, device="cpu",
                      optimizer=partial(torch.optim.Adam, lr=0.02))  # fmt: skip
    batch = next(iter(stream.batches("tasks", 0)))
    tasks = batch.episodes.split(encoder(batch.inputs), batch.index.device)
    import losses

    expected = torch.stack([losses.prototypical(*t, classes=3, global_batch=False) for t in tasks]).mean()
    step = engine.Step({"tasks": batch}, encoder)
    torch.testing.assert_close(trainer.terms[0].loss(step), expected)
    of_steps = [float(step.scalars["loss/total"]) for step in trainer.steps(100)]
    assert sum(of_steps[-30:]) < 0.9 * sum(of_steps[:30])
    plain = {"tasks": Stream(cloud(), 12)}
    with pytest.raises(ValueError, match="learns from episodes, and stream `tasks` has none"):
        Trainer(encoder, [fewshot.episodic("tasks")], plain, progress=False, device="cpu").fit(steps=1)
    assert adapt.fewshot is fewshot
