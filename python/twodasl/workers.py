"""Worker processes that make batches ahead of their use, and that end when whoever uses them does.

Each worker has a pipe of its own and shares nothing else: no queue, lock or shared memory that a killed
process could leave unusable. Keys go down the pipes in turn and batches come back in the same order, so that
the result does not depend on the number of workers. A worker whose pipe is closed ends; one that is still
busy when nobody wants its batches any more is killed, because nothing that it does outlives it.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import pickle
import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import connection, resource_tracker
from types import TracebackType
from typing import Any, TypeVar

import cv2
import torch
from torch import Tensor

from .errors import InputError

Batch = dict[str, Tensor]
K = TypeVar("K")

# Batches that each worker is asked for before the first of them is taken.
_AHEAD = 2
# Seconds for a killed worker to be gone; one that waits for a dead network drive takes longer, and is left.
_PATIENCE = 5.0
# What ends a worker whose script calls for workers again while it is imported.
_UNGUARDED = 113
_NAME = "twodasl-worker"
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def made_ahead(
    make: Callable[[K], Batch], keys: Sequence[K], workers: int, key: str
) -> Generator[Batch, None, None]:
    """`make(key)` for every key, in order. Closing the iterator ends the workers.

    Args:
        make: must be picklable where there are workers; the tensors that it returns are on the CPU.
        workers: processes, each of one thread; 0 makes everything in this one. They are spawned: OpenCV's and
            torch's threads do not survive a fork, and calls then hang.
        key: what the number of workers is called in messages.

    Raises:
        InputError: a worker cannot be started, ran out of memory, or died. What `make` raises.
    """
    count = min(workers, len(keys))
    if count < 1:
        yield from map(make, keys)
        return
    refuse_import(key)
    with _Workers(make, count, key) as team:
        lag = count * _AHEAD
        for position in range(len(keys) + lag):
            if position >= lag:
                yield team.take((position - lag) % count)
            if position < len(keys):
                team.ask(position % count, keys[position])


def refuse_import(what: str) -> None:
    """Raise where a worker process imports the script that started it, and the script would start workers.

    A spawned process imports its parent's script. Without `if __name__ == "__main__":` that begins
    everything again, without end.
    """
    process = multiprocessing.current_process()
    if not getattr(process, "_inheriting", False):  # set while the script is imported, and only then
        return
    if process.name.startswith(_NAME):
        raise SystemExit(_UNGUARDED)  # the process that started this one says what is wrong
    raise InputError(_unguarded(what))


def _unguarded(what: str) -> str:
    script = getattr(sys.modules.get("__main__"), "__file__", None) or "the script"
    return (
        f"{script}: its worker processes ({what}) import it, and it starts over in each of them; put"
        ' `if __name__ == "__main__":` before what it does, or ask for no workers'
    )


class _Workers:
    def __init__(self, make: Callable[[Any], Batch], count: int, key: str) -> None:
        self._key, self._owner = key, os.getpid()
        self._processes: list[Any] = []
        self._pipes: list[Any] = []
        self._received: list[deque[bytes]] = [deque() for _ in range(count)]
        if multiprocessing.current_process().daemon:
            raise InputError(f"{key}: a daemonic process can have no workers; set it to 0")
        try:
            packed = pickle.dumps(make, protocol=5)
        except Exception as error:  # pickle's own, and whatever the faces' classes raise
            raise InputError(
                f"{key}: the faces cannot be sent to worker processes ({error}); set it to 0"
            ) from error
        # An error's traceback may keep the batches' iterator until the interpreter waits for its children.
        atexit.register(self.close)
        try:
            with _signals_held(), _single_threaded_children():
                for number in range(count):
                    self._start(f"{_NAME}-{number}")
            # Not as the processes' argument: writing that would block for ever where one dies early.
            for number, pipe in enumerate(self._pipes):
                try:
                    pipe.send_bytes(packed)
                except OSError:
                    raise self._died(number) from None
        except BaseException:
            self.close()
            raise

    def _start(self, name: str) -> None:
        context = multiprocessing.get_context("spawn")
        try:
            here, there = context.Pipe()
            self._pipes.append(here)
            process = context.Process(target=_work, args=(there,), name=name, daemon=True)
            process.start()
            there.close()
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"{self._key}: a worker cannot be started ({reason}); set fewer") from error
        self._processes.append(process)

    def __enter__(self) -> _Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, worker: int, key: Any) -> None:
        """Give a worker something to make."""
        try:
            self._pipes[worker].send(key)
        except OSError:
            raise self._died(worker) from None

    def take(self, worker: int) -> Batch:
        """The oldest batch of a worker; what others have finished meanwhile is received as well."""
        while not self._received[worker]:
            ready = connection.wait(self._pipes)
            for other in (number for number, pipe in enumerate(self._pipes) if pipe in ready):
                try:
                    self._received[other].append(self._pipes[other].recv_bytes())
                except (EOFError, OSError):
                    raise self._died(other) from None
        error, arrays, trace = pickle.loads(self._received[worker].popleft())
        if error is None:
            return {name: torch.from_numpy(array) for name, array in arrays.items()}
        if isinstance(error, MemoryError):
            raise InputError(f"{self._key}: a worker process ran out of memory; set fewer")
        if isinstance(error, InputError):
            raise error
        raise error from RuntimeError(f"in a worker process:\n{trace}")

    def close(self) -> None:
        """End all workers, whatever they are doing."""
        if os.getpid() != self._owner:  # a fork of the process that they work for
            return
        for process in self._processes:
            process.kill()
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(_PATIENCE)
        atexit.unregister(self.close)

    def _died(self, worker: int) -> InputError:
        process = self._processes[worker]
        process.join(_PATIENCE)
        code = process.exitcode
        if code == _UNGUARDED:
            return InputError(_unguarded(self._key))
        how = f"exit code {code}"
        if code is not None and code < 0:
            how = signal.Signals(-code).name if -code in list(signal.Signals) else f"signal {-code}"
        return InputError(
            f"{self._key}: a worker process ended unexpectedly ({how}); where memory ran out, set fewer"
        )


def _work(pipe: Any) -> None:
    """What a worker does until its pipe is closed."""
    # Ctrl-C and schedulers address the whole group: the process that uses the batches decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        make = _unpacked(pipe.recv_bytes())
        while True:
            pipe.send_bytes(_answer(make, pipe.recv()))
    except (EOFError, OSError):
        return


def _unpacked(packed: bytes) -> Callable[[Any], Batch]:
    try:
        return pickle.loads(packed)
    except Exception as error:
        reason = f"the faces cannot be read in a worker process ({error}); ask for no workers"

    def refuse(key: Any) -> Batch:
        raise InputError(reason)

    return refuse


def _answer(make: Callable[[Any], Batch], key: Any) -> bytes:
    """The batch, or the exception in its place."""
    try:
        # As arrays: tensors would travel through files in shared memory, of which some machines allow few.
        arrays = {name: value.numpy() for name, value in make(key).items()}
        return pickle.dumps((None, arrays, ""), protocol=5)
    except Exception as error:  # whatever it is, it is for the process that wanted the batch
        trace = "".join(traceback.format_exception(error))
        try:
            answer = pickle.dumps((error, {}, trace))
            pickle.loads(answer)
        except Exception:  # an exception that cannot travel
            answer = pickle.dumps((RuntimeError(f"{type(error).__name__}: {error}"), {}, trace))
        return answer


@contextmanager
def _signals_held() -> Iterator[None]:
    """Processes started in the block never see SIGINT and SIGTERM; this one does, after it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # starting it would let the signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _single_threaded_children() -> Iterator[None]:
    """Workers share the cores among them: their libraries must not start threads of their own."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
