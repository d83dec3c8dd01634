"""Counts of classes in masks, and the sampling of images with rare classes."""

import math

import numpy
import pytest
import torch
from PIL import Image
from torch.utils.data import TensorDataset

from adapt import Stream, datasets

G = torch.Generator().manual_seed(0)
MASKS = torch.where(torch.rand(6, 5, 4, generator=G) < 0.2, -1, torch.randint(3, (6, 5, 4), generator=G))
MASKS[:4][MASKS[:4] == 2] = 0  # class 2 is rare


def test_pixels_of_each_class():
    found = datasets.class_pixels(TensorDataset(torch.zeros(6, 3, 5, 4), MASKS), 4)
    assert found.dtype == torch.int64 and found.shape == (6, 4)
    assert all(found[i, k] == (MASKS[i] == k).sum() for i in range(6) for k in range(4))
    listed = [(None, m.to(torch.int16).numpy()) for m in MASKS]
    assert torch.equal(datasets.class_pixels(listed, 4), found)


def test_pixels_of_files(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    Image.fromarray(numpy.zeros((4, 5, 3), "uint8")).save(tmp_path / "images" / "a.png")
    Image.fromarray(numpy.array([[0, 1, 1, 255, 2]] * 4, "uint8")).save(tmp_path / "masks" / "a.png")
    data = datasets.masks(tmp_path / "images", tmp_path / "masks")
    assert datasets.class_pixels(data, 3).tolist() == [[4, 8, 4]]


@pytest.mark.parametrize("temperature", [0.01, 0.3])
def test_weights_are_those_of_a_class_and_then_an_image(temperature):
    pixels = datasets.class_pixels([(0, m) for m in MASKS], 4)
    least = 2
    found = datasets.rare_class_weights(pixels, temperature=temperature, least=least)
    total = pixels.sum().item()
    with_class = [[i for i in range(6) if pixels[i, k] >= least] for k in range(4)]
    heat = [math.exp((1 - pixels[:, k].sum().item() / total) / temperature - 1 / temperature) if with_class[k] else 0
            for k in range(4)]  # fmt: skip
    expected = [sum(heat[k] / sum(heat) / len(with_class[k]) for k in range(4) if i in with_class[k]) for i in range(6)]
    assert found.tolist() == pytest.approx(expected) and found.sum() == pytest.approx(1)
    assert not with_class[3] and found[4:].sum() > found[:4].sum()  # the images with the rare class
    Stream(TensorDataset(torch.zeros(6, 3, 5, 4), MASKS), 2, sampling=found)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: datasets.class_pixels([(0, MASKS[4])], 2), r"in \[0, 2\), found 2 in row 0"),
        (lambda: datasets.class_pixels([(0, MASKS[0].float())], 3), "whole numbers, got torch.float32 in row 0"),
        (lambda: datasets.rare_class_weights(torch.zeros(3, 2, dtype=torch.int64)), "lower `least`"),
        (lambda: datasets.rare_class_weights(torch.ones(3, 2, dtype=torch.int64), temperature=0.0), "`temperature`"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
