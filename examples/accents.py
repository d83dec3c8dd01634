"""Spoken words of a new speaker or a new accent, with a pretrained encoder of words, and without a label of the target.

    pip install --no-deps efficientword-net; pip install "adapt-losses[onnx]"; apt-get install espeak-ng
    ADAPT_DATA=... python examples/accents.py            # 3 minutes of processor time; features 1 minute more, once
    ADAPT_DATA=... python examples/accents.py --quick    # a smoke run; its numbers mean nothing

Mean of six speakers: the encoder alone 94.2 %, with the speaker's statistics 96.0, with labels by centroids 99.5; the
worst speaker 87.5, 90.0 and 98.8; without an encoder 66.3 and 42.7. The encoder may have heard these speakers before.

Six speakers of digits, and two accents that two speakers share, are left out in turn. Synthetic speech: 16 words, from
American to other accents, in the same voices. All recordings of the target are read without labels, and all are scored.
A seed draws 80 % of the source recordings. The encoder stays frozen; all methods have their defaults.
"""

import argparse
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.utils.data import TensorDataset

from adapt import datasets, encoders, engine, heads, report, transductive

NONE, BASELINE, CENTRED = "no encoder: log-mel", "words", "words, statistics"
PROPAGATED, CENTROIDS, ORACLE = "words, label propagation", "words, centroids", "target only"
TASKS = {name: [name] for name in datasets.FSDD_SPEAKERS}
TASKS |= {"American": ["jackson", "theo"], "German": ["lucas", "yweweler"]}
SYNTHETIC = {"British, synthetic": "en-gb", "Scottish, synthetic": "en-gb-scotland", "Caribbean, synthetic": "en-029"}
CACHE = Path(os.environ.get("ADAPT_CACHE", Path.home() / ".cache" / "adapt"))


@dataclass(frozen=True)
class Settings:
    seeds: int = 3
    share: float = 0.8  # of the source recordings in a seed


@cache
def recordings(synthetic: bool) -> tuple[Tensor, Tensor, numpy.ndarray, int]:
    """Waves, numbers of the words, names of speakers or accents, samples per second."""
    if not synthetic:
        waves, labels = datasets.fsdd(seconds=2.4).tensors
        return waves, labels[:, 0], numpy.array(datasets.FSDD_SPEAKERS)[labels[:, 1]], datasets.FSDD_RATE
    if not (path := CACHE / "accents.npz").exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, datasets.data_file("accents_espeak", "make_accents.py"), path], check=True)
    with numpy.load(path) as file:
        waves, words = (torch.from_numpy(file[name]) for name in ("waves", "word"))
        return waves / 2.0**15, words, file["accents"][file["accent"]], 16_000


@cache
def features(synthetic: bool, method: str) -> Tensor:
    """Log-mel bands or features of the encoder; with statistics: of mean 0 for each speaker or accent."""
    waves, _, names, rate = recordings(synthetic)
    if method == NONE:
        heard = (F.pad(torch.from_numpy(numpy.trim_zeros(wave)), (0, rate // 32)) for wave in waves.numpy())
        bands = (datasets.log_mel(wave, rate, window=rate // 32, hop=rate // 64) for wave in heard)
        return torch.stack([F.adaptive_avg_pool2d(image, (32, 16)).flatten() for image in bands])
    if method == BASELINE:
        encoder = encoders.packaged_words(rate)
        rows = TensorDataset(torch.stack([encoder.preprocess(wave) for wave in waves]))
        return engine.features(encoder, rows, CACHE, batch_size=32).tensors[0]
    x = features(synthetic, BASELINE).clone()
    for name in set(names):
        x[names == name] -= x[names == name].mean(0)
    return x


def scored(cell: report.Cell, settings: Settings, kept: dict) -> heads.Score:
    synthetic, kind = cell.task in SYNTHETIC, cell.method if cell.method in (NONE, BASELINE) else CENTRED
    (_, y, names, _), x, hits = recordings(synthetic), features(synthetic, kind), []
    wanted = [SYNTHETIC[cell.task]] if synthetic else TASKS[cell.task]
    target = numpy.flatnonzero(numpy.isin(names, wanted))
    source = numpy.flatnonzero(names == "en-us" if synthetic else ~numpy.isin(names, wanted))
    drawn = numpy.random.default_rng(cell.seed).permutation(source)[: round(settings.share * len(source))]
    a, b = target[0::2], target[1::2]  # the oracle learns from each half in turn
    for train, test in [(a, b), (b, a)] if cell.method == ORACLE else [(drawn, target)]:
        if cell.method == PROPAGATED:
            found = transductive.label_propagation(x[train], y[train], x[test]).argmax(1)
        else:
            key = cell.task, cell.seed, kind, len(train), len(hits)  # two methods read the same regression
            if key not in kept:
                kept[key] = LogisticRegression(max_iter=1000).fit(x[train], y[train]).predict_proba(x[test])
            p = torch.from_numpy(kept[key])
            found = transductive.centroid_labels(x[test], p) if cell.method == CENTROIDS else p.argmax(1)
        hits.append(found == y[test])
    return heads.proportion("accuracy", torch.cat(hits))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two speakers, without the encoder: does everything run?")
    parser.add_argument("--out", default="runs/accents", help="folder for what is written (default: %(default)s)")
    arguments = parser.parse_args()
    settings, tasks = Settings(seeds=2) if arguments.quick else Settings(), [*TASKS, *SYNTHETIC]
    run = partial(scored, settings=settings, kept={})
    data = {task: report.Data() for task in tasks[: 2 if arguments.quick else None]}
    methods = dict.fromkeys([BASELINE, NONE, CENTRED, PROPAGATED, CENTROIDS, ORACLE], run)
    waves, _, names, _ = recordings(False)
    for target in (numpy.isin(names, TASKS[task]) for task in data if task in TASKS):
        assert not datasets.leak_check(waves[~target], waves[target], groups=(names[~target], names[target]))
    grid = {"oracle": [ORACLE], "settings": settings, "data": data, "quick": arguments.quick}
    result = report.experiment(arguments.out, methods, settings.seeds, BASELINE, **grid)
    for method in methods:
        found = [100 * numpy.mean(result.scores(speaker)[method]) for speaker in result.tasks[:6]]
        print(f"mean of {len(found)} speakers {numpy.mean(found):5.1f} %, worst speaker {min(found):5.1f} %: {method}")
    print(f"\n{result.table()}\n\npage {result.page()}, picture {result.figure()}, numbers {result.json()}")


if __name__ == "__main__":
    main()
