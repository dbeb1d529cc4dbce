"""Which call path an operator takes, and that bits, gradients, hooks and errors do not depend on it."""

from __future__ import annotations

import contextlib
import threading

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

import twodasl_ext as te
from twodasl_ext import _dispatch, _operator

from .cases import CASES, make

# If something watches the call, a whole basis is passed as its own tensors to an operator that packs them
# when it runs; a few rows are gathered first.
LEAN, REGISTERED, REGISTERED_WHOLE, TRANSFORMED = (
    "Vertices",
    "GeneratedBackwardFor_twodasl_vertices_default",
    "GeneratedBackwardFor_twodasl_basis_vertices_default",
    "VerticesTransformed",
)


@pytest.fixture
def inputs():
    return make(CASES[6]).to(torch.float32)


@pytest.fixture
def basis(inputs):
    return inputs.basis()


class Functions(TorchFunctionMode):
    def __torch_function__(self, function, types, arguments=(), keywords=None):
        return function(*arguments, **(keywords or {}))


class Dispatches(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        self.seen.append(str(function))
        return function(*arguments, **(keywords or {}))


@contextlib.contextmanager
def blind():
    """As under a torch whose state is not accessible."""
    _dispatch._CAN_SEE = False
    try:
        yield
    finally:
        _dispatch._CAN_SEE = True


@contextlib.contextmanager
def dual():
    with torch.autograd.forward_ad.dual_level():
        yield


PATHS = {
    "plain": (contextlib.nullcontext, LEAN),
    "blind": (blind, REGISTERED),
    "function mode": (Functions, REGISTERED),
    "dispatch mode": (Dispatches, REGISTERED),
    "forward mode": (dual, TRANSFORMED),
}


def path_of(output):
    return output.grad_fn.name().removesuffix("Backward")


def run(basis, inputs, names=("coefficients", "pose"), function=te.vertices, grad=None):
    leaves = {
        name: getattr(inputs, name).clone().requires_grad_(name in names) for name in ("coefficients", "pose")
    }
    output = function(basis, **leaves)
    grad = torch.cos(output.detach()) if grad is None else grad
    return output, torch.autograd.grad(output, [leaves[name] for name in names], grad)


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("function", [te.vertices, te.landmarks], ids=["vertices", "landmarks"])
def test_every_path_gives_the_same_bits(basis, inputs, name, function):
    expected, gradients = run(basis, inputs, function=function)
    context, graph_node = PATHS[name]
    if graph_node == REGISTERED and function is te.vertices:
        graph_node = REGISTERED_WHOLE
    with context():
        for names in (("coefficients", "pose"), ("coefficients",), ("pose",)):
            output, grads = run(basis, inputs, names, function)
            assert path_of(output) == graph_node
            assert torch.equal(output, expected)
            wanted = [g for g, n in zip(gradients, ("coefficients", "pose"), strict=True) if n in names]
            assert all(torch.equal(a, b) for a, b in zip(grads, wanted, strict=True))
        assert torch.equal(function(basis, inputs.coefficients, inputs.pose), expected)


@pytest.mark.parametrize("name", PATHS)
def test_every_path_trains_a_basis(inputs, name):
    def gradients():
        basis = te.MorphableBasis(torch.nn.Parameter(inputs.mean), torch.nn.Parameter(inputs.modes))
        te.vertices(basis, inputs.coefficients, inputs.pose).sin().sum().backward()
        return [p.grad for p in basis.parameters()]

    expected = gradients()
    with PATHS[name][0]():
        assert all(torch.equal(a, b) for a, b in zip(gradients(), expected, strict=True))


def test_plain_calls_really_are_lean(basis, inputs):
    needing = inputs.coefficients.clone().requires_grad_()
    packing = {"aten::pad", "aten::index"}

    def called():
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            te.vertices(basis, inputs.coefficients, inputs.pose)
            te.landmarks(basis, torch.nn.Parameter(inputs.coefficients), inputs.pose)
            te.landmarks(basis, needing, inputs.pose).sum().backward()
            te.importance_weights(basis, inputs.predicted, inputs.target)
        names = [event.name for event in profile.events()]
        return sorted(name for name in names if name.startswith("twodasl::")), set(names) & packing

    kernels = [
        "twodasl::importance_weights",
        "twodasl::vertices_backward",
        *["twodasl::vertices_forward"] * 3,
    ]
    assert called() == (
        ["twodasl::huge_copy", *kernels],
        packing,
    )  # the first use packs the basis, later ones do not
    assert called() == (kernels, set())


def test_modes_and_subclasses_see_the_operator(basis, inputs):
    with Dispatches() as mode:
        te.vertices(basis, inputs.coefficients, inputs.pose)
    assert mode.seen == ["twodasl.basis_vertices.default"]
    te.landmarks(basis, inputs.coefficients, inputs.pose)  # gathers the rows
    with Dispatches() as mode:
        te.landmarks(basis, inputs.coefficients, inputs.pose)
    assert mode.seen == ["twodasl.vertices.default"]

    class Named(torch.Tensor):
        pass

    output = te.vertices(basis, inputs.coefficients.as_subclass(Named), inputs.pose)
    assert type(output) is Named
    assert torch.equal(output.as_subclass(torch.Tensor), te.vertices(basis, inputs.coefficients, inputs.pose))


def test_a_device_context_changes_nothing(basis, inputs):
    expected = run(basis, inputs)
    with torch.device("cpu"):
        output, grads = run(basis, inputs)
    assert torch.equal(output, expected[0])
    assert all(torch.equal(a, b) for a, b in zip(grads, expected[1], strict=True))


@pytest.mark.parametrize("name", PATHS)
def test_every_path_saves_only_what_is_needed(inputs, basis, name):
    trained = te.MorphableBasis(torch.nn.Parameter(inputs.mean), torch.nn.Parameter(inputs.modes))
    saved = []
    with (
        PATHS[name][0](),
        torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.dim()) or t, lambda t: t),
    ):
        te.vertices(basis, inputs.coefficients, inputs.pose.clone().requires_grad_())
        # Mean and modes, packed or as in the basis; then the coefficients and the pose. Transforms cannot
        # keep the result beside the saved tensors, so there it is one of them.
        needed = {"plain": [3, 4, 2, 3], "forward mode": [3, 4, 2, 3, 3]}
        assert saved == needed.get(name, [2, 3, 2, 3])
        saved.clear()
        te.vertices(trained, inputs.coefficients, inputs.pose)
        assert saved == [2, 3]
        saved.clear()
        te.vertices(basis, inputs.coefficients, inputs.pose)
        assert saved == []


@pytest.mark.parametrize("name", PATHS)
def test_changing_an_input_before_backward_is_an_error(inputs, basis, name):
    with PATHS[name][0]():
        c = inputs.coefficients.clone().requires_grad_()
        changed = c * 1
        output = te.vertices(basis, changed, inputs.pose)
        changed.add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            output.sum().backward()


@pytest.mark.parametrize("name", PATHS)
def test_a_second_derivative_is_refused_on_every_path(inputs, basis, name):
    with PATHS[name][0]():
        c = inputs.coefficients.clone().requires_grad_()
        output = te.vertices(basis, c, inputs.pose).square().sum()
        (first,) = torch.autograd.grad(output, c, create_graph=True)
        assert torch.equal(
            first,
            run(basis, inputs, ("coefficients",), grad=2 * te.vertices(basis, c, inputs.pose).detach())[1][0],
        )
        with pytest.raises(RuntimeError, match="the second derivative is not implemented"):
            first.sum().backward()


def test_backward_twice_and_hooks(inputs, basis):
    c = inputs.coefficients.clone().requires_grad_()
    output = te.vertices(basis, c, inputs.pose)
    seen = []
    output.register_hook(lambda grad: seen.append(grad.shape) or 2 * grad)
    output.grad_fn.register_hook(lambda inputs, outputs: seen.append(inputs[2].shape))
    output.sum().backward(retain_graph=True)
    once = c.grad.clone()
    output.sum().backward()
    assert torch.equal(c.grad, 2 * once)
    assert seen == [output.shape, c.shape] * 2
    with pytest.raises(RuntimeError, match="second time"):
        output.sum().backward()


def test_leaves_of_every_kind(inputs, basis):
    c = torch.nn.Parameter(inputs.coefficients.clone())
    te.vertices(basis, c, inputs.pose).sum().backward()
    plain = inputs.coefficients.clone().requires_grad_()
    te.vertices(basis, plain, inputs.pose).sum().backward()
    assert torch.equal(c.grad, plain.grad)
    both = torch.zeros(5, 62, requires_grad=True)  # coefficients and pose are views of one leaf
    te.vertices(basis, both[:, 12:], both[:, :12].unflatten(1, (3, 4))).sum().backward()
    assert both.grad.shape == (5, 62)
    with torch.no_grad():
        assert not te.vertices(basis, c, inputs.pose).requires_grad
    with torch.set_grad_enabled(False):
        assert te.landmarks(basis, c, inputs.pose).grad_fn is None
    with torch.inference_mode():
        output = te.vertices(basis, c, inputs.pose)
    assert output.is_inference()
    assert torch.equal(output, te.vertices(basis, inputs.coefficients, inputs.pose))


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)
def test_half_inputs_get_half_gradients(inputs, basis, half):
    c, p = inputs.coefficients.to(half).requires_grad_(), inputs.pose.to(half).requires_grad_()
    output = te.landmarks(basis, c, p)
    assert output.dtype == torch.float32
    output.sum().backward()
    assert (c.grad.dtype, p.grad.dtype) == (half, half)
    full_c, full_p = c.detach().float().requires_grad_(), p.detach().float().requires_grad_()
    te.landmarks(basis, full_c, full_p).sum().backward()
    assert torch.equal(c.grad, full_c.grad.to(half))
    assert te.importance_weights(basis, inputs.predicted.to(half), inputs.target).dtype == torch.float32


def test_autocast(inputs, basis):
    layer = torch.nn.Linear(50, 50)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        c = layer(inputs.coefficients)
        output = te.vertices(basis, c, inputs.pose)
        loss = output.square().mean()
    assert (c.dtype, output.dtype) == (torch.bfloat16, torch.float32)
    loss.backward()
    assert layer.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoint(inputs, basis, reentrant):
    c = inputs.coefficients.clone().requires_grad_()
    checkpoint(
        lambda c: te.vertices(basis, c, inputs.pose).sin(), c, use_reentrant=reentrant
    ).sum().backward()
    expected = inputs.coefficients.clone().requires_grad_()
    te.vertices(basis, expected, inputs.pose).sin().sum().backward()
    assert torch.equal(c.grad, expected.grad)


def test_deterministic_mode(inputs, basis):
    expected = run(basis, inputs)
    torch.use_deterministic_algorithms(True)
    try:
        output, grads = run(basis, inputs)
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(output, expected[0])
    assert all(torch.equal(a, b) for a, b in zip(grads, expected[1], strict=True))


def test_several_python_threads_share_a_basis(inputs, basis):
    expected, gradients = run(basis, inputs, function=te.landmarks)
    wrong = []

    def work():
        for _ in range(30):
            output, grads = run(basis, inputs, function=te.landmarks)
            right = torch.equal(output, expected) and all(map(torch.equal, grads, gradients))
            if not (right and path_of(output) == LEAN):
                wrong.append(output)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_one_operator_without_forward_mode_says_so(inputs):
    call = _operator.autograd_call(
        "example",
        torch.ops.twodasl.vertices_forward.default,
        None,
        setup_context=lambda ctx, inputs, output: None,
        backward=lambda ctx, grad: None,
        vmap=None,
    )
    mean, modes = inputs.basis().packed()
    run = lambda c: call(mean, modes, 203, c, inputs.pose)  # noqa: E731
    with pytest.raises(NotImplementedError, match=r"twodasl_ext\.example: forward-mode .* not implemented"):
        torch.func.jvp(run, (inputs.coefficients,), (inputs.coefficients,))


# ---- out= ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("storage", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_out_is_filled(storage):
    inputs = make(CASES[9]).to(torch.float64 if storage == torch.float64 else torch.float32)
    basis = inputs.basis(storage)
    expected = te.vertices(basis, inputs.coefficients, inputs.pose)
    out = torch.full_like(expected, torch.nan)
    pointer = out.data_ptr()
    assert te.vertices(basis, inputs.coefficients, inputs.pose, out=out) is out
    assert out.data_ptr() == pointer
    assert torch.equal(out, expected)
    part = torch.full((9, *expected.shape[1:]), torch.nan, dtype=out.dtype)
    te.vertices(basis, inputs.coefficients, inputs.pose, out=part[1:8])
    assert torch.equal(part[1:8], expected)
    assert part[0].isnan().all()
    assert part[8].isnan().all()


def test_out_may_be_empty(basis, inputs):
    out = torch.empty(0, 203, 3)
    assert te.vertices(basis, inputs.coefficients[:0], inputs.pose[:0], out=out) is out


def test_what_out_may_not_be(basis, inputs):
    c, p = inputs.coefficients, inputs.pose
    for out, error, words in (
        (torch.empty(5, 203, 2), ValueError, r"^out: expected \(5, 203, 3\), got \(5, 203, 2\)$"),
        (torch.empty(4, 203, 3), ValueError, r"^out: expected \(5, 203, 3\)"),
        (torch.empty(5, 203, 3).double(), TypeError, r"^out: expected torch.float32 .*, got torch.float64$"),
        (torch.empty(5, 203, 3, device="meta"), ValueError, r"^out: expected device cpu .*, got meta$"),
        (torch.empty(5, 3, 203).mT, ValueError, r"^out: expected a contiguous tensor, got strides"),
        ([1.0], TypeError, r"^out: expected a torch.Tensor, got list$"),
    ):
        with pytest.raises(error, match=words):
            te.vertices(basis, c, p, out=out)
    memory = torch.zeros(5 * 203 * 3 + 50)
    with pytest.raises(ValueError, match=r"^out: expected memory of its own"):
        te.vertices(basis, memory[: 5 * 50].view(5, 50), p, out=memory[50:].view(5, 203, 3))
    out = torch.empty(5, 203, 3)
    with pytest.raises(RuntimeError, match="out= has no gradient"):
        te.vertices(basis, c.clone().requires_grad_(), p, out=out)
    with pytest.raises(RuntimeError, match="out= has no gradient"):
        te.vertices(basis, c, p, out=out.clone().requires_grad_())
    with torch.no_grad():
        te.vertices(basis, c.clone().requires_grad_(), p, out=out)
    assert torch.equal(out, te.vertices(basis, c, p))


def test_writing_out_counts_as_a_change(basis, inputs):
    out = torch.ones(5, 203, 3)
    leaf = torch.ones(5, 203, 3, requires_grad=True)
    product = leaf * out
    te.vertices(basis, inputs.coefficients, inputs.pose, out=out)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.sum().backward()
