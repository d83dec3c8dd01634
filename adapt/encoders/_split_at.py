"""An encoder in two: a frozen first part whose features can be kept, and a last part that learns."""

from torch import fx, nn

from adapt.encoders.encoder import Encoder
from adapt.encoders.normalization import GlobalBatchNorm
from adapt.evaluating import evaluating


def split_at(encoder: Encoder, after: str) -> tuple[nn.Module, Encoder]:
    """The part of an encoder up to and with a layer, and the rest.

    ``rest(first(x))`` is ``encoder(x)``. Both share the encoder's modules: what `rest` learns, `encoder` has learned. With
    ``data = engine.features(first, train)`` the first part is computed once, and a trainer of `rest` on `data` costs the last
    layers alone.

    Args:
        encoder: one that ``torch.fx`` can trace: plain forward functions without branches on tensors. Models of transformers
            cannot be traced so.
        after: name of the layer that ends the first part, one of ``encoder.layers``.

    Returns:
        The first part, a module in evaluation mode without gradient; and the rest, an :class:`Encoder` with the layers that come
        after, in the encoder's own state of learning.

    Raises:
        ValueError: a layer that the encoder does not have, the last one, an encoder that cannot be traced, one whose forward takes
            other steps in training (a dropout function, a stochastic depth outside of its layers), or one in which something passes
            by the layer (a skip connection, the input itself).
    """
    names = list(encoder.layers)
    if after not in names[:-1]:
        raise ValueError(f"`after` must name a layer before the last, one of {names[:-1]}, got `{after}`.")
    later = names[names.index(after) + 1 :]
    try:
        with evaluating(encoder.body):
            graph, training = (_Tracer(names).trace(encoder.body.train(mode)) for mode in (False, True))
    except (fx.proxy.TraceError, TypeError, RuntimeError, ValueError) as error:
        raise ValueError(f"the forward of this encoder cannot be traced, so it cannot be cut: {error}") from error
    nodes = list(graph.nodes)
    fixed = [n.format_node() for n, m in zip(nodes, training.nodes, strict=False) if n.format_node() != m.format_node()]
    if fixed or len(nodes) != len(training.nodes):
        raise ValueError(
            f"`{(fixed or [nodes[-1].format_node()])[0]}` is another step in training, and the cut would fix one of them: make it a "
            "module (nn.Dropout for a dropout function) or a part of one of the `layers`."
        )
    ends = [i for i, n in enumerate(nodes) if n.op == "call_module" and str(n.target).split("@")[0] == after]
    if len(ends) != 1:
        raise ValueError(f"layer `{after}` must be called once in a pass, and is called {len(ends)} times.")
    end = ends[0]
    before, behind = nodes[: end + 1], nodes[end + 1 :]
    passing = [n for n in before[:-1] if any(u in behind for u in n.users) and n.op != "get_attr"]
    if passing:
        raise ValueError(f"`{passing[0].name}` passes by layer `{after}`: cut elsewhere, or keep the encoder whole.")
    first, rest = _part(encoder.body, graph, before, None), _part(encoder.body, graph, behind, nodes[end])
    last = Encoder(rest, encoder.dim, layers=later, head=encoder.head, classes=encoder.classes)
    last.training, held = encoder.training, set(encoder.kept_in_eval)  # the modules are shared: their mode stays
    last.keep_in_eval(name for name, _ in rest.named_modules() if name in held)
    return first.requires_grad_(False).eval(), last


class _Tracer(fx.Tracer):
    """Layers stay whole."""

    def __init__(self, layers: list[str]):
        super().__init__()
        self.layers = layers

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return name in self.layers or isinstance(module, GlobalBatchNorm) or super().is_leaf_module(module, name)


def _part(body: nn.Module, graph: fx.Graph, nodes: list[fx.Node], entry: fx.Node | None) -> fx.GraphModule:
    part, copies = fx.Graph(), {}
    if entry is not None:
        copies[entry] = part.placeholder("features")
    for node in nodes:
        if node.op == "output":
            part.output(fx.node.map_arg(node.args[0], lambda n: copies[n]))
            break
        for needed in node.all_input_nodes:
            if needed not in copies:  # a parameter that was fetched before the cut
                copies[needed] = part.node_copy(needed, lambda n: copies[n])
        copies[node] = part.node_copy(node, lambda n: copies[n])
    else:
        part.output(copies[nodes[-1]])
    return fx.GraphModule(body, part)
