"""The classes of the pretrained model are used as they are."""

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

import torch

from adapt.encoders import Encoder
from adapt.heads import Classifier
from adapt.inductive._doors import WRAP, PretrainedEncoder
from adapt.protocols import expect


class NamedClasses(PretrainedEncoder, Protocol):
    """An encoder that may know the names of the classes of the pretrained task."""

    dim: int
    classes: Sequence[str] | None


def direct(encoder: Encoder, classes: Sequence[str], *, names: Mapping[str, str] | None = None) -> Classifier:
    """Return the pretrained head, restricted to the target's classes: nothing is learned, no target label is used.

    ``Trainer.evaluate`` and ``engine.predict`` take the result like any head. The logits are the logits of the
    pretrained head, in the order of `classes`. The softmax is the pretrained prediction, given that the class is among
    `classes`.

    Args:
        encoder: with the pretrained `head` and the names of the pretrained `classes`.
        classes: names of the target's classes, at least two, in the order of the labels. Classes are matched by name;
            upper and lower case and ``_``, ``-`` and spaces make no difference.
        names: the pretrained name for each class with another name in the target: ``{"car": "sports car"}``.

    Raises:
        TypeError: a module that is no encoder.
        ValueError: an encoder without the pretrained head or without names of classes; a class without a pretrained
            class of this name (the nearest names are shown); a name that several pretrained classes share. Another
            strategy is needed then.
    """
    pretrained = expect(encoder, NamedClasses, "`encoder`", WRAP)
    if pretrained.head is None or pretrained.classes is None:
        missing = "head" if pretrained.head is None else "names of classes"
        raise ValueError(
            f"this encoder came without its own {missing}: load it with them, "
            '`Encoder(..., head=linear, classes=names)`, or take another strategy, such as `"probe"`.'
        )
    own = [_normalized(name) for name in pretrained.classes]
    wanted = [(names or {}).get(name, name) for name in classes]
    unused = sorted(set(names or {}) - set(classes))
    if unused:
        raise ValueError(f"`names` translates {unused}, which are not among the `classes`.")
    absent = [name for name in wanted if _normalized(name) not in own]
    if absent:
        near = difflib.get_close_matches(_normalized(absent[0]), own, n=3)
        raise ValueError(
            f"{len(absent)} of the {len(classes)} target classes are not among the {len(own)} of the pretrained head: "
            f"{absent[:5]}; nearest to `{absent[0]}`: {near or 'none'}. Translate them with `names`, or let a new "
            "head learn: `inductive.probe`."
        )
    shared = [name for name in wanted if Counter(own)[_normalized(name)] > 1]
    if shared:
        raise ValueError(f"the pretrained head has several classes named {shared}: it cannot be matched by name.")
    rows = torch.tensor([own.index(_normalized(name)) for name in wanted])
    with torch.random.fork_rng(devices=[]):  # the random start is not used
        head = Classifier(pretrained, classes)
    head.to(pretrained.head.weight.device, pretrained.head.weight.dtype)
    with torch.no_grad():
        head.linear.weight.copy_(pretrained.head.weight[rows])
        head.linear.bias.copy_(torch.zeros(len(rows)) if pretrained.head.bias is None else pretrained.head.bias[rows])
    return head


def _normalized(name: str) -> str:
    return " ".join(str(name).casefold().replace("_", " ").replace("-", " ").split())
