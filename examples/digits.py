"""Handwritten digits from paper to photographs, without a label of the target.

    python examples/digits.py            # about 5 minutes on two cores; nothing is downloaded
    python examples/digits.py --quick    # a smoke run of half a minute; its numbers mean nothing

Six ways to train the same network, each with the same five seeds: on the source alone, with one of four adaptation
terms beside it, and on the target's labels as the upper bound. Settings are the same for all of them and were fixed on
another pair of domains (MNIST digits, shrunk to 8 x 8, treated by the same recipe); nothing was chosen on this target,
and the test split is looked at once a run, at the end. The same command goes on where a killed one ended; other
settings need another folder (--out). Writes a table, results.json, a figure and a TensorBoard folder.
"""

import argparse
import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from tqdm import tqdm

import adapt
from adapt import Stream, Trainer, datasets, domain, encoders, heads, ramp, report
from adapt.engine import cosine


@dataclass
class Settings:
    seeds: int = 5
    steps: int = 600
    batch_size: int = 64  # of each domain
    learning_rate: float = 3e-3
    out: str = "runs/digits"
    threads: int = 2  # where OMP_NUM_THREADS sets no other number


BASELINE = "source only"
METHODS = {
    BASELINE: lambda encoder, head, top: [],
    "DANN": lambda encoder, head, top: [domain.dann(encoder, strength=ramp(top))],
    "MK-MMD": lambda encoder, head, top: [domain.dan(weight=ramp(top))],
    "CORAL": lambda encoder, head, top: [domain.deep_coral(weight=ramp(top))],
    "MCC": lambda encoder, head, top: [domain.mcc(head, weight=ramp(top))],
    "target only": lambda encoder, head, top: [],
}
# the best of 0.3, 1 and 3 on another pair: benchmarks/digits_development.py
TOPS = {"DANN": 0.3, "MK-MMD": 3.0, "CORAL": 1.0, "MCC": 0.3}


def vary(image: torch.Tensor) -> torch.Tensor:
    """Dark on light or light on dark, with equal chance; moved by up to two pixels."""
    image = 1 - image if torch.rand(()) < 0.5 else image
    return torch.roll(image, torch.randint(-2, 3, (2,)).tolist(), (1, 2))


def train(
    method: str, seed: int, digits: datasets.Digits, settings: Settings, top: float
) -> tuple[Trainer, heads.Classifier]:
    torch.manual_seed(seed)
    encoder = encoders.small_conv()
    classify = heads.Classifier(encoder, classes=10)
    learn_from = "target" if method == "target only" else "source"
    terms = [adapt.supervised(classify, on=learn_from), *METHODS[method](encoder, classify, top)]
    data = {"source": Stream(digits.paper.train, settings.batch_size, augment=vary)}
    if method != BASELINE:
        labelled = method == "target only"
        data["target"] = Stream(digits.photo.train, settings.batch_size, labels=labelled)
    if learn_from == "target":
        del data["source"]
    trainer = Trainer(
        encoder,
        terms,
        data,
        optimizer=lambda groups: torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True),
        schedule=cosine(),
        watch={"source": (classify, digits.paper.validation), "target": (classify, digits.photo.validation)},
        watch_every=50,
        log_every=25,
        save_every=settings.steps,
        log=f"{settings.out}/tensorboard/{method.replace(' ', '-')}/seed-{seed}",
        seed=seed,
        progress=False,
    )
    return trainer.fit(settings.steps), classify


def features(trainer: Trainer, head: heads.Classifier, digits: datasets.Digits) -> dict:
    """Features and labels of both domains' test splits, for the picture."""
    clouds = {}
    for name, data in (("paper", digits.paper.test), ("photo", digits.photo.test)):
        found = trainer.predict(head, data)
        clouds[name] = found.features[:200].numpy(), found.labels[:200].numpy()
    return clouds


def picture(accuracy: dict, clouds: dict, path: Path, *, shown: str = "DANN") -> None:
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    bars, before, after = figure.subplots(1, 3, width_ratios=[1.2, 1, 1])
    report.accuracy_bars(bars, accuracy, baseline=BASELINE)
    report.feature_map(before, clouds[BASELINE], title="features before: source only")
    report.feature_map(after, clouds[shown], title=f"features after: {shown}")
    report.save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 seeds of 40 steps: does everything run?")
    parser.add_argument("--out", default=Settings.out, help="folder for what is written (default: %(default)s)")
    arguments = parser.parse_args()
    settings = Settings(out=arguments.out, **({"seeds": 2, "steps": 40} if arguments.quick else {}))
    out = Path(settings.out)
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(settings.threads)
    print(f"threads: {torch.get_num_threads()} (OMP_NUM_THREADS sets another number)")
    settings.threads = torch.get_num_threads()

    digits = datasets.digits()
    accuracy: dict[str, list[float]] = {method: [] for method in METHODS}
    clouds = {}
    runs = [(seed, method) for seed in range(settings.seeds) for method in METHODS]
    for seed, method in (bar := tqdm(runs, unit="run", desc="digits")):
        bar.set_postfix_str(f"{method}, seed {seed}")
        trainer, classify = train(method, seed, digits, settings, TOPS.get(method, 0.0))
        accuracy[method].append(trainer.evaluate(classify, digits.photo.test).value)
        if seed == 0:
            clouds[method] = features(trainer, classify, digits)

    rows = report.compare(accuracy, BASELINE)
    picture(accuracy, clouds, out / "digits.png")
    table = report.table(rows, BASELINE, metric="target test accuracy")
    (out / "table.md").write_text(table + "\n")
    results = {"settings": asdict(settings), "accuracy": accuracy, "comparison": report.as_dicts(rows)}
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    print(f"\n{table}\n\nfigure {out / 'digits.png'}, results {out / 'results.json'}")
    print(f"curves: {Path(sys.executable).parent / 'tensorboard'} --logdir {out / 'tensorboard'}")


if __name__ == "__main__":
    main()
