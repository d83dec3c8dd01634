"""The micro-batches of a step, brought to the device one after another."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from adapt.streams import Batch

if TYPE_CHECKING:
    from adapt.engine._trainer import Trainer

Batches = dict[str, Batch]


class MicroBatches:
    """Gives the micro-batches of a step to one update after another.

    A single micro-batch is read and moved at once, and stays on the device for all updates. Several are read when the
    first update asks, and moved for each update again: a step then has at most two of them on the device, the one in
    use and the next.

    Args:
        streams: endless batches of each stream, by name.
        count: number of micro-batches.
        move: brings a batch to the device.
        again: whether more than one update reads the micro-batches.
    """

    def __init__(
        self, streams: Mapping[str, Iterator[Batch]], count: int, move: Callable[[Batch], Batch], *, again: bool
    ):
        self._streams, self._count, self._move, self._again = streams, count, move, again
        self._read: list[Batches] = [self._next()] if count == 1 else []

    def _next(self) -> Batches:
        batches = {name: next(stream) for name, stream in self._streams.items()}
        return self._moved(batches) if self._count == 1 else batches

    def _moved(self, batches: Batches) -> Batches:
        return {name: self._move(batch) for name, batch in batches.items()}

    def __len__(self) -> int:
        return self._count

    def read(self) -> list[Batches]:
        """Return all micro-batches as read; several micro-batches are not on the device yet."""
        self._read += [self._next() for _ in range(self._count - len(self._read))]
        return self._read

    def __iter__(self) -> Iterator[Batches]:
        if self._count == 1:
            yield self._read[0]
            return
        for number in range(self._count):
            batches = self._read[number] if number < len(self._read) else self._next()
            if self._again and number == len(self._read):
                self._read.append(batches)
            yield self._moved(batches)


def inputs_of_step(trainer: "Trainer", number: int) -> dict[str, list[Any]]:
    """Read the inputs of a step again: order is a function of the number of the step."""
    inputs = {}
    for name, stream in trainer.streams.items():
        start = number * trainer.accumulate
        again = stream.batches(name, trainer.seed, start, rank=trainer.rank, world=trainer.world)
        inputs[name] = [next(again).inputs for _ in range(trainer.accumulate)]
    return inputs
