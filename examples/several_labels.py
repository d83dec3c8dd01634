"""Several labels per row: who says which digit, and who drew which character of which alphabet.

    ADAPT_DATA=... python examples/several_labels.py            # about ten minutes of processor time
    ADAPT_DATA=... python examples/several_labels.py --quick    # a smoke run; its numbers mean nothing

Spoken digits: two networks are better than any one, by 2.0 points of the digits (95 % interval 1.4 to 2.5) and 1.0 of
the speakers (0.4 to 1.6) for the plain sum; IMTL-G loses 12.5 of the digits, the row without any encoder 5.5.
Characters: the alphabets gain 0.8 to 2.2 points and the characters lose 4.5 to 7.2, but 3.8 where the drawers have a
network of their own.

Two experiments. A seed draws 20 % of the rows for training; the others are the test. Seed 100 fixed the settings.
"""

import argparse
import os
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch.utils.data import TensorDataset

from adapt import Stream, Trainer, datasets, encoders, heads, multitask, report
from adapt.engine import cosine


@dataclass(frozen=True)
class Settings:
    seeds: int = 8
    train: float = 0.2  # of the rows
    speech_steps: int = 300
    speech_batch: int = 32
    characters_steps: int = 400
    characters_batch: int = 64
    learning_rate: float = 1e-2
    weight_decay: float = 2.0


SINGLE, DEFAULT, PLAIN = "single-task", "default: equal, natural scale", "no encoder"
BALANCES: dict[str, Any] = {
    DEFAULT: lambda: None,
    "random weights (RLW)": multitask.rlw,
    "uncertainty": multitask.uncertainty,
    "IMTL-G": multitask.imtl_g,
    "UPGrad": multitask.upgrad,
}


def speech(settings: Settings) -> report.Data:
    """1,200 recordings: the digit, and which of six people says it."""
    waves, labels = datasets.fsdd(seconds=0.8).tensors
    rows = TensorDataset(datasets.log_mel(waves, datasets.FSDD_RATE, hop=200), labels)
    sizes = {"steps": settings.speech_steps, "batch": settings.speech_batch}
    return report.Data(more={"rows": rows, "tasks": {"digit": 10, "speaker": len(datasets.FSDD_SPEAKERS)}, **sizes})


def characters(settings: Settings) -> report.Data:
    """2,720 images: which of five alphabets, of 136 characters, and of 100 people that drew them."""
    images, alphabets, names = datasets.omniglot()
    tasks = {"alphabet": len(alphabets), "character": len(names), "drawer": 1 + int(images.tensors[1][:, 2].max())}
    sizes = {"steps": settings.characters_steps, "batch": settings.characters_batch}
    return report.Data(more={"rows": images, "tasks": tasks, **sizes})


def learned(cell: report.Cell, settings: Settings, apart: tuple[str, ...]) -> dict[str, heads.Score]:
    """The test accuracy of each task: a network for each of the tasks `apart`, and one for all others."""
    tasks = list(cell.data.more["tasks"])
    together = [task for task in tasks if task not in apart]
    networks = [[task] for task in apart] + [together] * bool(together)
    found = {task: score for some in networks for task, score in network(cell, settings, some).items()}
    return {f"{task} accuracy": found[task] for task in tasks}


def network(cell: report.Cell, settings: Settings, tasks: list[str]) -> dict[str, heads.Score]:
    more = cell.data.more
    train, _, test = datasets.splits(more["rows"], "rows", validation=0, test=1 - settings.train, seed=cell.seed)
    x = train.tensors[0]
    train, test = (TensorDataset((p.tensors[0] - x.mean()) / x.std(), p.tensors[1]) for p in (train, test))
    column = {task: number for number, task in enumerate(more["tasks"])}
    of = {task: [multitask.rows_with_label(part, column[task]) for part in (train, test)] for task in tasks}
    if cell.method == PLAIN:
        return {task: report.no_encoder(*of[task])(cell).scores["accuracy"] for task in tasks}
    torch.manual_seed(cell.seed)
    encoder = encoders.small_conv(1, dim=64, width=8)
    tops = {task: heads.Classifier(encoder, more["tasks"][task]) for task in tasks}
    trainer = Trainer(
        encoder, [multitask.task(task, top, "rows", label=column[task]) for task, top in tops.items()],
        {"rows": Stream(train, more["batch"])}, balance=BALANCES.get(cell.method, lambda: None)(),
        seed=cell.seed, schedule=cosine(), log_every=10, optimizer=lambda groups: torch.optim.AdamW(
            groups, settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        ),
        progress=cell.method == DEFAULT and cell.seed == 0,  # a bar ends with a sentence on the tasks' gradients
    ).fit(more["steps"])  # fmt: skip
    return {task: trainer.evaluate(top, of[task][1]) for task, top in tops.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 seeds of a few steps: does everything run?")
    parser.add_argument("--out", default="runs/several_labels", help="folder for what is written")
    arguments = parser.parse_args()
    settings = Settings(seeds=2, speech_steps=11, characters_steps=11) if arguments.quick else Settings()
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)  # the networks are small

    for name, data in {"speech": speech(settings), "characters": characters(settings)}.items():
        apart: dict[str, Any] = {SINGLE: tuple(data.more["tasks"])}
        apart |= {"the drawer apart": ("drawer",)} if "drawer" in data.more["tasks"] else {}
        methods = {w: partial(learned, settings=settings, apart=apart.get(w, ())) for w in (*BALANCES, *apart, PLAIN)}
        out, quick = f"{arguments.out}/{name}", arguments.quick
        result = report.experiment(out, methods, settings.seeds, SINGLE, data=data, settings=settings, quick=quick)
        for metric in result.metrics:
            print(f"\n{result.only(metric).table()}\n\n{replace(result.only(metric), baseline=DEFAULT).table()}")
        print(f"\n{report.table(report.compare(result.delta_m(), SINGLE), SINGLE, metric='delta-m')}")
        print(f"\npage {result.page()}, picture {result.figure()}, numbers {result.json()}")
        print(f"curves: tensorboard --logdir {result.tensorboard()}")


if __name__ == "__main__":
    main()
