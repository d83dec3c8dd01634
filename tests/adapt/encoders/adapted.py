"""Networks to adapt, and adapters as if trained."""

import torch
import torch.nn.functional as F
from torch import nn


def convolutions():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1, padding_mode="reflect"),
        nn.Conv2d(4, 4, 3, groups=4),
        nn.Flatten(),
        nn.Linear(4 * 16, 5),
    )


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.conv, self.second = nn.Linear(6, 12), nn.Conv2d(3, 4, 3, padding=1), nn.Linear(16, 5)

    def forward(self, x):
        return self.second(self.conv(F.relu(self.first(x)).view(-1, 3, 2, 2)).flatten(1))


def stir(module):
    """Adapters as if trained."""
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, p in module.named_parameters():
            if "lora_" in name or "ia3_" in name:
                p.copy_(torch.randn(p.shape, generator=g))


def weight_of(layer):
    """s B A by hand, in the shape of the weight."""
    A, B = layer.lora_A.double(), layer.lora_B.double()
    return torch.einsum("or,r...->o...", B.flatten(1), A)
