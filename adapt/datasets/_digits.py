"""Two domains of handwritten digits without a download: on paper, and on photographs."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import TensorDataset

from adapt.datasets._splits import Splits


class Digits(NamedTuple):
    """The two domains: `paper` is the source, `photo` the target. No digit image is in both domains."""

    paper: Splits
    photo: Splits


SPLITS = {"paper": (597, 100, 100), "photo": (500, 100, 400)}  # of the 1,797 digits of scikit-learn
CROPS = 4  # photographs behind each training digit of the target; a digit of validation and test has one photograph


def digits() -> Digits:
    r"""Make two domains of scikit-learn's handwritten digits: on black paper, and blended into two photographs.

    The recipe of MNIST-M: each channel of the target image is :math:`|\text{photo} - \text{digit}|` with a random
    28 x 28 crop of a photograph. Images are ``(3, 28, 28)`` float32 in [0, 1]; the 8 x 8 originals are enlarged
    to 24 x 24 bilinearly and padded. Labels are 0 to 9.

    ====== ====================== =========== =====
    domain train                  validation  test
    ====== ====================== =========== =====
    paper  597                    100         100
    photo  500 digits x 4 crops   100         400
    ====== ====================== =========== =====

    The splits are disjoint in digit images, the same on every call, and made with a private generator.

    Data: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits (UCI), as shipped by scikit-learn.
    Recipe: Ganin et al., 2016, section 5.2.4, https://arxiv.org/abs/1505.07818
    """
    from sklearn.datasets import load_digits, load_sample_images

    bunch = load_digits()
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(bunch.target), generator=generator)
    small = torch.tensor(bunch.images, dtype=torch.float32)[order, None] / 16
    images, labels = enlarge(small), torch.tensor(bunch.target)[order]
    photos = [torch.tensor(photo).permute(2, 0, 1) / 255 for photo in load_sample_images().images]

    sizes = [*SPLITS["paper"], *SPLITS["photo"]]
    paper, photo = [], []
    for number, (x, y) in enumerate(zip(images.split(sizes), labels.split(sizes), strict=True)):
        if number < 3:
            paper.append(TensorDataset(x.contiguous(), y))
        else:
            crops = CROPS if number == 3 else 1
            x, y = x.repeat_interleave(crops, 0), y.repeat_interleave(crops)
            photo.append(TensorDataset(blend(x, photos, generator), y))
    return Digits(Splits(*paper), Splits(*photo))


def enlarge(small: Tensor) -> Tensor:
    """Return ``(n, 1, 8, 8)`` digits as ``(n, 3, 28, 28)`` images with a margin of two pixels."""
    return F.pad(F.interpolate(small, size=(24, 24), mode="bilinear"), (2, 2, 2, 2)).expand(-1, 3, -1, -1)


def blend(images: Tensor, photos: list[Tensor], generator: torch.Generator) -> Tensor:
    """Return ``|photo - image|`` with a random crop of a random photograph for each of the ``(n, 3, h, w)`` images."""
    h, w = images.shape[2:]
    out = torch.empty_like(images, memory_format=torch.contiguous_format)
    for i, image in enumerate(images):
        photo = photos[int(torch.randint(len(photos), (), generator=generator))]
        top = int(torch.randint(photo.shape[1] - h + 1, (), generator=generator))
        left = int(torch.randint(photo.shape[2] - w + 1, (), generator=generator))
        out[i] = (photo[:, top : top + h, left : left + w] - image).abs()
    return out
