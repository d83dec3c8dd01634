"""python benchmarks/task_lora.py

What a training step costs with adapters of each task beside shared ones, against the shared ones alone: processor time
of whole trainer steps, arms interleaved, the median of paired ratios; and the bytes that autograd keeps for the
backward pass.
"""

import argparse
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import TensorDataset

sys.path[0] = str(Path(__file__).parents[1])  # benchmarks/losses.py would hide the package
from adapt import Stream, Trainer, encoders, heads, multitask


@dataclass(frozen=True)
class Settings:
    width: int = 128
    depth: int = 4
    tokens: int = 32
    rows: int = 16  # of each task
    tasks: int = 4
    shared_rank: int = 8
    rank: int = 4
    rounds: int = 15
    steps: int = 2  # a round


class Block(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, t, d = x.shape
        q, k, v = self.qkv(self.first(x)).view(n, t, 3, 4, d // 4).permute(2, 0, 3, 1, 4)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, d))
        return x + self.down(F.gelu(self.up(self.second(x))))


class Transformer(nn.Module):
    def __init__(self, s: Settings):
        super().__init__()
        self.blocks = nn.Sequential(*(Block(s.width) for _ in range(s.depth)))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x).mean(1)


def trainer(arm: str, s: Settings) -> Trainer:
    torch.manual_seed(0)
    encoder = encoders.wrap(Transformer(s), s.width)
    encoders.lora(encoder, s.shared_rank)
    names = [f"task{i}" for i in range(s.tasks)]
    if arm != "shared":
        encoders.task_lora(encoder, names, s.rank)
    data = TensorDataset(torch.randn(s.rows, s.tokens, s.width), torch.randint(5, (s.rows,)))
    return Trainer(
        encoder,
        [multitask.task(name, heads.Classifier(s.width, 5), name) for name in names],
        {name: Stream(data, s.rows) for name in names},
        passes="separate" if "pass a task" in arm else "joint", progress=False, device="cpu",
    )  # fmt: skip


def kept(made: Trainer) -> float:
    """Megabytes for the backward pass, each storage once, parameters left out."""
    own = {p.untyped_storage().data_ptr() for p in made.network.parameters()}
    seen: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        made.fit(made.step + 1)
    return sum(seen.values()) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in Settings().__dict__.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    s = Settings(**vars(parser.parse_args()))
    torch.set_num_threads(1)
    arms = {arm: trainer(arm, s) for arm in ("shared", "shared and own", "shared and own, a pass a task")}
    times: dict[str, list[float]] = {arm: [] for arm in arms}
    for turn in range(s.rounds + 1):
        for arm, made in arms.items():
            since = time.process_time()
            made.fit(made.step + s.steps)
            if turn:  # the first warms up
                times[arm].append((time.process_time() - since) / s.steps)
    print("| arm | ms a step | against shared | MB kept for backward |\n|---|---:|---:|---:|")
    for arm, made in arms.items():
        ratio = statistics.median(t / base for t, base in zip(times[arm], times["shared"], strict=True))
        print(f"| {arm} | {1e3 * statistics.median(times[arm]):.1f} | {ratio:.2f} | {kept(made):.1f} |")


if __name__ == "__main__":
    main()
