"""The heads of the detectors of torchvision."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from adapt.evaluating import evaluating
from adapt.heads.average_precision import average_precision, matches
from adapt.heads.box_labels import check_boxes, objects_of
from adapt.heads.decoder import INPUT
from adapt.heads.score import Score
from adapt.heads.sizes import names_of

MOST = 100  # boxes of an image, as in COCO


class Detector(nn.Module):
    """What follows the backbone in a detector of torchvision: Faster R-CNN, SSD, RetinaNet, FCOS.

    Args:
        encoder: of :func:`adapt.encoders.detector`.
        classes: the number of classes, or their names, as many as the encoder was made for.

    Labels, predictions, score and interval are those of :class:`Boxes`, without regions of unknown content: torchvision
    knows none, and a box of class -1 is refused.

    The output of the head is the pyramid itself. The loss draws anchors and proposals at random, compares them with the
    labels, and is the sum of the losses of torchvision; ``predict`` finds the boxes.

    Several ranks and micro-batches: torchvision divides by the number of drawn or matched anchors of each batch, so the
    loss is a mean over batches, and other batches are other numbers.

    Raises:
        TypeError: an encoder that is none of :func:`adapt.encoders.detector`.
        ValueError: another number of classes.
    """

    def __init__(self, encoder: Any, classes: int | Sequence[str]):
        super().__init__()
        recipe = getattr(encoder, "recipe", None)  # any encoder may come
        if recipe is None or recipe[0] != "adapt.encoders.detector":
            raise TypeError(
                f"`encoder` must be made by `encoders.detector(name, classes)`, got a {type(encoder).__name__}; for "
                "other encoders take `heads.Boxes(encoder, classes)`."
            )
        self.names = names_of(classes, least=1)
        if len(self.names) != recipe[1]["classes"]:
            raise ValueError(
                f"`classes` must be the {recipe[1]['classes']} classes of the encoder, got {len(self.names)}: make the "
                "encoder with the same number, `encoders.detector(name, classes)`."
            )
        self.rest, self._made = encoder.head, SimpleNamespace(recipe=recipe)

    @property
    def recipe(self) -> tuple[str, dict[str, Any]]:
        return "adapt.heads.Detector", {"encoder": self._made, "classes": self.names}

    def forward(self, features: Any) -> dict[str, Tensor]:
        if not isinstance(features, Mapping) or INPUT not in features:
            raise ValueError("`features` must be the pyramid of `encoders.detector`: train the head with its encoder.")
        return dict(features)

    def loss(self, output: Mapping[str, Tensor], labels: Any) -> Tensor:
        """Return the sum of the losses of torchvision.

        Raises:
            ValueError: in evaluation mode, in which torchvision computes no loss.
        """
        if not self.training:
            raise ValueError("the loss of a detector of torchvision needs training mode: call `head.train()` first.")
        objects = objects_of(labels, output[INPUT].device)
        targets = [{"boxes": o.boxes, "labels": o.classes + 1} for o in objects]  # 0 is the background
        return torch.stack(list(self._run(output, targets).values())).sum()

    def predict(self, output: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        """Return the boxes found in each image, at most 100, the largest score first, as :meth:`Boxes.predict`."""
        with evaluating(self.rest):
            return [_largest(found) for found in self._run(output, None)]

    def measure(self, output: Mapping[str, Tensor], labels: Any) -> list[dict[str, Any]]:
        """Return the matches of each image, after a check of the labels, as :meth:`Boxes.measure`."""
        self.check(labels)
        found = zip(self.predict(output), objects_of(labels), strict=True)
        return [matches(boxes, *objects, kinds=len(self.names)) for boxes, objects in found]

    def score(self, measures: Sequence[Mapping[str, Tensor]], units: Tensor | None = None) -> Score:
        """Return the mAP50:95 of COCO, as :meth:`Boxes.score`."""
        return average_precision(measures, self.names, units)

    def check(self, labels: Any) -> None:
        """Raise a ValueError unless `labels` are a list with the boxes and the classes of each image, none unknown."""
        check_boxes(labels, self.names)
        if any(bool((classes < 0).any()) for _, classes in objects_of(labels)):
            raise ValueError(
                "`classes` must be in [0, classes) for a detector of torchvision, found -1: regions of unknown content "
                "belong to heads.Boxes."
            )

    def _run(self, output: Mapping[str, Tensor], targets: Any) -> Any:
        given: Any = self.rest.backbone
        given.maps = OrderedDict((name, output[name]) for name in reversed(list(output)) if name != INPUT)
        try:
            return self.rest(list(output[INPUT]), targets)
        finally:
            given.maps = None


def _largest(found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the boxes of an image with the largest scores, with classes from 0 on."""
    real = (found["labels"] > 0).nonzero().flatten()
    kept = real[found["scores"][real].argsort(descending=True, stable=True)][:MOST]
    return {"boxes": found["boxes"][kept], "scores": found["scores"][kept], "classes": found["labels"][kept] - 1}
