"""Row 43: a worker process that dies and a row that raises are named, with the stream."""

import errno
import multiprocessing
import os
import signal
import tempfile

import pytest

from adapt import Stream
from adapt.streams.workers import RowError, WorkerError
from tests.adapt.engine.tiny import Items, cloud, trainer, weights


class Bad(Items):
    """A dataset with a row that cannot be read."""

    def __init__(self, data, act):
        super().__init__(data)
        self.act = act

    def __getitem__(self, index):
        if index == 17:
            self.act()
        return super().__getitem__(index)


def raises(error):
    def act():
        raise error

    return act


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("error", [EOFError(), KeyError(3), OSError("gone"), RuntimeError("cuda"), StopIteration()])
def test_a_row_that_raises_is_named(workers, error):
    stream = Stream(Bad(cloud(), raises(error)), 12, workers=workers)
    with pytest.raises(RowError, match=f"row 17 of stream `photos` raised {type(error).__name__}"):
        for _, batch in zip(range(4), stream.batches("photos", 0), strict=False):
            assert 17 not in batch.index


@pytest.mark.parametrize("workers", [0, 2])
def test_an_augmentation_that_raises_is_named(workers):
    stream = Stream(Items(cloud()), 12, augment=lambda x: 1 / 0, workers=workers)
    with pytest.raises(RowError, match=r"row \d+ of stream `photos` raised ZeroDivisionError"):
        next(stream.batches("photos", 0))


def test_a_row_of_evaluation_is_named():
    made, head = trainer([])
    with pytest.raises(RowError, match="row 17 .* raised EOFError"):
        made.evaluate(head, Bad(cloud(), raises(EOFError())))


@pytest.mark.parametrize("act", [lambda: os.kill(os.getpid(), signal.SIGKILL), lambda: os._exit(1)])
def test_a_worker_that_dies_is_named_and_the_run_goes_on(act):
    made, _ = trainer(["dann"])
    rows = made.streams["target"].dataset
    made.streams["target"] = Stream(Bad(rows, act), 8, labels=False, workers=2)
    with pytest.raises(WorkerError, match="worker process .* of stream `target` died .* the rows .*`workers=0`"):
        made.fit(6)
    assert not made.torn
    made.streams["target"] = Stream(Items(rows), 8, labels=False)
    assert (weights(made.fit(6)) == weights(trainer(["dann"])[0].fit(6))).all()


def test_a_worker_that_cannot_send_a_batch_is_an_error_and_no_endless_wait(monkeypatch):
    """Row 42: torch loses the error of a full disk in the thread of the worker that sends batches."""

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.delitem(multiprocessing.current_process()._config, "tempdir", raising=False)
    monkeypatch.setattr(tempfile, "mkdtemp", full)  # the forked worker asks for the folder of its socket
    with pytest.raises(OSError, match="No space left on device"):
        next(Stream(Items(cloud()), 12, workers=1).batches("photos", 0))
