"""Spoken digits of an unseen speaker from one or five takes of each digit, with a frozen encoder of spoken words.

    pip install --no-deps efficientword-net && pip install onnxruntime    # 100 MB, with the weights
    ADAPT_DATA=... python examples/spoken_words.py    # minutes; --quick: a smoke run, its numbers mean nothing

Mean of six speakers: 94.0 % with one take of each digit by the nearest cosine, 98.0 with five, and the worst speaker
84.3 and 90.9; without an encoder 80.5 and 89.8. A method chosen on the other speakers: 94.3 and 98.4; all test takes
read together, by `fewshot.alpha_tim`: 96.4 and 98.7. Whether the encoder heard these recordings before is not known.

Each speaker is a task. A seed chooses the labelled takes, each take equally often; the other takes are the test. Other
speakers' recordings choose the method of one row.
"""

import argparse
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy
import torch
from scipy.fft import dct
from scipy.signal import resample_poly
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.data import TensorDataset

from adapt import datasets, encoders, engine, fewshot, heads, report

BASELINE, COSINE = "no encoder: MFCC", fewshot.centroid(metric="cosine")
CHOICES, TOGETHER = [COSINE, fewshot.cl2n(), fewshot.ridge(), fewshot.lda(), fewshot.logistic()], fewshot.alpha_tim()


@dataclass(frozen=True)
class Settings:
    labelled: tuple[int, ...] = (1, 5)  # takes of each digit
    takes: int = 20  # of each digit and speaker: all of them


def word_encoder() -> encoders.Encoder:
    """ResNet of efficientword-net: 1.5 seconds at 16 kHz, 64 bands, to 2,048 numbers of unit length."""
    try:
        import eff_word_net
        import onnxruntime
        from eff_word_net.audio_utils import logfbank
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{__doc__.splitlines()[2].strip()} is needed.") from error

    path = Path(eff_word_net.__file__).parent / "models" / "resnet_50_arc" / "slim_93%_accuracy_72.7390%.onnx"
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def vector(wave: numpy.ndarray) -> numpy.ndarray:
        heard = resample_poly(numpy.trim_zeros(wave), 16_000, datasets.FSDD_RATE)[:24_000]
        left = (24_000 - len(heard)) // 2  # the word in the middle
        bands = logfbank(numpy.pad(heard, (left, 24_000 - len(heard) - left)), 16_000, nfilt=64, preemph=0.0)
        return session.run(None, {"input": bands[None, None].astype("float32")})[0][0]  # the graph wants one by one

    return encoders.callable(lambda waves: [vector(wave) for wave in waves], 2048, name="words", fingerprint=path)


def mfcc(waves: numpy.ndarray) -> numpy.ndarray:
    """Cepstral coefficients 1 to 12 at ten times of each word."""
    heard = (torch.from_numpy(numpy.pad(numpy.trim_zeros(wave), (0, 256))) for wave in waves)
    bands = (datasets.log_mel(word, datasets.FSDD_RATE)[0] for word in heard)
    found = (torch.from_numpy(dct(b.numpy(), axis=0, norm="ortho")[None, 1:13]) for b in bands)
    return torch.cat([interpolate(f, size=10, mode="linear") for f in found]).flatten(1).numpy()


@cache
def answers(x: Tensor, method, labelled: int) -> Tensor:
    """Return ``(draws, tests)``, which answers are right: all draws of ``(digits, takes, d)`` are one tensor."""
    takes = torch.arange(x.shape[1])
    few, test = x[:, (takes[:, None] + takes) % len(takes)].transpose(0, 1).split([labelled, len(takes) - labelled], 2)
    y, right = (torch.arange(len(x)).repeat_interleave(each) for each in (labelled, len(takes) - labelled))
    return method(few.flatten(1, 2), y.expand(len(takes), -1), test.flatten(1, 2)).argmax(-1) == right


def scored(cell: report.Cell, method, features: str = "words") -> heads.Score:
    return heads.proportion("accuracy", answers(cell.data.more[features], method, cell.budget // 10)[cell.seed])


def chosen(cell: report.Cell) -> heads.Score:
    """The method with the best mean accuracy on the five other speakers."""
    others = cell.data.more["others"]
    found = {m.name: sum(answers(x, m, cell.budget // 10).double().mean() for x in others) for m in CHOICES}
    return scored(cell, max(CHOICES, key=lambda m: found[m.name]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="3 takes of each digit: does everything run?")
    parser.add_argument("--out", default="runs/spoken_words", help="folder for what is written")
    arguments = parser.parse_args()
    settings = Settings(labelled=(1, 2), takes=3) if arguments.quick else Settings()
    folder = Path(os.environ.get("ADAPT_CACHE", Path.home() / ".cache" / "adapt"))
    waves = datasets.fsdd(seconds=1.5).tensors[0].view(10, 6, 20, -1)[:, :, : settings.takes]
    rows, shape = TensorDataset(waves.flatten(0, 2)), (10, 6, settings.takes, -1)
    spoken = engine.features(word_encoder(), rows, folder).tensors[0].view(shape).unbind(1)
    plain = torch.from_numpy(mfcc(rows.tensors[0].numpy())).view(shape).unbind(1)
    result = report.experiment(
        arguments.out, {
            BASELINE: lambda cell: scored(cell, COSINE, "MFCC"),
            "words: cosine": lambda cell: scored(cell, COSINE),
            "words: chosen method": chosen,
            "words: all at once": lambda cell: scored(cell, TOGETHER),
            "chance": lambda cell: heads.proportion("accuracy", torch.rand(10 * settings.takes - cell.budget) < 0.1),
        }, settings.takes, BASELINE, data={
            name: report.Data(more={"words": x, "MFCC": m, "others": [other for other in spoken if other is not x]})
            for name, x, m in zip(datasets.FSDD_SPEAKERS, spoken, plain, strict=True)
        }, budgets=[10 * takes for takes in settings.labelled], settings=settings, quick=arguments.quick,
    )  # fmt: skip
    for budget in result.budgets:
        for method in result.scores(result.tasks[0], budget):
            found = [100 * numpy.mean(result.scores(speaker, budget)[method]) for speaker in result.tasks]
            print(f"{budget} labels: {numpy.mean(found):5.1f} %, worst speaker {min(found):5.1f} %, {method}")
    print(f"\n{result.table()}\n\npage {result.page()}, picture {result.figure()}, numbers {result.json()}")


if __name__ == "__main__":
    main()
