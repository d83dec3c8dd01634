"""Weights stay near the pretrained weights."""

from torch import Tensor, nn

import losses
from adapt.engine import Step, Term
from adapt.engine.schedule import Schedule


def l2_sp(
    encoder: nn.Module, *, per_parameter: bool = False, weight: float | Schedule = 0.01, name: str = "l2_sp"
) -> Term:
    r"""Penalise the squared distance between the weights of the encoder and the pretrained weights: L2-SP.

    .. math:: \tfrac12 \sum_p \lVert w_p - w_p^0 \rVert^2

    Args:
        encoder: of the trainer. The term copies the present values of all parameters that learn now: load the weights
            and choose the strategy before.
        per_parameter: divide by the number of weights. One `weight` then serves encoders of any size; the paper does
            not divide.
        weight: of the term; 0.01 as in tllib. The paper chooses a weight between 0.001 and 1 for each data set.
        name: of the term.

    The term replaces weight decay on the encoder; the head keeps its weight decay. The copy is saved with the term.

    Raises:
        ValueError: an encoder without a parameter that learns.

    Li et al., 2018, https://arxiv.org/abs/1802.01483
    """
    return Term(name, L2Sp(encoder, per_parameter), weight, streams=[])


class L2Sp(nn.Module):
    def __init__(self, encoder: nn.Module, per_parameter: bool):
        super().__init__()
        self._encoder = [encoder]  # in a list: a part of the trainer, not of this term
        self._names = [name for name, p in encoder.named_parameters() if p.requires_grad]
        if not self._names:
            raise ValueError("nothing of `encoder` learns, so its weights cannot move: choose a strategy first.")
        self.per_parameter = per_parameter
        start = dict(encoder.named_parameters())
        for number, name in enumerate(self._names):
            self.register_buffer(f"start_{number}", start[name].detach().clone())
        self._factor = 1 / sum(start[name].numel() for name in self._names) if per_parameter else 1.0

    def forward(self, step: Step) -> Tensor:
        now = dict(self._encoder[0].named_parameters())
        start = [self.get_buffer(f"start_{number}") for number in range(len(self._names))]
        return self._factor * losses.l2_sp([now[name] for name in self._names], start)
