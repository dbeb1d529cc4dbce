"""Several processes that train as one: who does what, and the sums that make their result one process's.

Every process (rank) has the same networks and optimizers and works on its share of each batch. Shares are of
one size and every term of the loss is a mean over faces, so the mean over the ranks is the term of the whole
batch: each rank differentiates its term over the number of ranks, and gradients are summed. Batch statistics
are those of the whole batch, see `shared_statistics`. What is left between this and one process is rounding.

Gradients are summed by hand because DistributedDataParallel regroups them after the first step of every
process: three or more ranks then add in another order, and a resumed run would not have the same bits. Its
`find_unused_parameters` prevents that, but warns on stderr of a choice that the user has not made.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch import distributed as dist

from .errors import InputError

T = TypeVar("T")


class ToldElsewhere(InputError):
    """An error of the first rank, raised in the others as well: one message is enough."""


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together; alone, every method gives back what it got."""

    rank: int = 0
    count: int = 1

    @classmethod
    def here(cls) -> Ranks:
        """Those of torch.distributed's process group, where there is one."""
        if not dist.is_available() or not dist.is_initialized():
            return cls()
        return cls(dist.get_rank(), dist.get_world_size())

    @classmethod
    def of_environment(cls) -> Ranks:
        """Those that torchrun announces, before they have met; one alone where it was not torchrun."""
        if "TORCHELASTIC_RUN_ID" not in os.environ:
            return cls()
        return cls(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes files and prints."""
        return self.rank == 0

    def share(self, items: Sequence[T], key: str) -> Sequence[T]:
        """This rank's part of a batch. Raises InputError, naming `key`, where it cannot be divided."""
        if len(items) % self.count:
            raise InputError(
                f"{key}: expected a multiple of {self.count}, the number of processes, got {len(items)}"
            )
        size = len(items) // self.count
        return items[self.rank * size : (self.rank + 1) * size]

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Add up the gradients of all ranks, in one message."""
        if self.count == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(flat)
        for gradient, summed in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(summed.view_as(gradient))

    def means(self, values: dict[str, Tensor]) -> dict[str, float]:
        """The means of scalars over the ranks, as numbers."""
        stacked = torch.stack([value.detach() for value in values.values()])
        if self.count > 1:
            dist.all_reduce(stacked)
            stacked /= self.count
        return dict(zip(values, stacked.tolist(), strict=True))

    def signal_of_any(self, name: str) -> str:
        """A signal's name ("" for none) that any of the ranks has received."""
        if self.count == 1:
            return name
        number = torch.tensor(signal.Signals[name].value if name else 0)
        dist.all_reduce(number, dist.ReduceOp.MAX)
        return signal.Signals(int(number)).name if number else ""

    def from_leader(self, produce: Callable[[], T]) -> T:
        """What the first rank produces; its InputError becomes everybody's."""
        if self.count == 1:
            return produce()
        box: list[Any] = [None]
        failed: InputError | None = None
        if self.leads:
            try:
                box = [(produce(), "")]
            except InputError as error:
                failed, box = error, [(None, str(error))]
        dist.broadcast_object_list(box, device=torch.device("cpu"))
        value, problem = box[0]
        if failed is not None:
            raise failed
        if problem:
            raise ToldElsewhere(problem)
        return value

    def raise_any(self, problem: InputError | None) -> None:
        """Raise an InputError in all ranks when one of them has a problem."""
        if self.count > 1:
            told: list[Any] = [None] * self.count
            dist.all_gather_object(told, None if problem is None else str(problem))
            first = next((text for text in told if text is not None), None)
            if first is not None and self.leads:
                raise InputError(first)
            if first is not None:
                raise ToldElsewhere(first)
        if problem is not None:
            raise problem

    def copy_from_leader(self, modules: Iterable[nn.Module]) -> None:
        """Give every rank the first one's weights and buffers: hosts may differ in rounding."""
        if self.count > 1:
            for module in modules:
                for value in module.state_dict().values():
                    dist.broadcast(value, 0)

    def merge(self, columns: dict[str, Tensor]) -> None:
        """Fill each rank's rows of tensors on the CPU, all others 0, into those of all ranks."""
        for column in columns.values():
            dist.all_reduce(column.view(torch.uint8) if column.dtype == torch.bool else column)


@contextmanager
def joined(cuda: bool) -> Iterator[Ranks]:
    """Meet the other processes that torchrun started, if any, for as long as the block lasts."""
    announced = Ranks.of_environment()
    if announced.count == 1:
        yield announced
        return
    if cuda:
        torch.cuda.set_device(local_rank())
    store, rank, count = next(dist.rendezvous("env://"))
    # torchrun's store outlives the processes that it replaces: those must not find the addresses of the dead.
    store = dist.PrefixStore(f"attempt-{_attempt()}-of-{count}", store)
    # Tensors on the CPU go through gloo in either case: pools, decisions, signals.
    backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=count)
    try:
        yield Ranks.here()
    finally:
        dist.destroy_process_group()


def local_rank() -> int:
    """Which of this host's processes this one is."""
    return int(os.environ.get("LOCAL_RANK", 0))


def device_here(name: str) -> str:
    """The device that a process uses where the user said `name`: of several on a host, each its own GPU."""
    return f"cuda:{local_rank()}" if name == "cuda" and Ranks.of_environment().count > 1 else name


def processes_here() -> int:
    """The number of processes on this host."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if Ranks.here().count > 1 else 1


def restarted() -> bool:
    """Whether torchrun started this process in place of one that failed."""
    return _attempt() > 0


def _attempt() -> int:
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))


def shared_statistics(network: nn.Module, ranks: Ranks) -> nn.Module:
    """The network, with batch normalization over the batches of all ranks; weights and names stay."""
    if ranks.count == 1:
        return network
    if any(parameter.is_cuda for parameter in network.parameters()):
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.BatchNorm2d:
                setattr(module, name, SharedBatchNorm2d.like(child))
    return network


class SharedBatchNorm2d(nn.BatchNorm2d):
    """Batch normalization over all ranks' batches, of one size, on any device (torch's own needs CUDA)."""

    @classmethod
    def like(cls, other: nn.BatchNorm2d) -> SharedBatchNorm2d:
        """In place of another one: the same settings, and the same tensors for weights and statistics."""
        module = cls(other.num_features, other.eps, other.momentum, other.affine, other.track_running_stats)
        module._parameters, module._buffers = other._parameters, other._buffers
        return module.train(other.training)

    def forward(self, x: Tensor) -> Tensor:
        ranks = Ranks.here()
        if not self.training or ranks.count == 1:
            return super().forward(x)
        assert self.running_mean is not None and self.running_var is not None  # noqa: PT018
        assert self.num_batches_tracked is not None and self.momentum is not None  # noqa: PT018
        wide = x.float()  # statistics of half-precision maps need the room
        count = ranks.count * x[:, 0].numel()
        mean = _sum_over_ranks(wide.sum(dim=(0, 2, 3))) / count
        centered = wide - mean[:, None, None]
        variance = _sum_over_ranks(centered.square().sum(dim=(0, 2, 3))) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centered * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)


class _SumOverRanks(torch.autograd.Function):
    """The sum over the ranks. Each rank's result depends on all inputs, so gradients are summed as well."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        summed = x.clone()
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        summed = gradient.contiguous().clone()
        dist.all_reduce(summed)
        return summed


def _sum_over_ranks(x: Tensor) -> Tensor:
    return _SumOverRanks.apply(x)
