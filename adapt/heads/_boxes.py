"""Boxes around objects."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from adapt.heads.average_precision import average_precision, matches
from adapt.heads.box_labels import check_boxes, check_rows, objects_of
from adapt.heads.box_targets import focal_sum, points_of, targets_of
from adapt.heads.decoder import Decoder, image_size, smooth
from adapt.heads.labels import mean_of_present
from adapt.heads.score import Score
from adapt.heads.sizes import names_of
from adapt.protocols import HasDim
from losses.options import AT_LEAST_0, BELOW_1, COUNT, SHARE, check, or_none

CANDIDATES = 1000  # points of an image with the largest probabilities, before overlapping boxes are removed
LONGEST = 10.0  # of the logarithm of a distance in cells
PRIOR = -2.19  # the logit of 0.1: most points are no centre


class Boxes(nn.Module):
    r"""A decoder from a pyramid of maps to boxes around objects, without anchors: each point of the finest map says
    whether it is the centre of an object of each class, and where the four sides of the box are.

    With N the number of boxes plus the number of images of the whole step, the loss is

    .. math:: \frac{1}{N} \Bigl( \sum \text{focal} + \lambda \sum_{\text{boxes}} \sum_{p} s_p\, (1 -
        \mathrm{GIoU}_p) \Bigr)

    with the penalty-reduced focal loss of centres (:func:`adapt.heads.box_targets.focal_sum`), and the shares s of the
    points near the centre (:func:`adapt.heads.box_targets.targets_of`). An image without boxes counts: the head learns
    that nothing is there.

    Args:
        encoder: an encoder with a pyramid, ``encoders.pyramid(encoder, example=images)``, or with a single map; or the
            channels of each map by name, or of a single map. The finest map decides which objects can be told apart:
            stride 4 or 8.
        classes: the number of classes, or their names.
        stride: pixels of a cell, for a single map; a pyramid knows the size of the images. None: a pyramid.
        channels: of the maps in the decoder; 64.
        box_weight: :math:`\lambda`; 5, as in TTFNet.
        threshold: the smallest probability of a found box; 0.05. The score needs the boxes of small probability.
        overlap: boxes of one class with a larger overlap (intersection over union) are one object, the box with the
            largest probability; 0.6.
        most: the largest number of boxes found in an image; 100, as in COCO.

    Labels: a list with a mapping for each image (``collate.as_lists``): ``"boxes"`` ``(k, 4)`` left, top, right, bottom
    in pixels, and ``"classes"`` ``(k,)``. A box of class -1 is a region of unknown content: boxes found there are
    neither right nor wrong, and nothing is learned there. An image with missing labels has a region around everything.

    Shapes: a pyramid of maps to a mapping: ``"centres"`` ``(n, classes, h, w)`` logits, ``"boxes"`` ``(n, 4, h, w)`` in
    pixels, ``"size"`` ``(n, 2)``, width and height of the images.

    Attributes:
        names: the names of the classes; "0", "1", ... where none were given.

    Several ranks and micro-batches: the loss is exact, the divisor counts the whole step.

    Raises:
        TypeError: `encoder` is neither an encoder nor sizes.
        ValueError: no class; an option out of range; features that are no maps.
        ImportError: a torchvision that does not work with this torch, in the loss and in `predict`.

    Zhou et al., Objects as Points, 2019, https://arxiv.org/abs/1904.07850;
    Tian et al., FCOS, 2019, https://arxiv.org/abs/1904.01355;
    Liu et al., Training-Time-Friendly Network for Real-Time Object Detection, 2020, https://arxiv.org/abs/1909.00700
    """

    def __init__(
        self,
        encoder: HasDim | int | Mapping[str, int],
        classes: int | Sequence[str],
        *,
        stride: int | None = None,
        channels: int = 64,
        box_weight: float = 5.0,
        threshold: float = 0.05,
        overlap: float = 0.6,
        most: int = 100,
    ):
        super().__init__()
        check(or_none(COUNT), stride=stride)
        check(AT_LEAST_0, box_weight=box_weight)
        check(BELOW_1, threshold=threshold)
        check(SHARE, overlap=overlap)
        check(COUNT, most=most)
        self.names = names_of(classes, least=1)
        self.decoder = Decoder(encoder, channels)
        if stride is None and not isinstance(self.decoder.dims, dict):
            raise ValueError("`stride` must be given for a single map: pixels of the image for each cell, such as 8.")
        self.stride, self.box_weight = stride, float(box_weight)
        self.threshold, self.overlap, self.most = float(threshold), float(overlap), int(most)
        width = self.decoder.channels
        last = nn.Conv2d(width, len(self.names), 1)
        nn.init.constant_(last.bias, PRIOR)  # type: ignore[arg-type]  # a convolution with a bias
        self.centres = nn.Sequential(smooth(width), last)
        self.sides = nn.Sequential(smooth(width), nn.Conv2d(width, 4, 1))

    def forward(self, features: Any) -> dict[str, Tensor]:
        x = self.decoder(features)
        (h, w), size = x.shape[-2:], image_size(features)
        if size is None:
            if self.stride is None:
                raise ValueError('`features` must hold the images, `"input"`: make them with `encoders.pyramid`.')
            size = (h * self.stride, w * self.stride)
        pixels = torch.tensor(size[::-1], dtype=torch.float32, device=x.device)
        cell = (pixels / pixels.new_tensor([w, h])).repeat(2)[:, None, None]
        far = self.sides(x).float().clamp_max(LONGEST).exp() * cell  # to the left, top, right and bottom
        points = points_of(pixels, h, w)
        boxes = torch.cat([points - far[:, :2], points + far[:, 2:]], 1)
        return {"centres": self.centres(x), "boxes": boxes, "size": pixels.expand(x.shape[0], 2)}

    @property
    def recipe(self) -> tuple[str, dict[str, Any]]:
        made = {"encoder": self.decoder.dims, "classes": self.names, "stride": self.stride}
        more = {"channels": self.decoder.channels, "box_weight": self.box_weight, "threshold": self.threshold}
        return "adapt.heads.Boxes", made | more | {"overlap": self.overlap, "most": self.most}

    def extra_repr(self) -> str:
        return f"classes={len(self.names)}, threshold={self.threshold}, overlap={self.overlap}, most={self.most}"

    def loss(self, output: Mapping[str, Tensor], labels: Any) -> Tensor:
        """Return the loss over all ranks; see the class."""
        giou = operators().generalized_box_iou_loss
        logits, sizes = output["centres"], output["size"]
        check_rows(labels, len(logits))
        objects, kinds, (h, w) = objects_of(labels, logits.device), len(self.names), logits.shape[-2:]
        each = [targets_of(o, kinds, size, h, w) for o, size in zip(objects, sizes, strict=True)]
        heat, known, truth, shares = (torch.stack(parts) for parts in zip(*each, strict=True))
        missed = giou(output["boxes"].movedim(1, -1).reshape(-1, 4), truth.movedim(1, -1).reshape(-1, 4))
        total = focal_sum(logits, heat, known) + self.box_weight * (shares.flatten() * missed).sum()
        counted = torch.stack([1 + (o.classes >= 0).sum() for o in objects])
        return mean_of_present(total, counted)

    def count(self, labels: Any) -> float:
        """Return what the loss of a batch is divided by: the number of boxes plus the number of images."""
        return float(sum(1 + int((o.classes >= 0).sum()) for o in objects_of(labels)))

    def predict(self, output: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        """Return the boxes found in each image, the largest probability first.

        Returns:
            A list with a mapping for each image: ``"boxes"`` ``(d, 4)`` within the image, ``"scores"`` ``(d,)``,
            probabilities, and ``"classes"`` ``(d,)``.
        """
        rows = zip(output["centres"].sigmoid(), output["boxes"], output["size"], strict=True)
        return [self._found(*row) for row in rows]

    def _found(self, heat: Tensor, boxes: Tensor, size: Tensor) -> dict[str, Tensor]:
        p, place = heat.flatten().topk(min(CANDIDATES, heat.numel()))
        p, place = p[p > self.threshold], place[p > self.threshold]
        points = heat[0].numel()
        kind, found = place // points, boxes.flatten(1)[:, place % points].T
        found = torch.minimum(found.clamp_min(0), size.repeat(2))
        inside = (found[:, 2:] > found[:, :2]).all(1)
        found, p, kind = found[inside], p[inside], kind[inside]
        kept = operators().batched_nms(found, p, kind, self.overlap)[: self.most]
        return {"boxes": found[kept], "scores": p[kept], "classes": kind[kept]}

    def measure(self, output: Mapping[str, Tensor], labels: Any) -> list[dict[str, Any]]:
        """Return the matches of each image (:func:`adapt.heads.average_precision.matches`), after a check of the
        labels.
        """
        self.check(labels)
        check_rows(labels, len(output["size"]))
        found = zip(self.predict(output), objects_of(labels), strict=True)
        return [matches(boxes, *objects, kinds=len(self.names)) for boxes, objects in found]

    def score(self, measures: Sequence[Mapping[str, Tensor]], units: Tensor | None = None) -> Score:
        """Return the mAP50:95 of COCO with a 95 % interval over images, see
        :func:`adapt.heads.average_precision.average_precision`.

        Args:
            units: the unit of each image where images belong together, such as a patient.
        """
        return average_precision(measures, self.names, units)

    def check(self, labels: Any) -> None:
        """Raise a ValueError unless `labels` are a list with the boxes and the classes of each image.

        A host synchronisation on a GPU.
        """
        check_boxes(labels, self.names)


def operators() -> Any:
    """Return ``torchvision.ops``.

    Raises:
        ImportError: torchvision is absent, or was built for another torch.
    """
    try:
        from torchvision import ops
    except (ImportError, RuntimeError) as error:
        raise ImportError(
            f"heads of boxes need torchvision.ops, which cannot be imported ({error}): install the torchvision that "
            "fits torch, `pip install --upgrade torch torchvision`."
        ) from error
    return ops
