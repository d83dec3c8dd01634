"""The corruptions of CIFAR-10-C, made from any colour images.

The order and the constants of five severities are the constants of the authors for 32-pixel images. ImageMagick, OpenCV
and scikit-image are replaced by numpy, scipy and PIL.
"""

import io
from collections.abc import Callable
from typing import TypeVar

import numpy
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from adapt.randomness import keyed_seed
from losses.options import FROM_0, check, is_whole

Image = NDArray[numpy.float64]  # (height, width, 3) in [0, 1]
T = TypeVar("T", Tensor, numpy.ndarray)


def corrupt(images: T, name: str, severity: int = 5, *, seed: int = 0) -> T:
    """Return images with a corruption of CIFAR-10-C, in 256 steps of grey.

    Args:
        images: ``(n, 3, h, w)``, a tensor or a numpy array: floating-point numbers in [0, 1], or uint8. Height and
            width of at least 8. The strength fits 32-pixel images; the corruptions of larger images look weaker.
        name: one of :data:`CORRUPTIONS`, or of :data:`EXTRA_CORRUPTIONS`, which the authors keep for the choice of
            methods and settings.
        severity: 1 to 5; 5 as in most papers.
        seed: of the random corruptions. The result for row i depends on the image, `name`, `severity`, `seed` and i.

    Returns:
        Corrupted images: the kind, the shape and the dtype of `images`.

    Raises:
        TypeError: images that are neither a tensor nor a numpy array, or not of such numbers.
        ValueError: another shape, values outside [0, 1], NaN; an unknown name; another severity.

    Differences from the published arrays: random numbers; ``frost`` mixes in a drawn layer of ice in place of six
    photographs; ``spatter`` of severity 1 to 3 blurs the drops and draws no rim; ``elastic_transform`` interpolates in
    float64. ``glass_blur`` copies a pixel where the paper says swap, as the code of the authors does.

    Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and Perturbations, 2019,
    https://arxiv.org/abs/1903.12261

    >>> corrupt(torch.full((1, 3, 8, 8), 0.5), "contrast").unique()
    tensor([0.4980])
    """
    known = CORRUPTIONS + EXTRA_CORRUPTIONS
    if name not in known:
        raise ValueError(f"`name` must be one of {', '.join(known)}, got {name!r}.")
    check(("a whole number from 1 to 5", lambda v: is_whole(v, 1) and v <= 5), severity=severity)
    check(FROM_0, seed=seed)
    change, constants = _KINDS[name]
    given = images if isinstance(images, Tensor) else torch.from_numpy(numpy.ascontiguousarray(_array(images)))
    scaled = _checked(given)
    out = numpy.empty_like(scaled)
    for i, x in enumerate(scaled):
        draw = numpy.random.default_rng(keyed_seed("corruption", name, severity, seed, i))
        out[i] = numpy.clip(change(x, constants[severity - 1], draw), 0, 1)
    grey = torch.from_numpy(numpy.floor(255 * out + 1e-4)).permute(0, 3, 1, 2)  # 1e-4: rounding must not lose a step
    grey = grey.to(torch.uint8) if given.dtype == torch.uint8 else (grey / 255).to(given.dtype)
    grey = grey.contiguous().to(given.device)
    return grey if isinstance(images, Tensor) else grey.numpy()


def _array(images: object) -> numpy.ndarray:
    if not isinstance(images, numpy.ndarray):
        raise TypeError(f"`images` must be a tensor or a numpy array, got a {type(images).__name__}.")
    if images.dtype.kind not in "fu":
        raise TypeError(f"`images` must be floating-point numbers in [0, 1] or uint8, got {images.dtype}.")
    return images


def _checked(given: Tensor) -> NDArray[numpy.float64]:
    """Return ``(n, h, w, 3)`` float64 in [0, 1]."""
    whole = given.dtype == torch.uint8
    if not whole and not given.is_floating_point():
        raise TypeError(f"`images` must be floating-point numbers in [0, 1] or uint8, got {given.dtype}.")
    if given.ndim != 4 or given.shape[1] != 3 or min(given.shape[2:]) < 8:
        raise ValueError(
            f"`images` must be (n, 3, height, width) with sides of at least 8, got {tuple(given.shape)}: repeat the "
            "channel of grey images three times."
        )
    wide = given.detach().cpu().double() / (255 if whole else 1)
    if wide.numel() and not (wide.min() >= 0 and wide.max() <= 1):
        raise ValueError(
            f"`images` must lie in [0, 1], got {wide.min():.3g} to {wide.max():.3g}: corrupt before you normalise."
        )
    return wide.permute(0, 2, 3, 1).contiguous().numpy()


# ---- noise ----


def _gaussian_noise(x: Image, c: float, draw: Generator) -> Image:
    return x + draw.normal(0, c, x.shape)


def _shot_noise(x: Image, c: float, draw: Generator) -> Image:
    return draw.poisson(x * c) / c


def _impulse_noise(x: Image, c: float, draw: Generator) -> Image:
    hit, salt = draw.random(x.shape) <= c, draw.random(x.shape) <= 0.5
    return numpy.where(hit, salt, x)


def _speckle_noise(x: Image, c: float, draw: Generator) -> Image:
    return x + x * draw.normal(0, c, x.shape)


# ---- blur ----


def _smooth(x: NDArray, sigma: float, mode: str = "nearest", truncate: float = 4.0) -> NDArray:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(x, (sigma, sigma, 0)[: x.ndim], mode=mode, truncate=truncate)


def _gaussian_blur(x: Image, c: float, draw: Generator) -> Image:
    return _smooth(x, c)


def _glass_blur(x: Image, c: tuple[float, int, int], draw: Generator) -> Image:
    sigma, reach, repeats = c
    h, w = x.shape[:2]
    x = numpy.floor(255 * _smooth(x, sigma) + 1e-4) / 255
    rows, columns = numpy.mgrid[reach + 1 : h - reach + 1, reach + 1 : w - reach + 1]
    for _ in range(repeats):  # the pixel above and left is read before it changes: one copy equals the authors' loop
        dy, dx = draw.integers(-reach, reach, (2, *rows.shape))
        x[rows, columns] = x[rows + dy, columns + dx]
    return _smooth(x, sigma)


def _defocus_blur(x: Image, c: tuple[float, float], draw: Generator) -> Image:
    from scipy.ndimage import correlate, correlate1d

    radius, sigma = c
    span = numpy.arange(-8, 9)
    disk = (span[:, None] ** 2 + span**2 <= radius**2).astype(float)
    tap = numpy.exp(-0.5 * (numpy.arange(-1, 2) / sigma) ** 2)
    kernel = correlate1d(correlate1d(disk / disk.sum(), tap / tap.sum(), 0), tap / tap.sum(), 1)[5:12, 5:12]
    return correlate(x, kernel[..., None], mode="mirror")


def _motion(x: NDArray, radius: float, sigma: float, degrees: float) -> NDArray:
    """Return the mean of shifted images, with the weights of half a Gaussian: the motion blur of ImageMagick."""
    steps = numpy.arange(2 * int(numpy.ceil(radius)) + 1)
    weights = numpy.exp(-0.5 * (steps / sigma) ** 2)
    angle = numpy.deg2rad(degrees)
    across = numpy.ceil(steps * numpy.cos(angle) - 0.5).astype(int)
    down = numpy.ceil(steps * numpy.sin(angle) - 0.5).astype(int)
    h, w = x.shape[:2]
    out = numpy.zeros_like(x)
    for weight, dy, dx in zip(weights / weights.sum(), down, across, strict=True):
        rows = numpy.clip(numpy.arange(h) + dy, 0, h - 1)
        out += weight * x[rows][:, numpy.clip(numpy.arange(w) + dx, 0, w - 1)]
    return out


def _motion_blur(x: Image, c: tuple[float, float], draw: Generator) -> Image:
    return _motion(x, *c, draw.uniform(-45, 45))


def _zoom(x: NDArray, factor: float) -> NDArray:
    """Return the centre of an image, magnified to the size of the image."""
    from scipy.ndimage import zoom

    h, w = x.shape[:2]
    high, wide = (int(numpy.ceil(side / factor)) for side in (h, w))
    top, left = (h - high) // 2, (w - wide) // 2
    large = zoom(x[top : top + high, left : left + wide], (factor, factor, 1)[: x.ndim], order=1)
    top, left = (large.shape[0] - h) // 2, (large.shape[1] - w) // 2
    return large[top : top + h, left : left + w]


def _zoom_blur(x: Image, c: int, draw: Generator) -> Image:
    return (x + sum(_zoom(x, 1 + step / 100) for step in range(c))) / (c + 1)


# ---- weather ----


def _plasma(side: int, decay: float, draw: Generator) -> NDArray:
    """Return a cloud of at least ``(side, side)`` in [0, 1] by the diamond-square algorithm, with equal edges."""
    size = 1 << (side - 1).bit_length()
    cloud, step, wibble = numpy.zeros((size, size)), size, 100.0

    def noisy(total: NDArray) -> NDArray:
        return total / 4 + wibble * draw.uniform(-wibble, wibble, total.shape)

    while step >= 2:
        half = step // 2
        corners = cloud[::step, ::step]
        total = corners + numpy.roll(corners, -1, 0)
        cloud[half::step, half::step] = noisy(total + numpy.roll(total, -1, 1))
        centres = cloud[half::step, half::step]
        up = centres + numpy.roll(centres, 1, 0) + corners + numpy.roll(corners, -1, 1)
        left = centres + numpy.roll(centres, 1, 1) + corners + numpy.roll(corners, -1, 0)
        cloud[::step, half::step], cloud[half::step, ::step] = noisy(up), noisy(left)
        step, wibble = half, wibble / decay
    cloud -= cloud.min()
    return cloud / cloud.max()


def _fog(x: Image, c: tuple[float, float], draw: Generator) -> Image:
    strength, decay = c
    top, (h, w) = x.max(), x.shape[:2]
    return (x + strength * _plasma(max(h, w), decay, draw)[:h, :w, None]) * top / (top + strength)


def _frost(x: Image, c: tuple[float, float], draw: Generator) -> Image:
    """Mix in a layer of ice: the ridges of two clouds, pale blue."""
    h, w = x.shape[:2]
    ridges = [1 - numpy.abs(2 * _plasma(max(h, w), 2, draw) - 1) for _ in range(2)]
    ice = (ridges[0] * ridges[1])[:h, :w, None] ** 1.5 * (0.85, 0.95, 1.0) + 0.1
    return c[0] * x + c[1] * ice


def _snow(x: Image, c: tuple[float, ...], draw: Generator) -> Image:
    mean, deviation, zoom, threshold, radius, sigma, keep = c
    flakes = _zoom(draw.normal(mean, deviation, x.shape[:2]), zoom)
    flakes = numpy.floor(255 * numpy.clip(numpy.where(flakes < threshold, 0, flakes), 0, 1)) / 255
    flakes = _motion(flakes, radius, sigma, draw.uniform(-135, -45))[..., None]
    pale = (x @ (0.299, 0.587, 0.114))[..., None] * 1.5 + 0.5
    return keep * x + (1 - keep) * numpy.maximum(x, pale) + flakes + flakes[::-1, ::-1]


def _spatter(x: Image, c: tuple[float, ...], draw: Generator) -> Image:
    mean, deviation, sigma, threshold, strength, mud = c
    liquid = _smooth(draw.normal(mean, deviation, x.shape[:2]), sigma)
    if mud:
        m = _smooth((liquid > threshold).astype(float), strength)
        m = numpy.where(m < 0.8, 0, m)[..., None]
        return x * (1 - m) + m * (63 / 255, 42 / 255, 20 / 255)
    m = _smooth(numpy.where(liquid < threshold, 0, liquid), 1.0)[..., None]
    return x + strength * m / max(m.max(), 1e-12) * (175 / 255, 238 / 255, 238 / 255)


# ---- digital ----


def _brightness(x: Image, c: float, draw: Generator) -> Image:
    """Raise the value of hue, saturation, value."""
    value = x.max(2, keepdims=True)
    higher = numpy.minimum(value + c, 1)
    return numpy.where(value > 0, x * higher / numpy.where(value > 0, value, 1), higher)


def _saturate(x: Image, c: tuple[float, float], draw: Generator) -> Image:
    """Change the saturation of hue, saturation, value; grey has the hue of red."""
    value = x.max(2, keepdims=True)
    saturation = (value - x.min(2, keepdims=True)) / numpy.where(value > 0, value, 1)
    new = numpy.clip(saturation * c[0] + c[1], 0, 1)
    there = saturation > 0
    below = numpy.where(there, (value - x) / numpy.where(there, saturation, 1), value * (0, 1, 1))
    return value - below * new


def _contrast(x: Image, c: float, draw: Generator) -> Image:
    mean = x.mean((0, 1))
    return (x - mean) * c + mean


def _elastic_transform(x: Image, c: tuple[float, float, float], draw: Generator) -> Image:
    from scipy.ndimage import affine_transform, map_coordinates

    h, w = x.shape[:2]
    strength, sigma, affine = (min(h, w) * share for share in c)
    centre, reach = numpy.array((h, w)) // 2, min(h, w) // 3
    before = centre + reach * numpy.array([[1, 1], [1, -1], [-1, -1]])
    after = before + draw.uniform(-affine, affine, before.shape)
    back = numpy.linalg.solve(numpy.c_[after, numpy.ones(3)], before).T  # (2, 3), from new places to old places
    plane = [affine_transform(x[..., k], back[:, :2], back[:, 2], order=1, mode="mirror") for k in range(3)]
    moves = [_smooth(draw.uniform(-1, 1, (h, w)), sigma, "reflect", 3) * strength for _ in range(2)]
    places = numpy.mgrid[:h, :w] + numpy.stack(moves)
    return numpy.stack([map_coordinates(p, places, order=1, mode="reflect") for p in plane], 2)


def _as_picture(x: Image):  # type: ignore[no-untyped-def]  # PIL is imported late
    from PIL import Image as Pictures

    return Pictures.fromarray(numpy.floor(255 * x + 0.5).astype(numpy.uint8))


def _jpeg_compression(x: Image, c: int, draw: Generator) -> Image:
    from PIL import Image as Pictures

    file = io.BytesIO()
    _as_picture(x).save(file, "JPEG", quality=c)
    return numpy.asarray(Pictures.open(file)) / 255


def _pixelate(x: Image, c: float, draw: Generator) -> Image:
    from PIL.Image import Resampling

    h, w = x.shape[:2]
    small = _as_picture(x).resize((int(w * c), int(h * c)), Resampling.BOX)
    return numpy.asarray(small.resize((w, h), Resampling.BOX)) / 255


# the function and the constants of the severities 1 to 5
_KINDS: dict[str, tuple[Callable[..., Image], tuple]] = {
    "gaussian_noise": (_gaussian_noise, (0.04, 0.06, 0.08, 0.09, 0.10)),
    "shot_noise": (_shot_noise, (500, 250, 100, 75, 50)),
    "impulse_noise": (_impulse_noise, (0.01, 0.02, 0.03, 0.05, 0.07)),
    "defocus_blur": (_defocus_blur, ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))),
    "glass_blur": (_glass_blur, ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2))),
    "motion_blur": (_motion_blur, ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5))),
    "zoom_blur": (_zoom_blur, (6, 11, 16, 21, 26)),  # zooms of 1.00, 1.01, ...
    "snow": (_snow, ((0.1, 0.2, 1, 0.6, 8, 3, 0.95), (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
                     (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
                     (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85), (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8))),
    "frost": (_frost, ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45))),
    "fog": (_fog, ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75))),
    "brightness": (_brightness, (0.05, 0.1, 0.15, 0.2, 0.3)),
    "contrast": (_contrast, (0.75, 0.5, 0.4, 0.3, 0.15)),
    "elastic_transform": (_elastic_transform, ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05),
                                               (0.1, 0.03, 0.03))),
    "pixelate": (_pixelate, (0.95, 0.9, 0.85, 0.75, 0.65)),
    "jpeg_compression": (_jpeg_compression, (80, 65, 58, 50, 40)),
    "speckle_noise": (_speckle_noise, (0.06, 0.1, 0.12, 0.16, 0.2)),
    "gaussian_blur": (_gaussian_blur, (0.4, 0.6, 0.7, 0.8, 1)),
    "spatter": (_spatter, ((0.62, 0.1, 0.7, 0.7, 0.5, 0), (0.65, 0.1, 0.8, 0.7, 0.5, 0), (0.65, 0.3, 1, 0.69, 0.5, 0),
                           (0.65, 0.1, 0.7, 0.69, 0.6, 1), (0.65, 0.1, 0.5, 0.68, 0.6, 1))),
    "saturate": (_saturate, ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2))),
}  # fmt: skip
CORRUPTIONS, EXTRA_CORRUPTIONS = tuple(_KINDS)[:15], tuple(_KINDS)[15:]
