"""Which call path an operator takes: lean in plain eager mode, full under everything else.

An operator with a derivative has three call paths to the same kernels (see `_operator.py`):

* plain eager mode: an `autograd.Function` that does nothing but call the kernel;
* a `torch.func` transform or forward-mode differentiation: an `autograd.Function` that those can take apart;
* torch.compile, torch.export, tensor subclasses, any torch function or dispatch mode: the registered
  operator, which shows up as one node.

The generic Python wrapper that `torch.library.register_autograd` puts around the last one costs more than the
landmarks of a whole batch, and `torch.func` cannot differentiate it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, cast

import torch
from torch import Tensor
from torch.autograd import forward_ad

try:
    from torch._C import (
        _are_functorch_transforms_active,
        _len_torch_dispatch_stack,
        _len_torch_function_stack,
    )
    from torch._C import _is_tracing as is_tracing
    from torch.overrides import _get_current_function_mode_stack
    from torch.utils._device import DeviceContext

    forward_ad._current_level  # noqa: B018
    _CAN_SEE = True
except (ImportError, AttributeError):  # another torch: take the registered path, which needs none of this
    _CAN_SEE = False
    from torch.jit import is_tracing


Function = TypeVar("Function", bound=Callable[..., Any])

_NO_SCRIPT = (
    "torch.jit.script, torch.jit.trace and export to ONNX are not supported; use torch.compile or "
    "torch.export, or twodasl_ext.reference, which has the same operators in plain PyTorch"
)
_calls_to_keep_whole: list[Callable[..., Any]] = []


def _transformed_inside_a_graph() -> bool:
    """The same under a compiler, which runs this while it traces and takes the answer as a constant.

    Transforms begin and end inside a graph, and the calls they differentiate must stay whole in it. The
    compiler is told here, because loading it at import would take seconds that most programs do not need.
    """
    active = bool(_are_functorch_transforms_active())
    while active and _calls_to_keep_whole:
        torch.compiler.allow_in_graph(_calls_to_keep_whole.pop())
    return active


# What torch.compiler.assume_constant_result sets, without loading the compiler.
_transformed_inside_a_graph._dynamo_marked_constant = True  # type: ignore[attr-defined]


def keep_whole_in_graphs(call: Callable[..., Any]) -> None:
    """Tells a compiler, once it is loaded, not to trace into `call`."""
    _calls_to_keep_whole.append(call)


def transformed() -> bool:
    """Whether a torch.func transform or a forward-mode level is active."""
    if not _CAN_SEE:
        return False
    if torch.compiler.is_compiling():
        return _transformed_inside_a_graph()
    return _are_functorch_transforms_active() or forward_ad._current_level >= 0


def plain() -> bool:
    """Whether nothing but autograd watches the call: no tracing, no transform, no mode."""
    return (
        not torch.compiler.is_compiling()
        and _CAN_SEE
        and not _are_functorch_transforms_active()
        and forward_ad._current_level < 0
        and not _len_torch_dispatch_stack()
        and not _len_torch_function_stack()
        and not is_tracing()
    )


def has_values() -> bool:
    """Whether tensor values can be read: no graph is traced, no transform or mode wraps the tensors."""
    if torch.compiler.is_compiling() or not _CAN_SEE or transformed() or _len_torch_dispatch_stack():
        return False
    # A mode that only places new tensors (torch.set_default_device) does not trace.
    return all(isinstance(mode, DeviceContext) for mode in _get_current_function_mode_stack())


def can_look(tensor: torch.Tensor) -> bool:
    """Whether a tensor's values can be read without waiting for a device."""
    return tensor.device.type == "cpu" and has_values()


def traced() -> bool:
    """Whether the call may run later, or again, on tensors whose state is not known now."""
    return torch.compiler.is_compiling() or not (plain() or transformed())


def between_graphs(reason: str) -> Callable[[Function], Function]:
    """Makes a compiler break the graph around the decorated function, for a reason that it reports."""

    def decorate(function: Function) -> Function:
        disabled: list[Callable[..., Any]] = []

        def prepare() -> bool:
            # Loading the compiler takes seconds, so this waits for the first compiled call.
            if not disabled:
                disabled.append(torch.compiler.disable(function, reason=reason))
            return True

        # The compiler runs it while it traces, and takes the answer as a constant.
        prepare._dynamo_marked_constant = True  # type: ignore[attr-defined]

        @functools.wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            if torch.compiler.is_compiling() and prepare():
                return disabled[0](*arguments, **options)
            return function(*arguments, **options)

        return cast(Function, call)

    return decorate


def refuse_script(name: str) -> None:
    """Raises a RuntimeError that names the alternatives to TorchScript."""
    raise RuntimeError(f"twodasl_ext.{name}: {_NO_SCRIPT}")


def refuse_trace(name: str) -> None:
    """The same while torch.jit.trace or an ONNX exporter runs, which would bake some numbers in."""
    if not torch.compiler.is_dynamo_compiling() and (
        torch.jit.is_tracing() or torch.onnx.is_in_onnx_export()
    ):
        refuse_script(name)


def not_scriptable(*functions: Callable[..., Any]) -> None:
    """Makes torch.jit.script refuse these functions, which it would otherwise try to compile."""
    for function in functions:
        refusal = functools.partial(refuse_script, function.__name__)
        function.__prepare_scriptable__ = refusal  # type: ignore[attr-defined]


def refuse_vmap(name: str, batch: str, *values: Any) -> None:
    """Raises a RuntimeError if a tensor, also one in a tuple or list, is batched by a vmap."""
    if not transformed():
        return
    functorch = torch._C._functorch
    for value in values:
        if isinstance(value, (tuple, list)):
            refuse_vmap(name, batch, *value)
        while isinstance(value, Tensor) and functorch.is_functorch_wrapped_tensor(value):
            if functorch.is_batchedtensor(value):
                raise RuntimeError(
                    f"twodasl_ext.{name}: torch.func.vmap is not supported; "
                    f"call it once for a batch of {batch}"
                )
            value = functorch.get_unwrapped(value)


def without_transforms(run: Callable[..., Any], *values: Any) -> Any:
    """`run(*values)` on the innermost tensors of torch.func transforms, which then see a constant."""
    if not transformed():
        return run(*values)
    functorch = torch._C._functorch

    def innermost(value: Any) -> Any:
        if is_dataclass(value) and not isinstance(value, type):
            return replace(value, **{f.name: innermost(getattr(value, f.name)) for f in fields(value)})
        while isinstance(value, Tensor) and functorch.is_functorch_wrapped_tensor(value):
            value = functorch.get_unwrapped(value)
        return value

    with torch._C._DisableFuncTorch():
        return run(*(innermost(value) for value in values))


def constants(name: str, *tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors without gradients, for `twodasl_ext.<name>`; the same objects if none has one."""
    if plain():
        for tensor in tensors:
            if tensor.requires_grad:
                break
        else:
            return tensors
    refuse_trace(name)
    return tuple(tensor.detach() for tensor in tensors)
