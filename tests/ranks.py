"""Run a function on several gloo ranks on loopback and bring back what each returned."""

import os
import pickle
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from tests.programs import be_new


def run_ranks(function: Callable, world: int, *args: Any, cold: bool = False) -> list[Any]:
    """``[function(rank, world, *args) for each rank]``, each in its own process, inside one process group.

    `cold` starts new processes and not copies: each then hashes text in its own way, so sets have another order.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        method = "spawn" if cold else "forkserver"
        mp.start_processes(_rank, (world, port, folder, function, args), nprocs=world, start_method=method)
        return [pickle.loads(Path(folder, str(r)).read_bytes()) for r in range(world)]


def _rank(rank: int, world: int, port: int, folder: str, function: Callable, args: tuple) -> None:
    torch.set_num_threads(1)
    be_new()
    os.environ.update(
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world)
    )
    dist.init_process_group("gloo", rank=rank, world_size=world)
    try:
        Path(folder, str(rank)).write_bytes(pickle.dumps(function(rank, world, *args)))
    finally:
        dist.destroy_process_group()
