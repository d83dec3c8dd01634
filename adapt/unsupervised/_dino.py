"""Self-distillation with no labels: DINO."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import losses
from adapt.encoders import FrozenCopy
from adapt.engine import Step, Term
from adapt.engine.once import OncePerStep
from adapt.engine.schedule import WEIGHT, Schedule, at
from adapt.protocols import Source, dim_of
from adapt.unsupervised.views import expect_views
from losses.options import BELOW_1, COUNT, POSITIVE, check


def dino(
    encoder: nn.Module,
    *,
    on: str,
    name: str = "dino",
    weight: float | Schedule = 1.0,
    prototypes: int = 1024,
    hidden: int = 512,
    bottleneck: int = 128,
    temperature: float = 0.1,
    teacher_temperature: float = 0.04,
    momentum: float | Schedule = 0.996,
    centre_momentum: float = 0.9,
    global_views: int = 2,
) -> Term:
    r"""Learn the outputs of an averaged network on the global views from every other view: DINO.

    .. math:: -\frac{1}{|P| n} \sum_{(a, b) \in P} \sum_i \sum_k q^a_{ik} \log p^b_{ik}, \qquad
        p^b = \mathrm{softmax}(s^b / T_s), \qquad q^a = \mathrm{softmax}((t^a - c) / T_t)

    over the pairs P of a global view a and another view b, with the logits s of the network, the logits t of the
    teacher, and the running mean c of the teacher's logits.

    Args:
        encoder: of the trainer.
        on: stream with two or more views, global views first; no labels are used.
        name: of the term.
        weight: of the term.
        prototypes: number of logits. 1,024 is our choice for small data sets; the paper has 65,536 for ImageNet.
        hidden, bottleneck: sizes of the head of three linear layers; the paper has 2,048 and 256.
        temperature: :math:`T_s`, 0.1 as in the paper.
        teacher_temperature: :math:`T_t`, 0.04, where the paper starts.
        momentum: of the teacher, per step: a number, or a function of the progress. 0.996, where the paper starts; the
            paper rises to 1. A run of a few hundred steps needs a smaller number, say 0.98.
        centre_momentum: of the centre c; 0.9 as in the paper.
        global_views: number of first views that the teacher sees; 2 as in the paper.

    The teacher and the centre move once for each step of the optimizer, at the start of the next step: the centre by
    the mean over the rows of all micro-batches and of all ranks. Several ranks and accumulation are exact, as far as
    the encoder is (batch normalisation sees a micro-batch; the head has none). The teacher runs in evaluation mode,
    with the statistics of the network. A checkpoint holds teacher and centre with the term.

    Raises:
        TypeError: an encoder without `dim`.
        ValueError: an option with a wrong value; a stream with one view.

    Related: :func:`losses.self_distillation`, :class:`losses.Centre`.

    Caron et al., Emerging Properties in Self-Supervised Vision Transformers, 2021, https://arxiv.org/abs/2104.14294
    """
    dim = dim_of(encoder)  # type: ignore[arg-type]  # a module with `dim`, or the error says so
    check(COUNT, prototypes=prototypes, hidden=hidden, bottleneck=bottleneck, global_views=global_views)
    check(POSITIVE, temperature=temperature, teacher_temperature=teacher_temperature)
    check(WEIGHT if callable(momentum) else BELOW_1, momentum=momentum)
    check(BELOW_1, centre_momentum=centre_momentum)
    head = nn.Sequential(
        nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, bottleneck),
        Prototypes(bottleneck, prototypes),
    )  # fmt: skip
    centre = losses.Centre(prototypes, momentum=centre_momentum)
    temperatures = {"student_temperature": temperature, "teacher_temperature": teacher_temperature}
    loss = Dino(encoder, head, centre, on, temperatures, momentum, global_views, name)
    return Term(name, loss, weight, streams=[on])


class Prototypes(nn.Module):
    """Products of rows and prototypes, both of length one."""

    def __init__(self, size: int, prototypes: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(prototypes, size))
        nn.init.normal_(self.weight)

    def forward(self, rows: Tensor) -> Tensor:
        return F.linear(F.normalize(rows, dim=1), F.normalize(self.weight, dim=1))


class Dino(nn.Module):
    waiting: Tensor  # the sum of the teacher's mean logits over the micro-batches of this step
    parts: Tensor  # how many

    def __init__(self, encoder, head, centre, on, temperatures, momentum, global_views, name):
        super().__init__()
        self.head, self.centre = head, centre
        network = nn.Sequential(encoder, head)
        self.teacher = FrozenCopy(network)  # no optimizer moves the teacher
        self._student = [network]  # in a list: the trainer owns the encoder, not this term
        self.on, self.temperatures, self.momentum, self.name = on, temperatures, momentum, name
        self.global_views, self.once = global_views, OncePerStep()
        self.register_buffer("waiting", torch.zeros_like(centre.value))
        self.register_buffer("parts", torch.zeros(()))

    def check(self, streams: Mapping[str, Source]) -> None:
        expect_views(streams, self.on, self.name)

    def forward(self, step: Step) -> Tensor:
        if self.once.begins(step):
            self._move(at(self.momentum, step.progress) if callable(self.momentum) else self.momentum)
        views = step[self.on].views
        taught = [step.call(self.teacher, view.inputs) for view in views[: self.global_views]]
        features = torch.cat([view.features for view in views])
        learned = step.call(self.head, features).chunk(len(views))
        pairs = [(t, s) for a, t in enumerate(taught) for b, s in enumerate(learned) if a != b]
        found = [losses.self_distillation(s, t, self.centre.value, **self.temperatures) for t, s in pairs]
        self._wait(torch.cat(taught))
        if step.logging:
            q = ((taught[0] - self.centre.value) / self.temperatures["teacher_temperature"]).softmax(1)
            step.report(f"prototypes_in_use/{self.name}", torch.special.entr(q.mean(0)).sum().exp())
        return torch.stack(found).mean()

    @torch.no_grad()
    def _wait(self, logits: Tensor) -> None:
        self.waiting += losses.gather(logits.mean(0, keepdim=True)).mean(0)  # of all ranks: a checkpoint has one copy
        self.parts += 1

    @torch.no_grad()
    def _move(self, momentum: float) -> None:
        """Move teacher and centre, after the optimizer has moved the network."""
        self.teacher.follow(self._student[0], momentum)
        mean = torch.where(self.parts > 0, self.waiting / self.parts.clamp_min(1), self.centre.value)
        self.centre.update(mean[None])
        self.waiting.zero_()
        self.parts.zero_()
