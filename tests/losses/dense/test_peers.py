"""Values and gradients equal to those of other libraries, where they compute the same thing."""

import pytest
import torch
import torch.nn.functional as F

import losses


@pytest.fixture(scope="session")
def torchmetrics():
    """The release that pytorch-adapt asks for: later ones have no ``dice``."""
    pytest.importorskip("torchmetrics.functional.classification.dice")
    return pytest.importorskip("torchmetrics.functional")


@pytest.mark.parametrize("squared", [True, False])
def test_torchmetrics_dice_and_jaccard_of_hard_predictions(torchmetrics, squared):
    g = torch.Generator().manual_seed(1)
    truth, found = torch.randint(3, (2, 4, 5), generator=g)
    assert len(truth.unique()) == 3
    certain = 1e4 * F.one_hot(found, 3).movedim(-1, 1).float()
    theirs = torchmetrics.dice(found.flatten(), truth.flatten(), average="macro", num_classes=3)
    torch.testing.assert_close(losses.dice(certain, truth, squared=squared), 1 - theirs)
    torch.testing.assert_close(
        losses.lovasz_softmax(certain, truth), 1 - torchmetrics.jaccard_index(found, truth, num_classes=3)
    )
    hinge = losses.lovasz_hinge(2.0 * (found == 1) - 1, truth == 1)  # errors of 0 and 2
    ours = 1 - torchmetrics.jaccard_index((found == 1).long(), (truth == 1).long(), num_classes=2, average="none")[1]
    torch.testing.assert_close(hinge, 2 * ours)


def test_torchmetrics_counts_an_absent_class_that_is_predicted(torchmetrics):
    g = torch.Generator().manual_seed(1)
    truth, found = torch.randint(2, (20,), generator=g), torch.randint(3, (20,), generator=g)
    certain = 1e4 * F.one_hot(found, 3).float()
    theirs = 1 - torchmetrics.dice(found, truth, average="macro", num_classes=3)
    torch.testing.assert_close(losses.dice(certain, truth, classes="all"), theirs)
    torch.testing.assert_close(losses.dice(certain, truth), (3 * theirs - 1) / 2)
