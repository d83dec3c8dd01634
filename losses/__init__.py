"""What to minimise: functions on tensors.

Each loss is a function of tensors that returns a scalar. It imports torch only and knows no model, no data and no
training loop. Losses that are not a mean over rows gather the rows of all ranks of the default process group, so that
eight ranks with 16 rows each give the gradient of one rank with 128.
"""

from losses import (
    adversarial,
    confidence,
    contrastive,
    dense,
    discrepancy,
    episodic,
    fine_tuning,
    supervised,
    transport,
)
from losses.adversarial import *  # noqa: F403
from losses.confidence import *  # noqa: F403
from losses.contrastive import *  # noqa: F403
from losses.dense import *  # noqa: F403
from losses.discrepancy import *  # noqa: F403
from losses.episodic import *  # noqa: F403
from losses.fine_tuning import *  # noqa: F403
from losses.gather import gather
from losses.supervised import *  # noqa: F403
from losses.transport import *  # noqa: F403

ROOMS = (adversarial, confidence, contrastive, dense, discrepancy, episodic, fine_tuning, supervised, transport)

__all__ = ["gather", *(name for room in ROOMS for name in room.__all__)]

#: The distribution this package belongs to: `import adapt` reads it to be sure that it did not get somebody's losses.py.
__distribution__ = "adapt-losses"
