"""Which kernels a compiled function launches on a GPU, without one.

`torch.compile`'s own passes run up to the source of the wrapper that calls Triton's kernels: the graphs of
forward and backward are recorded on the CPU, their tensors become fake ones of a GPU, whose properties are
those of an H200, and the wrapper's calls are counted. Triton must be installed (`pip install triton`), but
nothing is compiled to machine code, and nothing runs. Tensors of other sizes or another GPU may give other
kernels: reductions of many numbers are split in two.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor, fx

_GPU = torch.device("cuda:0")
_PROPERTIES = {
    "multi_processor_count": 132,
    "major": 9,
    "minor": 0,
    "regs_per_multiprocessor": 65536,
    "max_threads_per_multi_processor": 2048,
    "max_threads_per_block": 1024,
    "warp_size": 32,
    "total_memory": 141 * 2**30,
    "shared_memory_per_block": 48 * 2**10,
    "shared_memory_per_block_optin": 227 * 2**10,
    "L2_cache_size": 50 * 2**20,
    "name": "NVIDIA H200",
    "gcnArchName": "",
}
_LAUNCH = re.compile(
    r"^\s+(triton_\w+)\.run\(|^[^#\n]*?(torch\.ops\.[\w.]+|extern_kernels\.\w+|aten\.\w+)\(|^[^#\n]*\.(copy_)\(",
    re.MULTILINE,
)


class _Done(BaseException):
    """Ends a compilation whose source is known."""


def launched(run: Callable[[], Any]) -> list[Counter[str]]:
    """What each graph launches that `run` compiles, in the order in which they are: kernels by name.

    run: calls what `torch.compile` made, on the CPU, and differentiates it; it is compiled anew.
    """
    graphs: list[tuple[fx.GraphModule, Sequence[Any], bool]] = []

    def record(graph: fx.GraphModule, inputs: Sequence[Any], **options: Any) -> Callable[..., Any]:
        from torch._functorch.aot_autograd import make_boxed_func

        graphs.append((graph, inputs, options.get("is_backward", False)))
        return make_boxed_func(graph.forward)

    from torch._inductor import compile_fx

    original = compile_fx.compile_fx

    def recorded(
        graph: fx.GraphModule, inputs: Sequence[Any], inner_compile: Any = None, **options: Any
    ) -> Any:
        return original(graph, inputs, inner_compile=record, **options)

    torch._dynamo.reset()
    with (
        mock.patch.object(compile_fx, "compile_fx", recorded),
        torch._functorch.config.patch(enable_autograd_cache=False),
    ):
        run()
    torch._dynamo.reset()
    return [Counter(_calls(_source(*graph))) for graph in graphs]


def _calls(source: str) -> list[str]:
    body = source[source.index("def call(") :]
    return [next(filter(None, names)) for names in _LAUNCH.findall(body)]


def _source(graph: fx.GraphModule, inputs: Sequence[Any], backward: bool) -> str:
    """The wrapper's code."""
    from torch._inductor import compile_fx
    from torch._inductor import config as inductor
    from torch._inductor.graph import GraphLowering
    from torch._inductor.virtualized import V
    from torch._subclasses.fake_tensor import FakeTensorMode

    mode = FakeTensorMode(allow_non_fake_inputs=True)
    moved = _moved(graph, inputs, mode)
    sources: list[str] = []

    def stop(lowering: Any, *_: Any, **__: Any) -> None:
        code = lowering.codegen()[0]
        sources.append(getattr(code, "value", code))
        raise _Done

    with (
        _pretended(),
        inductor.patch(compile_threads=1, fx_graph_cache=False),
        mock.patch.object(GraphLowering, "compile_to_module", stop),
        V.set_fake_mode(mode),
        torch._guards.tracing(torch._guards.TracingContext(mode)),
        contextlib.suppress(_Done),
    ):
        compile_fx.compile_fx_inner(graph, moved, is_backward=backward, static_input_idxs=())
    return sources[0]


def _moved(graph: fx.GraphModule, inputs: Sequence[Any], mode: Any) -> list[Any]:
    """The inputs as fake tensors of the GPU; the graph's nodes then say what follows from these."""

    def to_gpu(value: Any) -> Any:
        if isinstance(value, torch.device):
            return _GPU
        if not isinstance(value, Tensor):
            return value
        return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=_GPU)

    known: dict[fx.Node, Any] = {}
    with mode:
        moved = [to_gpu(value) for value in inputs]
        given = iter(moved)
        for node in graph.graph.nodes:
            if node.op == "placeholder":
                known[node] = next(given)
            elif node.op == "get_attr":
                known[node] = to_gpu(getattr(graph, node.target))
            elif node.op == "call_function":
                node.args = fx.node.map_aggregate(node.args, to_gpu)
                node.kwargs = fx.node.map_aggregate(node.kwargs, to_gpu)
                args, kwargs = fx.node.map_arg((node.args, node.kwargs), known.__getitem__)
                known[node] = node.target(*args, **kwargs)
            if node in known:
                node.meta["val"] = known[node]
    return moved


@contextlib.contextmanager
def _pretended() -> Iterator[None]:
    """torch believes that there is a GPU, as far as its compiler asks."""
    from torch._inductor import compile_fx, scheduler, utils
    from torch._inductor.fx_passes import reinplace
    from torch._inductor.runtime.hints import DeviceProperties
    from torch.utils import _triton

    described = DeviceProperties(
        type="cuda",
        index=0,
        multi_processor_count=_PROPERTIES["multi_processor_count"],
        cc=90,
        major=9,
        regs_per_multiprocessor=_PROPERTIES["regs_per_multiprocessor"],
        max_threads_per_multi_processor=_PROPERTIES["max_threads_per_multi_processor"],
        warp_size=_PROPERTIES["warp_size"],
    )
    answers: dict[str, Any] = {
        "get_device_properties": SimpleNamespace(type="cuda", index=0, **_PROPERTIES),
        "get_device_capability": (9, 0),
        "get_rng_state": torch.zeros(16, dtype=torch.uint8),
        "is_available": True,
        "is_initialized": True,
        "device_count": 1,
        "current_device": 0,
        "current_stream": mock.Mock(),
        "_exchange_device": 0,
        "_maybe_exchange_device": 0,
        **dict.fromkeys(("set_rng_state", "set_device", "synchronize", "_lazy_init")),
    }
    with contextlib.ExitStack() as held:

        def replace(owner: Any, name: str, answer: Any) -> None:
            if hasattr(owner, name):
                held.enter_context(mock.patch.object(owner, name, answer))

        for name, answer in answers.items():
            replace(torch.cuda, name, lambda *_, answer=answer, **__: answer)
        for owner in (scheduler, utils, compile_fx, _triton):
            for name in ("has_triton", "has_triton_package"):
                replace(owner, name, lambda *_, **__: True)
        replace(_triton, "triton_hash_with_backend", lambda *_, **__: "")
        replace(torch.version, "cuda", "13.0")
        replace(DeviceProperties, "create", lambda *_: described)
        # It copies in order to know a result's size, which needs a device.
        replace(reinplace, "_inplace_generalized_scatter", lambda into, *_: into)
        yield
