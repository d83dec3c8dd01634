"""Weights stay near where they began."""

from torch import Tensor, nn

import losses
from adapt.engine import Step, Term
from adapt.engine.schedule import Schedule


def l2_sp(encoder: nn.Module, *, weight: float | Schedule = 0.01, per_parameter: bool = False) -> Term:
    r"""Penalise the squared distance of the encoder's weights from the pretrained ones: L2-SP.

    .. math:: \tfrac12 \sum_p \lVert w_p - w_p^0 \rVert^2

    Args:
        encoder: the trainer's. The parameters that learn now, and their values now, are copied here: load the weights and choose
            the strategy before.
        weight: of the term; 0.01 as in tllib. The paper chooses it for each data set among 0.001 to 1.
        per_parameter: divide by the number of weights, so that one `weight` serves encoders of any size; the paper does not.

    Use it in place of weight decay on the encoder; the head keeps its own. The copy is saved with the term.

    Raises:
        ValueError: an encoder in which nothing learns.

    Li et al., 2018, https://arxiv.org/abs/1802.01483
    """
    return Term("l2_sp", L2Sp(encoder, per_parameter), weight, streams=[])


class L2Sp(nn.Module):
    def __init__(self, encoder: nn.Module, per_parameter: bool):
        super().__init__()
        self.encoder = [encoder]  # in a list: it is the trainer's, not this term's
        self.names = [name for name, p in encoder.named_parameters() if p.requires_grad]
        if not self.names:
            raise ValueError("nothing of `encoder` learns, so its weights cannot move: choose a strategy first.")
        start = dict(encoder.named_parameters())
        for number, name in enumerate(self.names):
            self.register_buffer(f"start_{number}", start[name].detach().clone())
        self.share = 1 / sum(start[name].numel() for name in self.names) if per_parameter else 1.0

    def forward(self, step: Step) -> Tensor:
        now = dict(self.encoder[0].named_parameters())
        start = [self.get_buffer(f"start_{number}") for number in range(len(self.names))]
        return self.share * losses.l2_sp([now[name] for name in self.names], start)
