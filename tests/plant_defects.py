"""Plant the defects that published libraries shipped, one at a time, in a copy of the code, and show that a test falls.

    python tests/plant_defects.py            about seven minutes; exit 1 if a defect goes unseen
    python tests/plant_defects.py door       the defects with this word in their story

Each defect was found in a released adaptation library (AdaTime, skada, pytorch-adapt, tllib, ADAPT), whose tests do not
see the defect, or at a door of this toolkit by a small input: wrong and silent then, an error or a right value now.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Defect:
    """A replacement in one file, and which tests are run."""

    story: str
    path: str
    good: str
    bad: str
    tests: str  # pytest's -k
    where: str = "tests/losses"


DEFECTS = [
    Defect(
        "AdaTime: MMD computed without gradient",
        "losses/discrepancy/_mmd.py",
        "    return fast_discrepancy([(x, y)]",
        "    return fast_discrepancy([(x.detach(), y.detach())]",
        "mmd",
    ),
    Defect(
        "AdaTime: the second half of a batch's graph is cut (a player frozen and never freed)",
        "losses/adversarial/_classifier_discrepancy.py",
        "for x in (first_logits, second_logits)",
        "for x in (first_logits, second_logits.detach())",
        "classifier_discrepancy",
    ),
    Defect(
        "AdaTime: entropy of features instead of predictions",
        "losses/confidence/_entropy.py",
        ".log_softmax(1)",
        ".clamp_min(1e-6).log()",
        "entropy",
    ),
    Defect(
        "AdaTime, skada: raw logits in CDAN's map",
        "losses/adversarial/_multilinear_map.py",
        "g = at_least_float32(logits).softmax(1)",
        "g = at_least_float32(logits)",
        "multilinear",
    ),
    Defect(
        "skada: p[..., labels] where a gather was meant",
        "losses/adversarial/_margin_disparity.py",
        "    return logits.gather(1, y).squeeze(1) - others",
        "    return logits[..., labels].mean(1) - others",
        "margin_disparity",
    ),
    Defect(
        "skada: a memory bank that is never written",
        "losses/confidence/memory.py",
        "    bank[index] = rows[last].to(bank.dtype)",
        "    bank[index]\n    +rows[last].to(bank.dtype)",
        "neighbourhood or Bank",
    ),
    Defect(
        "pytorch-adapt, tllib: a bank in no state_dict",
        "losses/confidence/_neighbourhood_aggregation.py",
        'self.register_buffer("features", torch.zeros(size, dim))',
        "self.features = torch.zeros(size, dim)",
        "neighbourhood or Bank",
    ),
    Defect(
        "skada: CAN's intra-class kernel masked on one axis only",
        "losses/discrepancy/_contrastive_domain_discrepancy.py",
        "(Kxx @ w * w).sum(0)",
        "(Kxx @ w).mean(0)",
        "contrastive_domain",
    ),
    Defect(
        "skada: CDAN's random map redrawn in every forward from the reseeded global generator",
        "losses/adversarial/_multilinear_map.py",
        "        f, g = _features_and_probabilities(features, logits, self.detach)",
        "        torch.manual_seed(42)\n        self.feature_matrix = torch.randn_like(self.feature_matrix)\n"
        "        f, g = _features_and_probabilities(features, logits, self.detach)",
        "multilinear",
    ),
    Defect(
        "tllib: CDAN's random map in no state_dict",
        "losses/adversarial/_multilinear_map.py",
        'self.register_buffer("feature_matrix", matrix[:feature_dim].clone())',
        "self.feature_matrix = matrix[:feature_dim].clone()",
        "multilinear",
    ),
    Defect(
        "skada: the Gaussian kernel takes the distance, not its square",
        "losses/discrepancy/kernels.py",
        "out.copy_(bb).addmm_(a, b.T, alpha=-2).add_(aa[:, None])",
        "out.copy_(bb).addmm_(a, b.T, alpha=-2).add_(aa[:, None]).relu_().sqrt_()",
        "mmd",
    ),
    Defect(
        "skada: joint transport wants as many source as target rows",
        "losses/transport/_joint_transport.py",
        "    check_clouds(source, target)",
        '    if len(source) != len(target):\n        raise ValueError("equal sizes")\n    check_clouds(source, target)',
        "joint_transport",
    ),
    Defect(
        "pytorch-adapt: the number of projections is ignored",
        "losses/transport/_sliced_wasserstein.py",
        "torch.randn(directions, d,",
        "torch.randn(128, d,",
        "sliced",
    ),
    Defect(
        "pytorch-adapt: VAT writes the model's batch-norm statistics",
        "losses/confidence/_virtual_adversarial.py",
        "copies.setdefault(b, b.clone())",
        "b",
        "virtual_adversarial",
    ),
    Defect(
        "pytorch-adapt: VAT forces batch norm back into training",
        "losses/confidence/_virtual_adversarial.py",
        "    copies: dict",
        "    model.train()\n    copies: dict",
        "virtual_adversarial",
    ),
    Defect(
        "pytorch-adapt: VAT calls backward and zero_grad inside the loss",
        "losses/confidence/_virtual_adversarial.py",
        "                (gradient,) = torch.autograd.grad(value, r, allow_unused=True) if value.requires_grad else "
        "(None,)",
        "                value.backward()\n                gradient = r.grad\n"
        "                [p.grad.zero_() for p in getattr(model, 'parameters', list)() if p.grad is not None]",
        "virtual_adversarial",
    ),
    Defect(
        "ADAPT: gradient norm for each coordinate in WDGRL",
        "losses/adversarial/_gradient_penalty.py",
        "    squared = gradient.flatten(1).square().sum(1)",
        "    squared = gradient.flatten(1).square()",
        "gradient_penalty",
    ),
    Defect(
        "tllib: an attribute that a newer library no longer has stops the reversal layer",
        "losses/adversarial/_reverse.py",
        "    x0 = x.detach()",
        "    strength = torch.float_(strength)\n    x0 = x.detach()",
        "reverse",
    ),
    Defect(
        "AdaTime: CORAL without 1 / (n - 1)",
        "losses/discrepancy/_coral.py",
        "scatter_distance(x, y, 1 / (n - 1), 1 / (m - 1))",
        "scatter_distance(x, y, 1.0, 1.0)",
        "coral",
    ),
    Defect(
        "tllib: a batch-dependent offset on the unbiased MMD",
        "losses/discrepancy/kernels.py",
        "        return value, *",
        "        return value + 2 / (n - 1), *",
        "mmd",
    ),
    Defect(
        "all: a loss of the batch that does not see the other ranks' rows",
        "losses/confidence/_minimum_class_confusion.py",
        "(gather(z) if global_batch else z)",
        "(z)",
        "minimum_class_confusion",
    ),
    Defect(
        "tllib, skada: sigmoid and then the logarithm",
        "losses/adversarial/_domain_adversarial.py",
        "-F.logsigmoid(z if y else -z)",
        "-(z if y else -z).sigmoid().log()",
        "domain_adversarial",
    ),
    Defect(
        "door: labels are checked in training and trusted in evaluation",
        "adapt/heads/classifier.py",
        "        self.check(labels)\n",
        "",
        "labels_are_checked",
        "tests/adapt/engine/test_doors_of_evaluation.py",
    ),
    Defect(
        "door: outputs that are not finite are scored",
        "adapt/engine/evaluate.py",
        "        check_finite(output, step[name].index, type(head).__name__)\n",
        "",
        "not_finite",
        "tests/adapt/engine/test_doors_of_evaluation.py",
    ),
    Defect(
        "door: a missing label within a row drops or counts as no",
        "adapt/heads/_multi_label.py",
        "    return there & (labels != MISSING) if labels.is_floating_point() else there",
        "    return there",
        "missing or other_labels",
        "tests/adapt/engine/test_doors_of_evaluation.py",
    ),
    Defect(
        "door: a subclass is read by the shortcut of its base",
        "adapt/protocols.py",
        "own.__getitem__ is known.__getitem__ and ",
        "",
        "subclass",
        "tests/adapt/streams/test_own_items.py",
    ),
    Defect(
        "door: randomness inside of items has no key",
        "adapt/streams/items.py",
        "        seed_cpu(keyed_seed(self.seed, self.item_name, epoch, index))\n",
        "",
        "randomness",
        "tests/adapt/streams/test_own_items.py",
    ),
    Defect(
        "door: a preparation passes for an augmentation",
        "adapt/streams/stream.py",
        "            expect_random(self.views[0], self.form.split(first)[0])\n",
        "            pass\n",
        "preparation",
        "tests/adapt/streams/test_own_items.py",
    ),
    Defect(
        "door: an option is not checked",
        "adapt/engine/door.py",
        '    check(or_none(POSITIVE), "None leaves the gradients as they are", clip=clip)\n',
        "",
        "Trainer-clip",
        "tests/test_options.py",
    ),
    Defect(
        "door: a number of numpy in a checkpoint, which then cannot be read",
        "adapt/engine/description.py",
        "        return value.item()\n",
        "        return value\n",
        "numpy",
        "tests/test_options.py",
    ),
    Defect(
        "door: an error of torch without a remedy",
        "adapt/engine/refused.py",
        "    remedy = _remedy_of_dtype(encoder, found) or",
        "    remedy =",
        "inputs",
        "tests/adapt/test_remedies.py",
    ),
    Defect(
        "door: advice from a single logged step",
        "adapt/engine/tasks/conflicts.py",
        "        if steps < LEAST_STEPS:",
        "        if steps < 1:",
        "test_verdict",
        "tests/adapt/multitask/test_engine.py",
    ),
]


def run(folder: Path, chosen: str, where: str) -> tuple[bool, str]:
    """Whether the chosen tests pass, and the first that does not."""
    command = [sys.executable, "-m", "pytest", where, "-q", "-x", "--no-header", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run([*command, "-k", chosen], cwd=folder, env=environment, capture_output=True, text=True)
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, flags=re.M)
    return done.returncode == 0, failed[1].split("/")[-1] if failed else done.stdout[-300:]


def main(word: str = "") -> None:
    unseen, defects = [], [d for d in DEFECTS if word in d.story]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("losses", "adapt", "tests", "conftest.py", "pyproject.toml"):
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
            copy(ROOT / part, folder / part)
        for where in dict.fromkeys(d.where for d in defects):
            every = " or ".join(sorted({d.tests for d in defects if d.where == where}))
            passes, failed = run(folder, every, where)
            if not passes:
                sys.exit(f"Without any defect a test of {where} fails: {failed}")
        for number, defect in enumerate(defects, 1):
            path = folder / defect.path
            text = path.read_text()
            if text.count(defect.good) != 1:
                sys.exit(f"{defect.path} holds the text to replace {text.count(defect.good)} times: {defect.good}")
            path.write_text(text.replace(defect.good, defect.bad))
            passes, failed = run(folder, defect.tests, defect.where)
            path.write_text(text)
            print(
                f"{number:2}/{len(defects)} {'NOT SEEN' if passes else 'caught'}  {defect.story}\n      {failed}",
                flush=True,
            )
            if passes:
                unseen.append(defect.story)
    sys.exit(f"{len(unseen)} defects go unseen." if unseen else 0)


if __name__ == "__main__":
    main(*sys.argv[1:2])
