"""python benchmarks/adapters.py

What a training step holds in memory under each strategy, and what is saved afterwards, for one encoder.

Counted, not measured: the bytes that autograd keeps for the backward pass (each storage once, parameters left out), the
gradients, AdamW's two averages, and the file of :func:`encoders.save_trainable_state`. The weights themselves, held by
all, are given in the first line. The step is one forward pass on random images, a linear head and its cross-entropy.
"""

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

sys.path[0] = str(Path(__file__).parents[1])  # benchmarks/losses.py would hide the package
from adapt import encoders, inductive


@dataclass(frozen=True)
class Settings:
    model: str = "vit_b_16"
    size: int = 224
    batch: int = 4
    rank: int = 8


def held(model: nn.Module, head: nn.Module, x: torch.Tensor) -> dict[str, float]:
    """Megabytes by what they are for."""
    own = {p.untyped_storage().data_ptr() for m in (model, head) for p in [*m.parameters(), *m.buffers()]}
    seen: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        loss = F.cross_entropy(head(model(x)), torch.zeros(len(x), dtype=torch.int64))
    del loss
    learning = sum(p.numel() * p.element_size() for m in (model, head) for p in m.parameters() if p.requires_grad)
    return {"activations": sum(seen.values()) / 1e6, "gradients": learning / 1e6, "AdamW": 2 * learning / 1e6}


def prepared(learn, settings: Settings) -> encoders.Encoder:
    encoder = encoders.load(settings.model)
    if learn == "LoRA":
        encoders.lora(encoder, settings.rank)
    elif learn == "IA3":
        names = [n for n, m in encoder.named_modules() if isinstance(m, nn.Linear) and "out_proj" not in n]
        encoders.ia3(encoder, names)
    return inductive.strategy(encoder, "adapters" if learn in ("LoRA", "IA3") else learn)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in Settings().__dict__.items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    settings = Settings(**vars(parser.parse_args()))
    torch.manual_seed(0)
    x = torch.randn(settings.batch, 3, settings.size, settings.size)
    weights = sum(p.numel() for p in encoders.load(settings.model).parameters())
    print(
        f"{settings.model}, {weights * 4 / 1e6:.0f} MB of weights, {settings.batch} images of {settings.size} pixels\n"
    )
    print(
        "| MB | " + " | ".join(("activations", "gradients", "AdamW", "together", "share of full", "saved file")) + " |"
    )
    print("|---|" + "---:|" * 6)
    whole = None
    for learn in ("full", 2, "bias", "LoRA", "IA3", "probe"):
        encoder = prepared(learn, settings).train()
        parts = held(encoder, nn.Linear(encoder.dim, 10), x)
        together = sum(parts.values())
        whole = whole or together
        saved = 0.0
        if learn != "probe":
            with tempfile.TemporaryDirectory() as folder:
                saved = encoders.save_trainable_state(encoder, Path(folder) / "w.safetensors").stat().st_size / 1e6
        name = f"last {learn}" if isinstance(learn, int) else learn
        cells = [f"{v:.1f}" for v in (*parts.values(), together)] + [f"{together / whole:.2f}", f"{saved:.1f}"]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
