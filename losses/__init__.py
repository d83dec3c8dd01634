"""What to minimise: functions on tensors.

Each loss is a function of tensors that returns a scalar. It imports torch only and knows no model, no data and no
training loop. Losses that are not a mean over rows gather the rows of all ranks of the default process group, so that
eight ranks with 16 rows each give the gradient of one rank with 128.
"""

from losses.coral import coral
from losses.domain_adversarial import domain_adversarial
from losses.entropy import entropy
from losses.gather import gather
from losses.information_maximization import information_maximization
from losses.minimum_class_confusion import minimum_class_confusion
from losses.mmd import mmd
from losses.reverse import reverse

__all__ = [
    "coral",
    "domain_adversarial",
    "entropy",
    "gather",
    "information_maximization",
    "minimum_class_confusion",
    "mmd",
    "reverse",
]

#: The distribution this package belongs to: `import adapt` reads it to be sure that it did not get somebody's losses.py.
__distribution__ = "adapt-losses"
