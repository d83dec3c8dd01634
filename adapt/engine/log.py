"""TensorBoard: one writer, on rank 0."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from adapt.engine.evaluate import Measured
from adapt.engine.pictures import affinity_figure, confusion_figure
from adapt.engine.tasks.conflicts import Conflicts
from adapt.protocols import CountsPairs, offers

if TYPE_CHECKING:
    from adapt.engine.watching import Watched

PROJECTED = 300  # first rows of each watched set on the PROJECTOR page


class Log:
    """Writes event files into `folder`.

    Args:
        folder: made where it does not exist.
        first_step: where `folder` holds an interrupted run, TensorBoard drops its scalars of this and later steps.
    """

    def __init__(self, folder: Path, first_step: int = 0):
        from torch.utils.tensorboard import SummaryWriter

        goes_on = any(folder.glob("events.out.tfevents.*"))
        self.writer = SummaryWriter(str(folder), purge_step=first_step if goes_on or first_step else None)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        for tag, value in values.items():
            if value == value:  # NaN: the task was not in the batch
                self.writer.add_scalar(tag, value, step)

    def text(self, tag: str, lines: Mapping[str, object], step: int) -> None:
        """Write a table of two columns."""
        rows = "\n".join(f"| {k} | {v} |" for k, v in lines.items())
        self.writer.add_text(tag, f"| | |\n|---|---|\n{rows}", step)

    def hparams(self, settings: Mapping[str, object], results: Mapping[str, float]) -> None:
        """Write the run as a row of TensorBoard's HPARAMS page, into the event file of the run."""
        from torch.utils.tensorboard.summary import hparams

        plain = {k: v if isinstance(v, bool | int | float | str) else str(v) for k, v in settings.items()}
        writer = self.writer._get_file_writer()
        for summary in hparams(plain, dict(results)):
            writer.add_summary(summary)
        for tag, value in results.items():
            self.writer.add_scalar(tag, value)

    def confusion(self, tag: str, counts: Tensor, names: Sequence[str], step: int) -> None:
        self.writer.add_figure(tag, confusion_figure(counts, names), step)

    def embedding(self, features: Tensor, domains: Sequence[str], classes: Sequence[str], step: int) -> None:
        """Write features for the PROJECTOR page, with domain and class for the colours."""
        rows = [list(pair) for pair in zip(domains, classes, strict=True)]
        self.writer.add_embedding(features, metadata=rows, metadata_header=["domain", "class"], global_step=step)

    def pictures(self, found: Mapping[str, "Watched"], step: int) -> None:
        """Write confusion matrices, and the first features of all watched sets, together, for the projector."""
        features, domains, classes = [], [], []
        for name, (head, measured, score, _) in found.items():
            if score is not None and offers(head, CountsPairs):
                self.confusion(f"confusion/{name}", head.confusion(measured.measures), head.names, step)
            features.append(measured.features.flatten(1))
            domains += [name] * len(features[-1])
            classes += _classes_of(head, measured)
        if features and len({f.shape[1] for f in features}) == 1:
            self.embedding(torch.cat(features), domains, classes, step)

    def tasks(self, conflicts: Conflicts, step: int) -> None:
        """Write how the gradients of several tasks agree: a figure and a sentence."""
        sentence = conflicts.verdict()
        if sentence:
            self.writer.add_figure("tasks/affinity", affinity_figure(conflicts.affinity(), conflicts.tasks), step)
            self.writer.add_text("tasks/verdict", sentence, step)

    def flush(self) -> None:
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()


def _classes_of(head: nn.Module, measured: Measured) -> list[str]:
    """Return the class of each row of the projector; in a set without labels, the predicted class."""
    rows, labels, names = len(measured.features), measured.labels, head.names if offers(head, CountsPairs) else None
    if labels is None and isinstance(measured.measures, Mapping):
        labels = measured.measures.get("predicted")
    if not isinstance(labels, Tensor):
        return ["several" if labels is not None else "unknown"] * rows
    known = dict(enumerate(names or ()))
    return [known.get(y, str(y)) if isinstance(y, int) else str(y) for y in labels[:rows].tolist()]
