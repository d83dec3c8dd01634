"""Several labels a row: who says which digit, and who drew which character of which alphabet.

    ADAPT_DATA=... python examples/several_labels.py

Eight splits, 20 % of the rows for training, about four minutes of processor time. Spoken digits: two networks are
better than any one, by 2.0 points of the digits (95 % interval 1.4 to 2.5) and 1.0 of the speakers (0.4 to 1.6) for the
plain sum; IMTL-G loses 12.5 of the digits. Characters: the alphabets gain 0.8 to 2.2 points and the characters lose 4.5
to 7.2, but 3.8 where the task of the drawers is left out.
"""

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from adapt import Stream, Trainer, datasets, encoders, heads, multitask, protocols
from adapt.engine import cosine
from adapt.report import delta_m, mean_interval


@dataclass(frozen=True)
class Settings:
    """Fixed on split 100, which is in no table."""

    splits: int = 8
    train: float = 0.2  # of the rows; the others are the test
    speech_steps: int = 300
    speech_batch: int = 32
    characters_steps: int = 400
    characters_batch: int = 64
    learning_rate: float = 1e-2
    weight_decay: float = 2.0


class Labelled(NamedTuple):
    """Images, a column of labels a task, the number of classes by task, and the task that one row leaves out."""

    data: TensorDataset
    tasks: dict[str, int]
    spare: str | None
    steps: int
    batch: int


DEFAULT = "default: equal, natural scale"
METHODS: dict[str, Callable[[], protocols.Balance | None]] = {
    DEFAULT: lambda: None,
    "random weights (RLW)": multitask.rlw,
    "uncertainty": multitask.uncertainty,
    "IMTL-G": multitask.imtl_g,
    "UPGrad": multitask.upgrad,
}
Accuracies = dict[str, float]  # by task


def speech(settings: Settings) -> Labelled:
    """1,200 recordings: the digit, and which of six people says it."""
    waves, labels = datasets.fsdd(seconds=0.8).tensors
    tasks = {"digit": 10, "speaker": len(datasets.FSDD_SPEAKERS)}
    return Labelled(TensorDataset(log_mel(waves), labels), tasks, None, settings.speech_steps, settings.speech_batch)


def characters(settings: Settings) -> Labelled:
    """2,720 images: which of five alphabets, of 136 characters, and of 100 people that drew them."""
    images, alphabets, names = datasets.omniglot()
    drawers = 1 + int(images.tensors[1][:, 2].max())
    tasks = {"alphabet": len(alphabets), "character": len(names), "drawer": drawers}
    return Labelled(images, tasks, "drawer", settings.characters_steps, settings.characters_batch)


def log_mel(waves: Tensor, *, bands: int = 32, window: int = 256, hop: int = 200) -> Tensor:
    """``(n, 1, bands, frames)`` logarithms of the power in bands that are equally wide in mel, each a triangle."""
    frames = torch.stft(waves, window, hop, window=torch.hann_window(window), center=False, return_complex=True)
    highest = 2595 * numpy.log10(1 + datasets.FSDD_RATE / 2 / 700)
    corners = 700 * (10 ** (torch.linspace(0, highest, bands + 2)[:, None] / 2595) - 1)
    hertz = torch.linspace(0, datasets.FSDD_RATE / 2, window // 2 + 1)
    rising = (hertz - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - hertz) / (corners[2:] - corners[1:-1])
    power = torch.minimum(rising, falling).clamp_min(0) @ frames.abs().square()
    return (power + 1e-4).log()[:, None]


def compared(labelled: Labelled, settings: Settings, log: Path | None) -> dict[str, list[Accuracies]]:
    """By method, the test accuracies of each split. The default's sentence on the tasks follows the first run."""
    found: dict[str, list[Accuracies]] = {}
    tasks, spare = list(labelled.tasks), labelled.spare
    for split in range(settings.splits):
        alone = [fitted(labelled, [task], split, settings) for task in tasks]
        found.setdefault("single-task", []).append({task: a for one in alone for task, a in one.items()})
        for name, balance in METHODS.items():
            folder = log / name.split(":")[0] if log and split == 0 else None
            said = split == 0 and name == DEFAULT
            found.setdefault(name, []).append(fitted(labelled, tasks, split, settings, balance(), folder, said))
        if spare:
            fewer = fitted(labelled, [task for task in tasks if task != spare], split, settings)
            found.setdefault(f"default, without the {spare}", []).append(fewer)
    return found


def fitted(
    labelled: Labelled,
    tasks: list[str],
    split: int,
    settings: Settings,
    balance: protocols.Balance | None = None,
    log: Path | None = None,
    progress: bool = False,
) -> Accuracies:
    """Test accuracies of one network for some of the tasks."""
    parts = datasets.splits(labelled.data, "rows", validation=0, test=1 - settings.train, seed=split)
    (x, y), (x_test, y_test) = parts.train.tensors, parts.test.tensors
    mean, deviation = x.mean(), x.std()
    train = TensorDataset((x - mean) / deviation, y)
    test = TensorDataset((x_test - mean) / deviation, y_test)
    torch.manual_seed(split)
    encoder = encoders.small_conv(1, dim=64, width=8)
    tops = {task: heads.Classifier(encoder, labelled.tasks[task]) for task in tasks}
    column = {task: number for number, task in enumerate(labelled.tasks)}
    unseen = {task: (top, multitask.rows_with_label(test, column[task])) for task, top in tops.items()}
    trainer = Trainer(
        encoder, [multitask.task(task, top, "rows", label=column[task]) for task, top in tops.items()],
        {"rows": Stream(train, labelled.batch)}, balance=balance, seed=split, schedule=cosine(), watch=unseen,
        optimizer=lambda groups: torch.optim.AdamW(
            groups, settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        ),
        log=log, log_every=10, watch_every=100, progress=progress,
    )  # fmt: skip
    trainer.fit(labelled.steps)
    return {task: trainer.evaluate(top, rows).value for task, (top, rows) in unseen.items()}


def table(found: Mapping[str, list[Accuracies]], tasks: Sequence[str]) -> str:
    """Means over the splits with 95 % intervals; differences are paired."""
    columns = [f"{t} %" for t in tasks] + [f"{t}, minus single-task" for t in tasks]
    columns += ["delta-m %", "delta-m, minus the default"]
    lines = [f"| method | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]

    def interval(values: Sequence[float], sign: str = "+") -> str:
        mean, low, high = mean_interval([100 * v for v in values])
        return f"{mean:{sign}.1f} ({low:{sign}.1f} to {high:{sign}.1f})"

    single = found["single-task"]
    gains = {
        name: [
            delta_m([*a.values()], [s[t] for t in a], higher_is_better=True) for a, s in zip(rows, single, strict=True)
        ]
        for name, rows in found.items()
    }
    for name, rows in found.items():
        own, alone = [t for t in tasks if t in rows[0]], name == "single-task"
        cells = [interval([a[t] for a in rows], "") if t in own else "" for t in tasks]
        cells += [
            interval([a[t] - s[t] for a, s in zip(rows, single, strict=True)]) if t in own and not alone else ""
            for t in tasks
        ]
        cells.append("" if alone else interval(gains[name]))
        usual = alone or name == DEFAULT or len(own) < len(tasks)
        cells.append("" if usual else interval(numpy.subtract(gains[name], gains[DEFAULT])))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two splits of a few steps")
    parser.add_argument("--data", choices=["speech", "characters", "both"], default="both")
    parser.add_argument("--log", type=Path, help="a folder for TensorBoard: the first split of each method")
    flags = parser.parse_args()
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)  # the networks are small
    print(f"threads: {torch.get_num_threads()} (OMP_NUM_THREADS sets another number)")
    settings = Settings()
    if flags.quick:
        settings = replace(settings, splits=2, speech_steps=11, characters_steps=11)
    for name, read in {"speech": speech, "characters": characters}.items():
        if flags.data in (name, "both"):
            print(f"\n{name}, {settings.splits} splits\n", flush=True)
            labelled = read(settings)
            found = compared(labelled, settings, flags.log and flags.log / name)
            print(f"\n{table(found, list(labelled.tasks))}", flush=True)


if __name__ == "__main__":
    main()
