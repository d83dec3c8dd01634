"""Slow float64 references of the test-time methods, written from the papers, for the model of `small.py`.

The network is computed by hand from a dict of arrays; nothing of the library is in use. Gradients come from autograd.
"""

import math

import torch
import torch.nn.functional as F


def weights_of(model):
    state = {**model.encoder.body.state_dict(), **{f"head.{n}": v for n, v in model.head.state_dict().items()}}
    return {name: value.detach().double().clone() for name, value in state.items()}


LEARNED = ["1.weight", "1.bias", "4.weight", "4.bias"]


def features(W, x, statistics):
    """Normalise with the mean and variance of `statistics(name, values)`; None is group normalisation."""
    x = x.double()
    for conv, norm in (("0", "1"), ("3", "4")):
        x = F.conv2d(x, W[f"{conv}.weight"], W[f"{conv}.bias"])
        if statistics is None:
            x = F.group_norm(x, 2, W[f"{norm}.weight"], W[f"{norm}.bias"])
        else:
            mean, var = (v[:, None, None] for v in statistics(norm, x))
            x = (x - mean) / (var + 1e-5).sqrt() * W[f"{norm}.weight"][:, None, None] + W[f"{norm}.bias"][:, None, None]
        x = x.clamp_min(0)
    return x.mean((2, 3))


def logits(W, x, statistics):
    return features(W, x, statistics) @ W["head.linear.weight"].T + W["head.linear.bias"]


def of_source(W):
    return lambda name, x: (W[f"{name}.running_mean"], W[f"{name}.running_var"])


def of_batch(name, x):
    mean = x.mean((0, 2, 3))
    return mean, (x - mean[:, None, None]).square().mean((0, 2, 3))


def entropy(p):
    return torch.stack([-sum(v * v.log() for v in row) for row in p])


def _started(model):
    W = weights_of(model)
    for name in LEARNED:
        W[name].requires_grad_(True)
    return W, {name: W[name].detach().clone() for name in LEARNED}


def _gradient(loss, W, names=LEARNED):
    return dict(zip(names, torch.autograd.grad(loss, [W[n] for n in names]), strict=True))


class Adam:
    """Kingma and Ba, algorithm 1."""

    def __init__(self):
        self.m, self.v, self.t = {}, {}, 0

    @torch.no_grad()
    def step(self, W, g, rate):
        self.t += 1
        for n in g:
            self.m[n] = 0.9 * self.m.get(n, 0) + 0.1 * g[n]
            self.v[n] = 0.999 * self.v.get(n, 0) + 0.001 * g[n] ** 2
            m, v = self.m[n] / (1 - 0.9**self.t), self.v[n] / (1 - 0.999**self.t)
            W[n] -= rate * m / (v.sqrt() + 1e-8)


class Momentum:
    def __init__(self):
        self.v = {}

    @torch.no_grad()
    def step(self, W, g, rate):
        for n in g:
            self.v[n] = 0.9 * self.v.get(n, 0) + g[n]
            W[n] -= rate * self.v[n]


def tent(model, batches, rate, statistics=of_batch):
    W, _ = _started(model)
    adam, answers = Adam(), []
    for x in batches:
        p = logits(W, x, statistics).softmax(1)
        answers.append(p.detach().log())
        adam.step(W, _gradient(entropy(p).mean(), W), rate)
    return answers


def fisher(model, rows):
    W, _ = _started(model)
    total = dict.fromkeys(LEARNED, 0)
    for x in rows:
        z = logits(W, x[None], of_source(W))
        g = _gradient(-z.log_softmax(1)[0, z.argmax()], W)
        total = {n: total[n] + g[n] ** 2 / len(rows) for n in LEARNED}
    return total


def eata(model, batches, rate, reliable, redundant, source=None, strength=0.0):
    omega = None if source is None else fisher(model, source)
    (W, first), sgd, m, answers, counts = _started(model), Momentum(), None, [], []
    limit = reliable * math.log(W["head.linear.bias"].shape[0])
    for x in batches:
        p = logits(W, x, of_batch).softmax(1)
        answers.append(p.detach().log())
        H = entropy(p)
        chosen = []
        for i in range(len(x)):
            q = p[i].detach()
            cosine = 0 if m is None else float(q @ m / (q.norm() * m.norm()))
            if H[i] < limit and abs(cosine) < redundant:
                chosen.append(i)
        counts.append(len(chosen))
        if not chosen:
            continue
        loss = sum(math.exp(limit - float(H[i].detach())) * H[i] for i in chosen) / len(chosen)
        if omega is not None:
            loss = loss + strength * sum((omega[n] * (W[n] - first[n]) ** 2).sum() for n in LEARNED)
        mean = p.detach()[chosen].mean(0)
        m = mean if m is None else 0.9 * m + 0.1 * mean
        sgd.step(W, _gradient(loss, W), rate)
    return answers, counts


def sar(model, batches, rate, reliable, radius, recovery, learned=LEARNED):
    W, sgd, mean, answers, starts = _started(model)[0], Momentum(), None, [], 0
    limit = reliable * math.log(W["head.linear.bias"].shape[0])
    for x in batches:
        p = logits(W, x, of_batch).softmax(1)
        answers.append(p.detach().log())
        H = entropy(p)
        S = [i for i in range(len(x)) if H[i] < limit]
        if not S:
            continue
        g = _gradient(sum(H[i] for i in S) / len(S), W, learned)
        length = math.sqrt(sum(float(v.square().sum()) for v in g.values()))
        moved = {**W, **{n: (W[n] + radius * g[n] / length).detach().requires_grad_(True) for n in learned}}
        H = entropy(logits(moved, x, of_batch).softmax(1))
        S = [i for i in S if H[i] < limit]
        if not S:
            continue
        loss = sum(H[i] for i in S) / len(S)
        sgd.step(W, _gradient(loss, moved, learned), rate)
        mean = float(loss) if mean is None else 0.9 * mean + 0.1 * float(loss)
        if mean < recovery:
            W, sgd, mean, starts = _started(model)[0], Momentum(), None, starts + 1
    return answers, starts


def roid(model, batches, rate, momentum, temperature, augment=None):
    (W, first), adam, answers = _started(model), Adam(), []
    C = W["head.linear.bias"].shape[0]
    m = torch.full((C,), 1 / C, dtype=torch.float64)

    def scaled(values):
        return (values - values.min()) / (values.max() - values.min())

    for x in batches:
        z = logits(W, x, of_batch)
        p = z.softmax(1)
        q = p.detach()
        d = scaled(torch.stack([1 - row @ m / (row.norm() * m.norm()) for row in q]))
        c = scaled(-entropy(q))
        S = [i for i in range(len(x)) if d[i] >= d.mean()]
        m = 0.9 * m + 0.1 * q.mean(0)
        loss = 0
        for i in S:
            r = p[i].clamp(0, 0.99)
            loss = loss + torch.exp(d[i] * c[i] / temperature) * -(r * torch.log(r / (1 - r) + 1e-5)).sum()
        if augment is not None:
            other = logits(W, augment(x[S]), of_batch).softmax(1)
            for k, i in enumerate(S):
                both = -0.5 * (p[i] * other[k].log()).sum() - 0.5 * (other[k] * p[i].log()).sum()
                loss = loss + torch.exp(d[i] * c[i] / temperature) * both
        adam.step(W, _gradient(loss / len(x), W), rate)
        with torch.no_grad():
            for n in LEARNED:
                W[n].copy_(momentum * W[n] + (1 - momentum) * first[n])
        prior = q.mean(0)
        smooth = max(1 / len(x), 1 / C) / prior.max()
        answers.append((z.detach() * (prior + smooth) / (1 + smooth * C)).log_softmax(1))
    return answers


def lame(model, x, neighbours):
    W = weights_of(model)
    f = features(W, x, of_source(W))
    p = (f @ W["head.linear.weight"].T + W["head.linear.bias"]).softmax(1) + 1e-10
    unit = f / f.norm(dim=1, keepdim=True)
    z = p / p.sum(1, keepdim=True)
    near = []
    for i in range(len(x)):
        far = [(float((unit[i] - unit[j]).norm()), j) for j in range(len(x)) if j != i]
        near.append([j for _, j in sorted(far)[:neighbours]])
    before = None
    for _ in range(100):
        pull = p.log() + torch.stack([sum((z[j] for j in js), torch.zeros(z.shape[1])) for js in near])
        z = pull.softmax(1)
        objective = float((z * z.log() - z * pull).sum())
        if before is not None and abs(objective - before) <= 1e-8 * abs(before):
            break
        before = objective
    return z.log()


def t3a(model, batches, keep):
    W = weights_of(model)
    A, b = W["head.linear.weight"], W["head.linear.bias"]
    p = (A @ A.T + b).softmax(1)
    sets = [[] for _ in A]
    for k, H in enumerate(entropy(p)):
        sets[int(p[k].argmax())].append((float(H), A[k] / A[k].norm()))
    answers = []
    for x in batches:
        f = features(W, x, of_source(W))
        p = (f @ A.T + b).softmax(1)
        for i, H in enumerate(entropy(p)):
            sets[int(p[i].argmax())].append((float(H), f[i] / f[i].norm()))
        sets = [sorted(s, key=lambda pair: pair[0])[:keep] for s in sets]
        centres = [sum((v for _, v in s), torch.zeros(8, dtype=torch.float64)) for s in sets]
        answers.append(torch.stack([f @ (c / max(float(c.norm()), 1e-12)) for c in centres], 1).log_softmax(1))
    return answers
