"""Corruptions: outputs are pinned by hashes, equal slow references of the published loops, and are seeded by row."""

import hashlib

import numpy
import pytest
import torch
from scipy.ndimage import gaussian_filter

from adapt import datasets
from adapt.datasets import corruptions
from adapt.datasets.corruptions import CORRUPTIONS, EXTRA_CORRUPTIONS

ALL = CORRUPTIONS + EXTRA_CORRUPTIONS
# sha256 of the uint8 outputs of severity 1 to 5 on `pictures()`; jpeg_compression depends on the build of libjpeg
HASHES = {
    "gaussian_noise": "e2b1b8ce574646c0",
    "shot_noise": "57d0e30fb101ffec",
    "impulse_noise": "e722d46fbcbbc314",
    "defocus_blur": "dc93182d8e4e7b0f",
    "glass_blur": "02fec3c5ff3232d6",
    "motion_blur": "745245e8d19f6fb9",
    "zoom_blur": "a1db583d95a5737f",
    "snow": "f625e8e9d899e0a3",
    "frost": "f7b84e4a85483e1b",
    "fog": "8fdc1a6cdb025eb5",
    "brightness": "a7b7f044f8dd79ca",
    "contrast": "9c20e1d25afb6af6",
    "elastic_transform": "63225097421a89e8",
    "pixelate": "615e70e327f9e7cf",
    "jpeg_compression": "c7d3055fae9bb67c",
    "speckle_noise": "08b659e1da7de7e9",
    "gaussian_blur": "62bc9d132032734a",
    "spatter": "caf81cfcd109b024",
    "saturate": "a1cbd902ba556939",
}


def pictures(n=2, side=32):
    """Smooth coloured patterns with an edge, uint8."""
    y, x, k = numpy.mgrid[:side, :side, :3].transpose(0, 1, 2, 3)
    one = 127 + 60 * numpy.sin(x / 5 + k) + 50 * (y > side // 2) * (k - 1)
    stack = numpy.stack([one + 9 * i for i in range(n)]).clip(0, 255).astype(numpy.uint8)
    return torch.from_numpy(stack).permute(0, 3, 1, 2).contiguous()


def hash_of(name):
    made = [datasets.corrupt(pictures(), name, severity).numpy().tobytes() for severity in range(1, 6)]
    return hashlib.sha256(b"".join(made)).hexdigest()[:16]


def test_there_are_fifteen_and_four():
    assert (
        len(set(CORRUPTIONS)) == 15
        and len(set(EXTRA_CORRUPTIONS)) == 4
        and not set(CORRUPTIONS) & set(EXTRA_CORRUPTIONS)
    )


@pytest.mark.parametrize("name", ALL)
def test_outputs_are_the_pinned_outputs(name):
    assert hash_of(name) == HASHES[name]


@pytest.mark.parametrize("name", ALL)
def test_row_i_depends_on_its_image_the_seed_and_i_alone(name):
    x = pictures(4)
    states = torch.get_rng_state(), numpy.random.get_state()[1].copy()
    whole = datasets.corrupt(x, name)
    assert torch.equal(torch.get_rng_state(), states[0]) and (numpy.random.get_state()[1] == states[1]).all()
    assert torch.equal(datasets.corrupt(x[:2], name), whole[:2])
    other = x.clone()
    other[:3] = 255 - other[:3]
    assert torch.equal(datasets.corrupt(other, name)[3], whole[3])
    same = {"defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression", "gaussian_blur",
            "saturate"}  # fmt: skip
    assert torch.equal(datasets.corrupt(x, name, seed=1), whole) == (name in same)
    assert torch.equal(datasets.corrupt(x[:1].repeat(2, 1, 1, 1), name).unique(dim=0), whole[:1]) == (name in same)


@pytest.mark.parametrize("name", ALL)
def test_severity_five_is_further_away_than_severity_one(name):
    if name in ("spatter", "saturate", "elastic_transform"):  # their constants change the kind, not the strength
        return
    x = pictures(8).float()
    far = [(datasets.corrupt(x / 255, name, s) * 255 - x).abs().mean() for s in (1, 5)]
    assert far[1] > far[0]


@pytest.mark.parametrize("name", ALL)
def test_numbers_arrays_and_other_sizes(name):
    whole = datasets.corrupt(pictures(), name)
    assert whole.dtype == torch.uint8 and whole.shape == (2, 3, 32, 32) and whole.is_contiguous()
    floats = datasets.corrupt(pictures().float() / 255, name)
    assert floats.dtype == torch.float32 and (floats * 255 - whole).abs().max() < 1.01  # the noise sees finer numbers
    array = datasets.corrupt(pictures().numpy()[:, :, ::1], name)
    assert isinstance(array, numpy.ndarray) and (array == whole.numpy()).all()
    rows = pictures().permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    assert torch.equal(datasets.corrupt(rows, name), whole)
    assert datasets.corrupt(pictures()[:0], name).shape == (0, 3, 32, 32)
    oblong = datasets.corrupt(pictures(1, 48)[..., :40].double() / 255, name)
    assert oblong.shape == (1, 3, 48, 40) and oblong.dtype == torch.float64 and 0 <= oblong.min() <= oblong.max() <= 1
    for grey in (0, 255):
        flat = datasets.corrupt(torch.full((1, 3, 8, 8), grey, dtype=torch.uint8), name)
        assert flat.shape == (1, 3, 8, 8)


def test_glass_blur_is_the_published_loop():
    """The loop of the authors: an assignment of numpy views to each other copies, and swaps nothing."""
    x = pictures(1)[0].permute(1, 2, 0).double().numpy() / 255
    sigma, reach, repeats = 0.4, 1, 2
    found = corruptions._glass_blur(x, (sigma, reach, repeats), numpy.random.default_rng(3))
    draw = numpy.random.default_rng(3)
    y = numpy.floor(255 * gaussian_filter(x, (sigma, sigma, 0), mode="nearest") + 1e-4)
    for _ in range(repeats):
        dy, dx = draw.integers(-reach, reach, (2, 30, 30))
        for h in range(32 - reach, reach, -1):
            for w in range(32 - reach, reach, -1):
                i, j = h + dy[h - 2, w - 2], w + dx[h - 2, w - 2]
                y[h, w], y[i, j] = y[i, j], y[h, w]
    expected = gaussian_filter(y / 255, (sigma, sigma, 0), mode="nearest")
    assert numpy.abs(found - expected).max() < 1e-12


def test_the_noise_has_the_constants():
    grey = torch.full((40, 3, 32, 32), 0.5)
    assert (datasets.corrupt(grey, "gaussian_noise", 3) - 0.5).std() == pytest.approx(0.08, abs=2e-3)
    assert (datasets.corrupt(grey, "speckle_noise", 5) - 0.5).std() == pytest.approx(0.1, abs=2e-3)
    assert datasets.corrupt(grey, "shot_noise", 5).var() == pytest.approx(0.5 / 50, rel=0.05)
    hit = datasets.corrupt(grey, "impulse_noise", 5)
    assert ((hit == 0) | (hit == 1)).float().mean() == pytest.approx(0.07, abs=4e-3)


def test_motion_along_a_row_has_the_weights_of_half_a_gaussian():
    x = numpy.zeros((9, 40, 1))
    x[4, 30] = 1
    found = corruptions._motion(x, 3, 2.0, 0.0)[..., 0]
    weights = numpy.exp(-(numpy.arange(7) ** 2) / 8)
    assert found[4, 24:31][::-1] == pytest.approx(weights / weights.sum()) and found.sum() == pytest.approx(1)


def test_brightness_and_saturation_keep_the_hue():
    import colorsys

    x = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 0.6 + 0.05
    x[0, :, 0, 0] = 0.4  # grey
    pairs = {
        "brightness": (3, lambda h, s, v: (h, s, min(v + 0.15, 1))),
        "saturate": (5, lambda h, s, v: (h, min(s * 2.5 + 0.2, 1), v)),
    }
    for name, (severity, change) in pairs.items():
        found = datasets.corrupt(x, name, severity)[0].flatten(1).T
        for pixel, new in zip(x[0].flatten(1).T.tolist(), found.tolist(), strict=True):
            assert new == pytest.approx(colorsys.hsv_to_rgb(*change(*colorsys.rgb_to_hsv(*pixel))), abs=1 / 254)


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        ([[1.0]], TypeError, "`images` must be a tensor or a numpy array, got a list"),
        (
            torch.zeros(1, 3, 8, 8, dtype=torch.int64),
            TypeError,
            "numbers in .* or uint8, got torch.int64",
        ),
        (numpy.zeros((1, 3, 8, 8), bool), TypeError, "got bool"),
        (torch.zeros(1, 1, 8, 8), ValueError, "must be .*got .1, 1, 8, 8.: repeat the channel"),
        (torch.zeros(3, 8, 8), ValueError, "must be .n, 3, height, width."),
        (torch.zeros(1, 3, 7, 8), ValueError, "sides of at least 8"),
        (torch.full((1, 3, 8, 8), 1.5), ValueError, "must lie in .0, 1., got 1.5 to 1.5: corrupt before"),
        (torch.full((1, 3, 8, 8), float("nan")), ValueError, "must lie in .0, 1., got nan"),
    ],
)
def test_what_is_no_image_is_refused(images, error, message):
    with pytest.raises(error, match=message):
        datasets.corrupt(images, "fog")


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="`name` must be one of gaussian_noise, .*saturate, got 'rain'"):
        datasets.corrupt(pictures(), "rain")
