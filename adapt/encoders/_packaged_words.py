"""An encoder of spoken words whose weights come with a pip package."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from adapt.encoders._from_onnx import from_onnx
from adapt.encoders.encoder import Encoder
from losses.options import COUNT, check

INSTALL = 'pip install --no-deps efficientword-net; pip install "adapt-losses[onnx]"'
RATE, LONGEST, BANDS = 16_000, 24_000, 64
FILE = Path("models", "resnet_50_arc", "slim_93%_accuracy_72.7390%.onnx")


def packaged_words(rate: int = RATE) -> Encoder:
    """Return an encoder of spoken words, a ResNet of 23 million weights that learns, from the pip package
    efficientword-net (Apache-2.0).

    ``--no-deps`` in the pip line leaves out PyAudio, which is needed for a microphone alone and has no wheel for Linux.

    Args:
        rate: samples per second of the recordings for ``encoder.preprocess``, which resamples to 16,000.

    Returns:
        An :class:`Encoder` from ``(n, 1, 149, 64)`` images to ``(n, 2048)`` features of unit length.
        ``encoder.preprocess(wave)`` makes the image ``(1, 149, 64)`` of a recording ``(samples,)``: zeros at both ends
        are cut off, the word stands in the middle of 1.5 seconds, and a longer word is cut. The network brings each
        image to the range [-1, 1], so the level of a recording does not count.

    Raises:
        ImportError: a package is not installed; the message has the pip line.
        ValueError: a rate below 1; in ``preprocess``, a recording of another shape, or of zeros alone.

    The encoder was trained on spoken words of many speakers; whether any published set of words was among these
    recordings is not known. https://github.com/Ant-Brain/EfficientWord-Net
    """
    check(COUNT, rate=rate)
    try:
        import eff_word_net
    except ImportError as error:
        raise ImportError(f"the packaged encoder of words is not installed: {INSTALL}") from error
    example = torch.randn(2, 1, 149, BANDS, generator=torch.Generator().manual_seed(0))
    encoder = from_onnx(Path(eff_word_net.__file__).parent / FILE, example=example)
    encoder.preprocess, encoder.licence, encoder.source = WordImage(int(rate)), "Apache-2.0", "efficientword-net"
    return encoder


@dataclass(frozen=True)
class WordImage:
    """From a recording to the input of :func:`packaged_words`."""

    rate: int

    def __call__(self, wave: Any) -> Tensor:
        from eff_word_net.audio_utils import logfbank
        from scipy.signal import resample_poly

        heard = numpy.asarray(wave, dtype="float64")
        if heard.ndim != 1 or not heard.any() or not numpy.isfinite(heard).all():
            raise ValueError(
                f"`wave` must be (samples,) finite numbers that are not all 0, got shape {heard.shape}: cut silent "
                "recordings out, and take the mean over the channels."
            )
        shared = math.gcd(self.rate, RATE)
        heard = resample_poly(numpy.trim_zeros(heard), RATE // shared, self.rate // shared)[:LONGEST]
        left = (LONGEST - len(heard)) // 2
        middle = numpy.pad(heard, (left, LONGEST - len(heard) - left))
        return torch.from_numpy(logfbank(middle, RATE, nfilt=BANDS, preemph=0.0)).float()[None]
