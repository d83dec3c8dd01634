"""Several tasks in one number."""

import pytest

from adapt.report import delta_m


def test_by_hand():
    assert delta_m([0.5, 2.0], [1.0, 2.0]) == pytest.approx(0.25)
    assert delta_m([0.5, 0.9], [1.0, 0.6], higher_is_better=[False, True]) == pytest.approx(0.5)
    assert delta_m([0.9], [0.6], higher_is_better=True) == pytest.approx(0.5)


@pytest.mark.parametrize("single", [[1.0], [1.0, 0.0], [[1.0, 1.0]]])
def test_doors(single):
    with pytest.raises(ValueError, match="one number per task"):
        delta_m([1.0, 2.0], single)
