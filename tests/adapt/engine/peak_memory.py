"""Print the growth of the peak memory, in MB, while 1,600 rows of 64 x 64 x 19 outputs are evaluated."""

import resource

import torch
from torch import nn
from torch.utils.data import TensorDataset

import adapt
from adapt import Stream, Trainer, encoders, heads

PLACES, CLASSES = 64 * 64, 19


class Dense(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, PLACES)

    def forward(self, x):
        return self.linear(x)[..., None].expand(-1, -1, 2)


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


torch.set_num_threads(1)
torch.manual_seed(0)
data = TensorDataset(torch.randn(1600, 2), torch.randint(CLASSES, (1600, PLACES)))
encoder = encoders.wrap(Dense(), 2)
head = heads.TokenClassifier(2, CLASSES)
trainer = Trainer(encoder, [adapt.supervised(head, "rows")], {"rows": Stream(data, 4)}, progress=False, device="cpu")
few = TensorDataset(*(t[:4] for t in data.tensors))
trainer.evaluate(head, few)
start = peak()
score = trainer.evaluate(head, data)
assert score.n == 1600 and 0.04 < score.value < 0.07
print(peak() - start)
