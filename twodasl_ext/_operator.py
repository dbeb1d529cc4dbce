"""What an operator's file calls: `operator`, `differentiable`, `gradient` register all that torch asks for.

Each decorates a function that takes the operator's arguments and allocates its result without computing it.
torch runs that function where tensors have no data (the fake implementation); a call runs the kernel:

    @gradient("twice_backward", of="twice", remedy="use 2 * x", vmap=fold(faces=(0,)))
    def _differentiate(grad: Tensor) -> Tensor:
        return torch.empty_like(grad)

    def _setup_context(ctx, inputs, output): ...
    def _backward(ctx, grad): return _differentiate(grad)

    @differentiable("twice", setup_context=_setup_context, backward=_backward, vmap=fold(faces=(0,)))
    def _twice(x: Tensor) -> Tensor:
        return torch.empty_like(x)

The schemas and kernels are in csrc/torch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.autograd import Function

from . import _load  # noqa: F401  (registers the schemas and kernels)
from ._dispatch import keep_whole_in_graphs, plain, refuse_trace, transformed
from ._vmap import Rule, register

Fake = TypeVar("Fake", bound=Callable[..., Any])
"""A function of the operator's arguments that allocates the result."""


def operator(name: str, *, vmap: Rule | None = None) -> Callable[[Fake], Fake]:
    """Registers an operator without a derivative.

    Args:
        name: of the schema, without "twodasl::".
        vmap: a rule of `_vmap.py`; None where a batch of calls is refused or never made.
    """

    def decorate(fake: Fake) -> Fake:
        return _named(guarded(_register(name, fake, vmap)), fake)

    return decorate


def differentiable(
    name: str,
    *,
    setup_context: Callable[[Any, tuple[Any, ...], Any], None],
    backward: Callable[..., Any],
    vmap: Rule,
    tangent: Callable[..., Any] | None = None,
) -> Callable[[Fake], Fake]:
    """Registers an operator with a derivative, whose schema `def_differentiable` of csrc/torch declared.

    Args:
        name: of the schema, without "twodasl::"; there is a `<name>_forward` beside it.
        setup_context: (ctx, inputs, output), as for `torch.library.register_autograd`: saves what
            `ctx.needs_input_grad` asks for.
        backward: (ctx, *gradients) -> one gradient or None for each input. A gradient may come as None.
        vmap: a rule of `_vmap.py`.
        tangent: (inputs, tangents) -> the output's tangent, with None for an input that has none. Without it,
            forward-mode differentiation is an error that says so.
    """

    def decorate(fake: Fake) -> Fake:
        kernel = _register(f"{name}_forward", fake, vmap)
        registered = _register(name, fake, vmap)
        torch.library.register_autograd(f"twodasl::{name}", backward, setup_context=setup_context)
        call = autograd_call(name, kernel, registered, setup_context, backward, vmap, tangent)
        return _named(call, fake)

    return decorate


def gradient(name: str, *, of: str, remedy: str, vmap: Rule) -> Callable[[Fake], Fake]:
    """Registers an operator that is itself the derivative of `twodasl_ext.<of>`.

    It is not differentiated again: the error that says so ends with `remedy`.
    """

    def save_nothing(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    def refuse(*_: Any) -> Any:
        raise RuntimeError(f"twodasl_ext.{of}: the second derivative is not implemented; {remedy}")

    def decorate(fake: Fake) -> Fake:
        kernel = _register(name, fake, vmap)
        call = autograd_call(name, kernel, None, save_nothing, refuse, vmap, refuse)
        return _named(call, fake)

    return decorate


def guarded(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """The kernel, with torch's own exception class when a GPU runs out of memory.

    Through torch's stable C interface an operator can only throw RuntimeError; users catch the other one.
    """

    def call(*inputs: Any) -> Any:
        if torch.compiler.is_compiling():
            return kernel(*inputs)
        try:
            return kernel(*inputs)
        except RuntimeError as error:
            if "CUDA out of memory" in str(error):
                raise torch.OutOfMemoryError(str(error)) from None
            raise

    return call


def autograd_call(
    name: str,
    kernel: Callable[..., Any],
    registered: Callable[..., Any] | None,
    setup_context: Callable[[Any, tuple[Any, ...], Any], None],
    backward: Callable[..., Any],
    vmap: Rule,
    tangent: Callable[..., Any] | None = None,
) -> Callable[..., Any]:
    """The function that picks the call path; see the three of them in `_dispatch.py`.

    Args:
        kernel: an operator without a registered derivative.
        registered: the same kernel with one, for whatever watches the call. None where there is none: a
            compiler then sees the kernel itself.
        name, setup_context, backward, vmap, tangent: as for `differentiable`.
    """
    kernel, registered = guarded(kernel), registered and guarded(registered)
    title = "".join(word.capitalize() for word in name.split("_"))
    lean = _lean_function(title, kernel, setup_context, backward)

    def apply_full(*inputs: Any) -> Any:
        return full.apply(*inputs)

    def call(*inputs: Any) -> Any:
        if plain():
            enabled = torch.is_grad_enabled()
            if registered is None and not enabled:
                return kernel(*inputs)
            differentiate = False
            for value in inputs:
                kind = type(value)
                if kind is Tensor or kind is nn.Parameter:
                    differentiate = differentiate or value.requires_grad
                elif isinstance(value, Tensor):
                    return (registered or apply_full)(*inputs)  # a subclass sees the operator
            if differentiate and enabled:
                return lean.apply(*inputs)
            return kernel(*inputs)
        refuse_trace(name.removeprefix("basis_"))
        if transformed() or (registered is None and not torch.compiler.is_compiling()):
            return apply_full(*inputs)
        return (registered or kernel)(*inputs)

    def run_vmap(*arguments: Any) -> Any:
        return vmap(call, *arguments)

    if tangent is None:
        tangent = functools.partial(_refuse_forward_mode, name)
    full = _transformable_function(title + "Transformed", kernel, setup_context, backward, run_vmap, tangent)
    keep_whole_in_graphs(apply_full)
    return call


def _register(name: str, fake: Callable[..., Any], vmap: Rule | None) -> Callable[..., Any]:
    kernel: Callable[..., Any] = getattr(torch.ops.twodasl, name).default
    torch.library.register_fake(f"twodasl::{name}", fake)
    if vmap is not None:
        register(f"twodasl::{name}", kernel, vmap)
    return kernel


def _named(call: Callable[..., Any], fake: Fake) -> Fake:
    """The call, which looks like the function that was decorated."""
    return cast(Fake, functools.wraps(fake)(call))


def _lean_function(
    title: str, kernel: Callable[..., Any], setup_context: Callable[..., None], backward: Callable[..., Any]
) -> Any:
    def forward(ctx: Any, *inputs: Any) -> Any:
        output = kernel(*inputs)
        setup_context(ctx, inputs, output)
        return output

    members = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    return type(title, (Function,), members)


def _transformable_function(
    title: str,
    kernel: Callable[..., Any],
    setup_context: Callable[..., None],
    backward: Callable[..., Any],
    vmap: Callable[..., Any],
    tangent: Callable[..., Any],
) -> Any:
    def forward(*inputs: Any) -> Any:
        return kernel(*inputs)

    def set_up(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        setup_context(ctx, inputs, output)
        ctx.set_materialize_grads(False)
        ctx.save_for_forward(*(value for value in inputs if isinstance(value, Tensor)))
        ctx.plain_inputs = [None if isinstance(value, Tensor) else value for value in inputs]
        ctx.which_are_tensors = [isinstance(value, Tensor) for value in inputs]

    def jvp(ctx: Any, *tangents: Any) -> Any:
        tensors = iter(ctx.saved_tensors)
        both = zip(ctx.which_are_tensors, ctx.plain_inputs, strict=True)
        inputs = tuple(next(tensors) if is_tensor else value for is_tensor, value in both)
        return tangent(inputs, tangents)

    members = {
        "forward": staticmethod(forward),
        "setup_context": staticmethod(set_up),
        "backward": staticmethod(backward),
        "jvp": staticmethod(jvp),
        "vmap": staticmethod(vmap),
    }
    return type(title, (Function,), members)


def _refuse_forward_mode(name: str, inputs: tuple[Any, ...], tangents: tuple[Any, ...]) -> Any:
    raise NotImplementedError(
        f"twodasl_ext.{name}: forward-mode differentiation is not implemented; use reverse mode"
    )
