"""What all methods share: one signature, options checked when a method is made, names, and who supervises."""

import inspect
import re
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

import adapt
import losses
from adapt import Phase, Stream, Term, Trainer, domain, encoders, heads
from adapt.domain.options import RULES, check_options
from adapt.engine import Step
from adapt.engine.schedule import at
from adapt.streams import Batch
from tests.adapt.domain.cases import flatten_terms
from tests.adapt.engine.tiny import cloud

NO_TERM = {"adabn", "DomainNorm"}
METHODS = sorted(set(domain.__all__) - NO_TERM)
ORDER = ["source", "sources", "target", "name", "weight", "level"]
STREAMS = ("source", "target", "few", "b")
WITH_HEAD = {
    "advent", "atdoc", "bnm", "box_teacher", "cdan", "class_mix", "class_thresholds", "dd", "deep_jdot", "dsan",
    "fishr", "fixmatch", "group_dro", "im", "irm", "jan", "masked_consistency", "mcc", "mcd", "mdan", "mdd",
    "mean_teacher", "mixup", "osbp", "ovanet", "pada", "swd", "vada", "vat", "vrex",
}  # fmt: skip
WITH_ENCODER = {"adda", "dann", "iwan", "wdgrl"}
OF_IMAGES = {"advent", "box_teacher", "class_mix", "masked_consistency"}  # their inputs or outputs have places
HOLD_THE_LOSS = {"group_dro", "mdan", "mixup", "pada"}
LOSS_OPTIONS = {  # an option of the loss, and a wrong value
    "dan": ("kernel", "cubic"), "deep_coral": ("scaling", "none"), "homm": ("order", 0), "rsd": ("tradeoff", -1.0),
    "sliced": ("power", 0.5), "jan": ("bandwidth", -1.0), "dsan": ("bandwidth", 0.0), "deep_jdot": ("plan", "none"),
}  # fmt: skip


def keywords(name):
    return {p.name: p for p in inspect.signature(getattr(domain, name)).parameters.values() if p.kind is p.KEYWORD_ONLY}


def parts(features=8):
    """An encoder of one linear layer and a head for each kind of method."""
    torch.manual_seed(0)
    encoder = encoders.wrap(torch.nn.Linear(6, features), features)
    return encoder, {
        "dd": heads.Regressor(features),
        "ovanet": heads.OneVsAll(features, 3),
        "box_teacher": heads.Boxes(features, 3, stride=4),
        None: heads.Classifier(features, 3),
    }


def make(method, encoder, known, **options):
    """The terms or phases of a method, with the arguments that have no default; `options` go on top."""
    head, asked = known.get(method, known[None]), keywords(method)
    learn = [adapt.supervised(head, "source", name=f"{options.get('name', method)}_learn")]
    second = heads.Classifier(known[None].dim, 3)
    needed = {
        "sources": ("source", "b"),
        "rows": 40,
        "radius": 1.0,
        "second": second,
        "encoder": encoder,
        "learn": learn,
    }
    needed = {k: v for k, v in needed.items() if k in asked and asked[k].default is inspect.Parameter.empty}
    if method == "deep_jdot":
        needed["plan"] = "sinkhorn"
    first = [head] if method in WITH_HEAD else [encoder] if method in WITH_ENCODER else []
    made = getattr(domain, method)(*first, **{**needed, **options})
    return made if isinstance(made, list) else [made]


@pytest.mark.parametrize("name", METHODS)
def test_the_signature_is_that_of_all_methods(name):
    parameters = list(inspect.signature(getattr(domain, name)).parameters.values())
    first = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert first == (["head"] if name in WITH_HEAD else ["encoder"] if name in WITH_ENCODER else [])
    assert keywords(name)["name"].default == name and "weight" in keywords(name)
    assert keywords(name).keys() & {"source", "sources", "target", "on", "learn"}
    common = [p for p in keywords(name) if p in ORDER]
    assert common == sorted(common, key=ORDER.index)
    known = {"source": "source", "target": "few" if name == "ccsa" else "target", "level": None}
    assert all(keywords(name)[p].default == value for p, value in known.items() if p in keywords(name))
    assert "sources" not in keywords(name) or "source" not in keywords(name)
    unchecked = {"sources", "learn", "second", "encoder", "discriminator", "scaling"}  # other checks see these
    assert keywords(name).keys() <= RULES.keys() | unchecked


@pytest.mark.parametrize(
    ("name", "option"), [(name, option) for name in METHODS for option in keywords(name) if option in RULES]
)
def test_a_wrong_value_is_an_error_when_the_method_is_made(name, option):
    wrong = {"seed": -1, "level": "rows", "entropy": 1, "unbiased": 1}.get(option, -0.5)
    with pytest.raises(ValueError, match=rf"`{option}` must be .*, got {wrong!r}: the docstring"):
        make(name, *parts(), **{option: wrong})


@pytest.mark.parametrize("option", RULES)
def test_the_rules_refuse_what_is_no_value_at_all(option):
    for wrong in ([], float("nan"), "", *(["pixel"] if option not in ("name", "source", "target", "on") else [])):
        with pytest.raises(ValueError, match=f"`{option}` must be"):
            check_options(**{option: wrong})


@pytest.mark.parametrize("name", LOSS_OPTIONS)
def test_options_of_a_loss_are_checked_when_the_method_is_made(name):
    option, wrong = LOSS_OPTIONS[name]
    with pytest.raises(TypeError, match=f"`bandwith` is no option of losses.*: take .*`{option}`"):
        make(name, *parts(), bandwith=1.0)
    with pytest.raises(ValueError, match=f"`{option}` must .*got {wrong!r}"):
        make(name, *parts(), **{option: wrong})


def test_loss_options_touch_no_random_state_and_may_be_directions():
    state = torch.get_rng_state()
    domain.sliced(directions=torch.eye(5))
    assert torch.equal(state, torch.get_rng_state())
    with pytest.raises(ValueError, match='`scaling` must be "deep_coral"'):
        domain.pairwise_coral(sources=["a", "b"], scaling="none")


def batches(seed=0, rows=6, size=16):
    """Sources in one half of the numbers of an input, target domains in the other half; labels are drawn by chance."""
    g = torch.Generator().manual_seed(seed)
    made = {}
    for name in STREAMS:
        x, y = torch.randn(rows, size, generator=g), torch.randint(3, (rows,), generator=g)
        x[:, : size // 2] *= name in ("source", "b")
        x[:, size // 2 :] *= name not in ("source", "b")
        made[name] = Batch(x, None if name == "target" else y, torch.arange(rows), (x + 0.1,))
    return made


def alone(term, head, closed, seed):
    """The loss of a classifier on the source after 60 updates that minimise the term alone, at fixed features."""
    data, frozen = batches(seed), torch.nn.Identity()
    adam = torch.optim.Adam(head.parameters(), lr=0.1)
    for number in range(60):
        loss = term(Step(data, frozen, progress=0.5, streams=STREAMS, number=number, seed=seed))
        if not loss.requires_grad:
            break  # the term uses no head
        adam.zero_grad()
        loss.backward()
        adam.step()
    source = data["source"]
    return F.cross_entropy(closed(source.inputs), source.labels).item()


@pytest.mark.parametrize(
    "method",
    ["supervised", *(m for m in METHODS if m not in OF_IMAGES | {"dd"})],  # dd: of other labels
)
def test_a_term_supervises_where_it_alone_teaches_the_head_the_labels(method):
    losses_after, supervises = {}, {}
    for seed in (0, 1, 2):
        torch.manual_seed(seed)
        encoder = encoders.wrap(torch.nn.Linear(16, 16).requires_grad_(False), 16)
        known = {"ovanet": heads.OneVsAll(16, 3), None: heads.Classifier(16, 3)}
        head = known.get(method, known[None])
        made = [adapt.supervised(head, "source")] if method == "supervised" else make(method, encoder, known)
        start = {k: v.clone() for k, v in head.state_dict().items()}
        for term in flatten_terms(made):
            if not term.name.endswith("_learn"):  # the supervised terms of the user
                head.load_state_dict(start)
                closed = head.closed if method == "ovanet" else head
                losses_after.setdefault(term.name, []).append(alone(term, head, closed, seed))
                supervises[term.name] = term.supervises
    expected = {"pada": ("source",), "supervised": ("source",)}.get(method, ("source", "b"))
    for name, found in losses_after.items():
        assert supervises[name] == (expected if max(found) < 0.5 else ()), (name, found)


@pytest.mark.parametrize("name", METHODS)
def test_the_docstring_of_a_method_says_that_it_holds_the_supervised_loss(name):
    text = " ".join((inspect.getdoc(getattr(domain, name)) or "").split())
    assert text, f"domain.{name} has no docstring"
    said = "no ``adapt.supervised`` beside" in text
    assert said == (name in HOLD_THE_LOSS | {"mcd", "swd", "wdgrl"})


@pytest.mark.filterwarnings("ignore:.*reached by no term")  # heads without a supervised term
@pytest.mark.parametrize("name", [m for m in METHODS if m not in OF_IMAGES])
def test_two_of_a_kind_stand_side_by_side(name, tmp_path):
    encoder, known = parts()
    kinds = [make(name, encoder, known, name=f"{n}_{name}") for n in ("first", "other")]
    terms, phases = flatten_terms(kinds), [part for kind in kinds for part in kind]
    assert {term.name.split("_")[0] for term in terms} == {"first", "other"}
    streams = {s: Stream(cloud(40, seed=i), 6, labels=s != "target", views=[None, None]) for i, s in enumerate(STREAMS)}
    if name == "dd":
        streams = {s: Stream(cloud(40, seed=i), 6, labels=False) for i, s in enumerate(STREAMS)}
    with_phases = isinstance(phases[0], Phase)
    what = {"phases": phases} if with_phases else {"terms": phases}
    Trainer(encoder, streams=streams, progress=False, device="cpu", **what).fit(1)
    step = Step(batches(rows=7, size=6), encoder, streams=STREAMS, logging=True)
    tags = []
    for term in terms:
        before = dict(step.reports)
        term(step)
        tags += [tag for tag in step.reports if tag not in before and "train_accuracy" not in tag]
    assert sum("first" in tag for tag in tags) == sum("other" in tag for tag in tags)
    assert all(re.search(f"(first|other)_{name}", tag) for tag in tags)
    if name in ("dann", "cdan", "adda", "iwan", "pada", "vada"):
        assert sum(tag.startswith("domain_accuracy/") for tag in tags) == 2


@pytest.mark.parametrize("name", [m for m in METHODS if "level" in keywords(m)])
def test_features_with_places_need_a_level(name):
    """Inputs are tokens here, and the encoder leaves them as they are; pooled tokens are the mean over places."""
    plain, places = batches(size=24), torch.tensor([0.5, 1.0, 3.0])[:, None]
    tokens = {n: replace(b, inputs=b.inputs[:, None] * places, more=()) for n, b in plain.items()}
    pooled = {n: replace(b, inputs=b.inputs.mean(1)) for n, b in tokens.items()}
    found = []
    for level, rows in ((None, tokens), ("pooled", tokens), ("places", tokens), (None, pooled)):
        torch.manual_seed(0)
        term = flatten_terms(make(name, encoders.wrap(torch.nn.Identity(), 24), parts(24)[1], level=level))[-1]
        step = Step(rows, torch.nn.Identity(), progress=0.5, streams=STREAMS)
        if level is None and rows is tokens:
            with pytest.raises(ValueError, match='have places.*`level="pooled"`'):
                term(step)
        else:
            found.append(term(step))
    torch.testing.assert_close(found[0], found[2])
    assert name == "afn" or not torch.equal(found[0], found[1])  # the value of AFN is the square of the step


@pytest.mark.parametrize(
    ("term", "shown"),
    [
        (lambda: domain.dann(8, level="pooled", hidden=16), ["strength=ramp(1.0", "level='pooled'", "hidden=16"]),
        (lambda: domain.dan(bandwidth=2.0), ["loss=mmd", "bandwidth=2.0", "kernel='gaussian'", "level=None"]),
        (lambda: domain.mcc(heads.Classifier(8, 3), temperature=2.0), ["temperature=2.0", "classes=3"]),
        (lambda: domain.mdd(heads.Classifier(8, 3), hidden=32), ["margin=4.0", "hidden=32", "ramp(0.1"]),
        (lambda: domain.mdan(heads.Classifier(8, 3), sources=["a", "b"]), ["gamma=10.0", "hidden=256", "['a', 'b']"]),
        (lambda: domain.atdoc(heads.Classifier(8, 3), rows=5), ["0.2 * progress", "neighbours=5", "temperature=0.5"]),
    ],
)  # fmt: skip
def test_a_term_shows_its_settings(term, shown):
    found = repr(term())
    assert all(part in found for part in shown), found


def test_weights_of_several_terms_are_scaled_together():
    head = heads.Classifier(8, 3)
    plain, scaled = ([at(t.weight, 0.5) for t in domain.vada(head, weight=w)] for w in (1.0, adapt.ramp(0.5)))
    assert plain == [1e-2, 1e-2, 1.0, 1e-2] and scaled == [adapt.ramp(0.5)(0.5) * w for w in plain]
    with_ramp = domain.vada(head, weight=2.0, adversarial=adapt.ramp(0.5))[0]
    assert at(with_ramp.weight, 0.5) == 2.0 * adapt.ramp(0.5)(0.5) and "2.0 * ramp(0.5" in repr(with_ramp)


@pytest.mark.parametrize("name", domain.ELSEWHERE)
def test_the_spelling_of_another_library_leads_to_ours(name):
    assert not hasattr(domain, name)
    with pytest.raises(AttributeError, match=f"no `{name}`: take ") as error:
        getattr(domain, name)
    named = re.findall(r"`(domain|losses|adapt)\.(\w+)", str(error.value))
    rooms = {"domain": domain, "losses": losses, "adapt": adapt}
    assert [
        callable(getattr(rooms[room], function)) for room, function in named if (room, function) != ("adapt", "domain")
    ]
    assert named[-1] != ("adapt", "domain")


def test_an_unknown_name_is_an_ordinary_attribute_error():
    with pytest.raises(AttributeError, match=r"module `adapt.domain` has no `nothing`\.$"):
        domain.nothing  # noqa: B018


def test_terms_are_terms():
    encoder, known = parts()
    assert all(isinstance(t, Term) for name in METHODS for t in flatten_terms(make(name, encoder, known)))
