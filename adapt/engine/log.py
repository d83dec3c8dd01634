"""TensorBoard: one writer, on rank 0."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from adapt.engine import runtime
from adapt.engine.pictures import affinity_figure, confusion_figure
from adapt.engine.tasks.conflicts import Conflicts
from adapt.heads import confusion
from adapt.protocols import NamesClasses, offers


class Log:
    """Writes event files into `folder`.

    Args:
        folder: made where it does not exist.
        first_step: TensorBoard drops the scalars of this step and of later steps, which an interrupted run has written.
    """

    def __init__(self, folder: Path, first_step: int = 0):
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder), purge_step=first_step or None)

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

    def final(self, found: Mapping, step: int, *, rows: int = 300) -> None:
        """Write confusion matrices, and the first `rows` features of all watched sets, together, for the projector.

        Args:
            found: (predictions, head) by name of the watched set.
        """
        features, domains, classes = [], [], []
        for name, (predictions, head) in found.items():
            names = head.names if offers(head, NamesClasses) else None
            labels = predictions.labels[:rows].tolist()
            if names is not None:
                self.confusion(f"confusion/{name}", confusion(predictions.outputs, predictions.labels), names, step)
            features.append(predictions.features[:rows].flatten(1))
            domains += [name] * len(labels)
            classes += [names[y] if names and isinstance(y, int) else str(y) for y in labels]
        if len({f.shape[1] for f in features}) == 1:
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


def claim(folder: Path) -> None:
    """Raise unless `folder` is new or empty. Every rank looks before any rank writes.

    Raises:
        FileExistsError: there is a run in the folder.
    """
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(
            f"`{folder}` already holds a run: continue it with `trainer.resume()`, or choose another folder "
            "(`log=...`). Nothing in it was changed."
        )
    runtime.wait()
