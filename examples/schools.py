"""139 tasks with few rows each, one encoder: the exam scores of the pupils of 139 schools.

    ADAPT_DATA=... python examples/schools.py            # about a minute of processor time
    ADAPT_DATA=... python examples/schools.py --quick    # a smoke run; its numbers mean nothing

One encoder explains 37.4 % of the variance of unseen pupils' scores, a ridge regression per school 33.4 %; the
difference is 4.0 points (95 % interval 3.8 to 4.3). Equal weights, random weights and uncertainty are alike; the smooth
maximum over 139 noisy losses is half a point worse.

A seed draws 75 % of the pupils of each school for training, and the others are the test. The error in each school is a
score of the cell, for delta-m. Settings were fixed on seed 100, which is in no table. The baseline has no encoder.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from sklearn.linear_model import RidgeCV
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from adapt import Stream, Trainer, datasets, encoders, heads, multitask, report
from adapt.engine import cosine


@dataclass(frozen=True)
class Settings:
    seeds: int = 10
    steps: int = 200
    batch: int = 512
    weight_decay: float = 1.0
    learning_rate: float = 1e-2


BASELINE, DEFAULT = "single-task: a ridge regression per school", "default: equal, natural scale"
BALANCES: dict[str, Callable[[], Any]] = {
    DEFAULT: lambda: None,
    "random weights (RLW)": multitask.rlw,
    "uncertainty": multitask.uncertainty,
    "smooth maximum (STCH)": multitask.stch,
}


def parts(school: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Numbers of the pupils for training and for the test."""
    order = torch.randperm(len(school), generator=torch.Generator().manual_seed(seed))
    pupils = [order[school[order] == number] for number in school.unique()]
    cuts = [round(0.75 * len(some)) for some in pupils]
    train = torch.cat([some[:cut] for some, cut in zip(pupils, cuts, strict=True)])
    return train, torch.cat([some[cut:] for some, cut in zip(pupils, cuts, strict=True)])


def scored(cell: report.Cell, settings: Settings, predictions: Callable[..., Tensor]) -> dict[str, Any]:
    """The share of the variance of all test pupils that is explained, and the squared error in each school."""
    (x, y), school = cell.data.more.pupils.tensors, cell.data.more.school
    train, test = parts(school, cell.seed)
    deviation, seen = x[train].std(0), y[train][~y[train].isnan()]
    x = (x - x[train].mean(0)) / torch.where(deviation > 0, deviation, 1.0)
    z = (y - seen.mean()) / seen.std()  # the column of a school, and NaN in the others
    true = z[test].nan_to_num().sum(1)
    errors = (predictions(cell, settings, x, z, school, train, test) - true).square()
    found: dict[str, Any] = {"explained variance": 1 - (errors.mean() / true.var(correction=0)).item()}
    for number in school.unique().tolist():
        found[f"error, school {number}"] = heads.average(
            "error", errors[school[test] == number], higher_is_better=False
        )
    return found


def ridges(cell, settings, x: Tensor, z: Tensor, school: Tensor, train: Tensor, test: Tensor) -> Tensor:
    """Each school by a regression of its own, its penalty by leave-one-out on its training pupils."""
    found = torch.zeros(len(x))
    for number in school.unique().tolist():
        mine, unseen = train[school[train] == number], test[school[test] == number]
        ridge = RidgeCV([10 ** (half / 2) for half in range(-2, 9)]).fit(x[mine].double(), z[mine, number].double())
        found[unseen] = torch.from_numpy(ridge.predict(x[unseen].double())).float()
    return found[test]


def network(cell, settings, x: Tensor, z: Tensor, school: Tensor, train: Tensor, test: Tensor) -> Tensor:
    encoder = encoders.wrap(nn.Sequential(nn.Linear(x.shape[1], 64), nn.ReLU(), nn.Linear(64, 8), nn.ReLU()), 8)
    head = heads.Regressor(encoder, z.shape[1])
    trainer = Trainer(
        encoder, [multitask.columns("schools", head, "pupils", balance=BALANCES[cell.method]())],
        {"pupils": Stream(TensorDataset(x[train], z[train]), settings.batch)}, seed=cell.seed, progress=False,
        schedule=cosine(), optimizer=lambda groups: torch.optim.AdamW(
            groups, settings.learning_rate, weight_decay=settings.weight_decay
        ),
    )  # fmt: skip
    outputs = trainer.fit(settings.steps).predict(head, TensorDataset(x[test])).outputs
    return outputs.gather(1, school[test, None]).squeeze(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 seeds of a few steps: does everything run?")
    parser.add_argument("--out", default="runs/schools", help="folder for what is written (default: %(default)s)")
    arguments = parser.parse_args()
    settings = Settings(seeds=2, steps=5) if arguments.quick else Settings()
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)  # the networks are small

    ways = {BASELINE: ridges} | dict.fromkeys(BALANCES, network)
    methods = {name: partial(scored, settings=settings, predictions=way) for name, way in ways.items()}
    data = report.Data(more=datasets.school())
    result = report.experiment(
        arguments.out, methods, settings.seeds, BASELINE, data=data, settings=settings, quick=arguments.quick
    )
    print(f"\n{result.table()}\n\n{replace(result, baseline=DEFAULT).table()}")
    print(f"\n{report.table(report.compare(result.delta_m(result.metrics[1:]), BASELINE), BASELINE, metric='delta-m')}")
    print(f"\npage {result.page()}, picture {result.figure()}, numbers {result.json()}")
    print(f"curves: tensorboard --logdir {result.tensorboard()}")


if __name__ == "__main__":
    main()
