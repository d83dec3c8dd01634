"""The pretrained model's own classes."""

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence

import torch

from adapt.encoders import Encoder
from adapt.heads import Classifier


def direct(encoder: Encoder, classes: Sequence[str], *, names: Mapping[str, str] | None = None) -> Classifier:
    """The pretrained head, restricted to the target's classes: nothing is learned, no target label is used.

    ``Trainer.evaluate`` and ``engine.predict`` take it as any head; its logits are those of the pretrained head, in the order
    of `classes`, and their softmax is the pretrained prediction given that the class is one of them.

    Args:
        encoder: with its own `head` and the names of its `classes`.
        classes: of the target, at least two, in the order of its labels. They are matched by name; upper and lower case
            and ``_``, ``-`` and spaces make no difference.
        names: the pretrained name for each class that is called otherwise: ``{"car": "sports car"}``.

    Raises:
        ValueError: an encoder without its head or without names, a class that is not among them, or one that two of
            them share; the nearest names are shown. Then another strategy is needed.
    """
    if encoder.head is None or encoder.classes is None:
        missing = "head" if encoder.head is None else "names of classes"
        raise ValueError(
            f"this encoder came without its own {missing}: load it with them, `Encoder(..., head=linear, classes=names)`, "
            'or take another strategy, such as `"probe"`.'
        )
    own = [_plain(name) for name in encoder.classes]
    wanted = [(names or {}).get(name, name) for name in classes]
    unused = sorted(set(names or {}) - set(classes))
    if unused:
        raise ValueError(f"`names` translates {unused}, which are not among the `classes`.")
    absent = [name for name in wanted if _plain(name) not in own]
    if absent:
        near = difflib.get_close_matches(_plain(absent[0]), own, n=3)
        raise ValueError(
            f"{len(absent)} of the {len(classes)} target classes are not among the {len(own)} of the pretrained head: "
            f"{absent[:5]}; nearest to `{absent[0]}`: {near or 'none'}. Translate them with `names`, or let a new head learn: "
            "`inductive.probe`."
        )
    shared = [name for name in wanted if Counter(own)[_plain(name)] > 1]
    if shared:
        raise ValueError(f"the pretrained head has several classes named {shared}: it cannot be matched by name.")
    rows = torch.tensor([own.index(_plain(name)) for name in wanted])
    with torch.random.fork_rng(devices=[]):  # its random start is not used
        head = Classifier(encoder.dim, [str(name) for name in classes])
    head.to(encoder.head.weight.device, encoder.head.weight.dtype)
    with torch.no_grad():
        head.linear.weight.copy_(encoder.head.weight[rows])
        head.linear.bias.copy_(torch.zeros(len(rows)) if encoder.head.bias is None else encoder.head.bias[rows])
    return head


def _plain(name: str) -> str:
    return " ".join(str(name).casefold().replace("_", " ").replace("-", " ").split())
