"""An encoder in two parts: a frozen first part whose features can be cached, and a last part that learns."""

from torch import fx, nn

from adapt.encoders.encoder import Encoder, expect_encoder
from adapt.encoders.normalization import GlobalBatchNorm
from adapt.evaluating import evaluating


def split_at(encoder: Encoder, after: str) -> tuple[nn.Module, Encoder]:
    """Return the part of an encoder up to and including a layer, and the rest.

    ``rest(first(x))`` equals ``encoder(x)``. Both parts share the modules of the encoder: when `rest` learns, `encoder`
    learns. With ``data = engine.features(first, train)`` the first part is computed once, and a trainer of `rest` on
    `data` computes the last layers alone.

    Args:
        encoder: an encoder that ``torch.fx`` can trace: plain forward functions without branches on tensors.
            ``torch.fx`` cannot trace models of transformers.
        after: name of the last layer of the first part, one of ``encoder.layers``.

    Returns:
        The first part, a module in evaluation mode without gradient. The rest, an :class:`Encoder` with the later
        layers; parameters that learn in `encoder` learn in the rest.

    Raises:
        TypeError: a module that is no :class:`Encoder`.
        ValueError: an unknown layer; the last layer; an encoder that cannot be traced; a forward with other steps in
            training (a dropout function, a stochastic depth outside of the layers); a tensor that passes by the layer
            (a skip connection, the input itself).
    """
    names = list(expect_encoder(encoder).layers)
    if after not in names[:-1]:
        raise ValueError(f"`after` must name a layer before the last, one of {names[:-1]}, got `{after}`.")
    graph = _traced(encoder.body, names)
    nodes = list(graph.nodes)
    ends = [i for i, n in enumerate(nodes) if n.op == "call_module" and str(n.target).split("@")[0] == after]
    if len(ends) != 1:
        raise ValueError(f"layer `{after}` must be called once in a pass, and is called {len(ends)} times.")
    end = ends[0]
    before, behind = nodes[: end + 1], nodes[end + 1 :]
    passing = [n for n in before[:-1] if any(u in behind for u in n.users) and n.op != "get_attr"]
    if passing:
        raise ValueError(f"`{passing[0].name}` passes by layer `{after}`: split elsewhere, or keep the encoder whole.")
    first, rest = _module_of(encoder.body, before, None), _module_of(encoder.body, behind, nodes[end])
    later = names[names.index(after) + 1 :]
    last = Encoder(rest, encoder.dim, layers=later, head=encoder.head, classes=encoder.classes)
    last.training, kept = encoder.training, set(encoder.kept_in_eval)  # the modules are shared: their mode stays
    last.keep_in_eval(name for name, _ in rest.named_modules() if name in kept)
    return first.requires_grad_(False).eval(), last


class _Tracer(fx.Tracer):
    """A tracer with whole layers as nodes."""

    def __init__(self, layers: list[str]):
        super().__init__()
        self.layers = layers

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return name in self.layers or isinstance(module, GlobalBatchNorm) or super().is_leaf_module(module, name)


def _traced(body: nn.Module, layers: list[str]) -> fx.Graph:
    """Return the graph of `body`. The steps must be the same in training and in evaluation."""
    try:
        with evaluating(body):
            graph, training = (_Tracer(layers).trace(body.train(mode)) for mode in (False, True))
    except (fx.proxy.TraceError, TypeError, RuntimeError, ValueError) as error:
        raise ValueError(f"the forward of this encoder cannot be traced, so it cannot be split: {error}") from error
    steps, others = ([node.format_node() for node in g.nodes] for g in (graph, training))
    if steps != others:
        changed = [step for step, other in zip(steps, others, strict=False) if step != other]
        raise ValueError(
            f"`{(changed or steps[-1:])[0]}` is another step in training, and the split would keep that of evaluation: "
            "make it a module (nn.Dropout for a dropout function) or a part of one of the `layers`."
        )
    _fill_in_defaults(graph)
    return graph


def _fill_in_defaults(graph: fx.Graph) -> None:
    """Replace optional arguments of the forward (a mask of attention) by their defaults."""
    defaults = {node: node.args[0] for node in graph.nodes if node.op == "placeholder" and node.args}
    for node in graph.nodes:
        node.args = fx.node.map_arg(node.args, lambda n: defaults.get(n, n))
        node.kwargs = fx.node.map_arg(node.kwargs, lambda n: defaults.get(n, n))
    for node in defaults:
        graph.erase_node(node)


def _module_of(body: nn.Module, nodes: list[fx.Node], entry: fx.Node | None) -> fx.GraphModule:
    """Return a module of some nodes of a graph; the output of `entry` is the input of the module."""
    part, copies = fx.Graph(), {}
    if entry is not None:
        copies[entry] = part.placeholder("features")
    for node in nodes:
        if node.op == "output":
            part.output(fx.node.map_arg(node.args[0], lambda n: copies[n]))
            break
        for needed in node.all_input_nodes:
            if needed not in copies:  # a parameter that the first part reads
                copies[needed] = part.node_copy(needed, lambda n: copies[n])
        copies[node] = part.node_copy(node, lambda n: copies[n])
    else:
        part.output(copies[nodes[-1]])
    return fx.GraphModule(body, part)
