"""The bundled pair of domains."""

import sys

import torch

from adapt.datasets import digits
from adapt.datasets._digits import CROPS, blend


def test_shapes_labels_and_reproducibility():
    before, one, two = torch.get_rng_state(), digits(), digits()
    assert torch.equal(before, torch.get_rng_state())
    sizes = [len(part) for domain in one for part in domain]
    assert sizes == [597, 100, 100, 2000, 100, 400]
    for a, b in zip([p for d in one for p in d], [p for d in two for p in d], strict=True):
        x, y = a.tensors
        assert torch.equal(x, b.tensors[0]) and x.dtype == torch.float32 and x.shape[1:] == (3, 28, 28)
        assert x.min() >= 0 and x.max() <= 1 and set(y.tolist()) == set(range(10))


def test_no_digit_image_is_in_two_splits(monkeypatch):
    # with black photographs the target shows the bare digits
    module = sys.modules["adapt.datasets._digits"]  # the package shows the function of that name
    monkeypatch.setattr(module, "blend", lambda images, photos, generator: images.contiguous())
    bare = digits()
    parts = [*bare.paper, bare.photo.train, *bare.photo[1:]]
    images = [p.tensors[0][:, 0] for p in parts]
    images[3] = images[3][::CROPS]
    small = [x[:, 2:26, 2:26].reshape(len(x), -1) for x in images]
    for i in range(len(small)):
        for j in range(i):
            assert torch.cdist(small[i], small[j]).min() > 1e-3, (i, j)


def test_blend_is_the_difference_to_a_crop():
    photo = torch.rand(3, 40, 50, generator=torch.Generator().manual_seed(0))
    image = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    found = blend(image, [photo], torch.Generator().manual_seed(2))[0]
    crops = [(photo[:, i : i + 8, j : j + 8] - image[0]).abs() for i in range(40 - 8 + 1) for j in range(50 - 8 + 1)]
    assert sum(torch.equal(found, crop) for crop in crops) == 1
    colours = (found[0] - found[1]).abs().mean()
    assert colours > 0.1
