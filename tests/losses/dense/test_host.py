"""Nothing is copied from the host: on an accelerator that would wait for the device."""

import pytest
from torch.utils._python_dispatch import TorchDispatchMode

from tests.losses.dense.cases import CASES


class Operators(TorchDispatchMode):
    """The names of the operators that run."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        self.names.add(str(operator))
        return operator(*args, **(kwargs or {}))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_tensor_is_made_of_python_numbers(case):
    inputs = case.draw()
    with Operators() as seen:
        case.loss(*inputs)
    assert seen.names and "aten.lift_fresh.default" not in seen.names
