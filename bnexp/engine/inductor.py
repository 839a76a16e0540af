"""Inductor: a traced graph as fused kernels, kept on the disk for every process of this machine.

Private names of torch: ``torch._inductor.compile``, where whatever stops it leaves the eager step, with the reason; those of
:func:`kept_on_disk`, without which every process compiles for itself; and those of :func:`few_units`, without which every kernel is
compiled by itself.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

from torch import Tensor
from torch.fx import GraphModule
from torch.utils._pytree import tree_leaves

from bnexp.engine import cpp
from bnexp.engine.convolved import READS
from bnexp.engine.kernels import first_line
from bnexp.engine.step import say_once

#: Kernels that the C++ compiler is given at a time.
KERNELS_A_UNIT = 6

#: Bytes of a tensor that is not in a core's own cache any more when the next kernel wants it.
CACHED = 2**20

#: Floats, 2 KB. Half of it and half as much again are no better.
AHEAD = 512

#: A line of Inductor's that reads or writes a vector of a tensor that the outermost loop goes through.
_VECTOR = re.compile(
    r"^ *(?:auto tmp\d+ = at::vec::Vectorized<float>::loadu\(|(?P<write>tmp\d+\.store\())"
    r"(?P<place>\w+ \+ static_cast<int64_t>\(.*?\bx0\b.*?\))(?:, static_cast<int64_t>\(\d+L?\))?\);$",
    re.MULTILINE,
)

#: What is told where they are not.
ONE_BY_ONE = "kernels are compiled one by one, which takes longer ({error})"


def fused(graph: GraphModule, tensors: Sequence[Tensor]) -> Callable[..., Any]:
    """The kernels that Inductor makes of a graph of ``tensors``."""
    cpp.settle()
    # here, so that a torch without it can still train side by side
    from torch._inductor import compile as inductor

    with kept_on_disk() as (of_fixed_shape, options), few_units(prefetching if _leaves_caches(graph) else str):
        options |= {READS: graph.meta[READS]} if READS in graph.meta else {}
        return inductor(graph, [of_fixed_shape(tensor) for tensor in tensors], options)


@contextmanager
def kept_on_disk() -> Iterator[tuple[Callable[[Tensor], Tensor], dict[str, Any]]]:
    """Inductor finds again what any process made of the same graph, in a second instead of ten: what it has to be told for that.

    It looks only where there is something to note shapes in, and would then leave open what a graph does not settle: tensors are
    given as stand-ins of their own shapes. Its key for a graph leaves out the processor's vectors, by which the kernels count, so
    these are among the options. A torch that has none of this compiles every time, and that is told.
    """
    try:
        from torch._guards import TracingContext, tracing
        from torch._inductor.cpu_vec_isa import pick_vec_isa
        from torch._subclasses.fake_tensor import FakeTensorMode
        from torch.fx.experimental.symbolic_shapes import ShapeEnv

        mode = FakeTensorMode(shape_env=ShapeEnv())
        of_fixed_shape: Callable[[Tensor], Tensor] = partial(mode.from_tensor, static_shapes=True)
        context: AbstractContextManager[Any] = tracing(TracingContext(mode))
        options = {"cpp.simdlen": pick_vec_isa().bit_width() or None}
    except (ImportError, AttributeError, TypeError) as error:
        say_once(f"compiled kernels are not found again by other processes ({first_line(error)})")
        context, options, of_fixed_shape = nullcontext(), {}, lambda tensor: tensor
    with context:
        yield of_fixed_shape, options


def _leaves_caches(graph: GraphModule) -> bool:
    """Whether it has tensors that a processor's core does not keep from one kernel to the next."""
    values = tree_leaves([node.meta.get("val") for node in graph.graph.nodes])
    return any(value.nbytes >= CACHED for value in values if isinstance(value, Tensor))


def prefetching(source: str) -> str:
    """A kernel that asks for what it will read and write ``AHEAD`` floats later, which is under way by then.

    A processor does so by itself within a page of 4 KB and for what is read. What stands between the convolutions of ``model=cnn``
    takes an eighth less.
    """
    return _VECTOR.sub(lambda line: f"__builtin_prefetch({line['place']} + {AHEAD}, {int(bool(line['write']))});{line[0]}", source)


@contextmanager
def few_units(rewritten: Callable[[str], str] = str) -> Iterator[None]:
    """While it is entered, Inductor's kernels for the CPU are compiled ``KERNELS_A_UNIT`` at a time instead of one at a time.

    Of the second or two that one takes, 0.9 s are the header that all of them include: its templates are made anew for every unit,
    precompiled or not. What cannot be compiled together, for whatever reason, is compiled kernel by kernel, as torch does it, and
    that is told.

    Args:
        rewritten: makes of a kernel's source the one that is compiled.
    """
    try:
        from torch._inductor.async_compile import AsyncCompile, get_compile_threads
        from torch._inductor.codecache import LambdaFuture

        alone = AsyncCompile.cpp_pybinding
        waits = get_compile_threads() > 1  # with one thread torch wants a kernel at once and not the promise of one
    except (ImportError, AttributeError) as error:
        say_once(ONE_BY_ONE.format(error=first_line(error)))
        yield
        return
    pending: list[_Kernel] = []

    def cpp_pybinding(compiler: Any, argtypes: list[str], source_code: str) -> Any:
        if not waits:
            return alone(compiler, argtypes, rewritten(source_code))
        kernel = _Kernel(argtypes, rewritten(source_code))
        pending.append(kernel)

        def compiled() -> Any:
            try:
                _begin(pending, compiler.submit)
                return kernel.compiled()
            except Exception as error:  # torch's own way, with its own words for what is wrong
                made = alone(compiler, argtypes, source_code).result()
                say_once(ONE_BY_ONE.format(error=first_line(error)))
                return made

        return LambdaFuture(compiled)

    torchs: Any = AsyncCompile
    torchs.cpp_pybinding = cpp_pybinding
    try:
        yield
    finally:
        torchs.cpp_pybinding = alone


class _Kernel:
    """A C++ function called ``kernel``, and where it is compiled.

    Args:
        argtypes: of its arguments, in C++.
        source: its file.
    """

    def __init__(self, argtypes: Sequence[str], source: str) -> None:
        self.argtypes = argtypes
        self.source = source
        self.name = "kernel"
        self.library: Callable[[], Any] | None = None

    def compiled(self) -> Any:
        """The function, for calls from Python; waits for its unit."""
        assert self.library
        torchs = self.library()
        if self.name == "kernel":
            return torchs
        module = torchs.__self__
        spec = importlib.util.spec_from_file_location(f"{module.__name__}.{self.name}", module.__file__)
        assert spec is not None
        assert spec.loader is not None
        own = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(own)
        return getattr(own, self.name)

    def as_module(self) -> str:
        """C++ of the function and torch's binding under ``name``, in a namespace, since all bindings define the same helpers."""
        from torch._inductor.codecache import CppPythonBindingsCodeCache as Torchs

        source, count = re.subn(r"\bkernel(?=\()", self.name, self.source)
        assert count == 1, f"{count} functions are called kernel"
        given = ", ".join(f"parse_arg<{kind.replace('const ', '')}>(args, {n})" for n, kind in enumerate(self.argtypes))
        call = Torchs.call_entry_function.replace("kernel", self.name).format(given)
        words = {"entry_func": self.name, "arg_len": len(self.argtypes), "call_entry_func": call, "extra_parse_arg": ""}
        return f"namespace of_{self.name} {{\n{source}\n{Torchs.suffix_template.format(**words)}\n}}\n"


def _begin(pending: list[_Kernel], submit: Callable[..., Any]) -> None:
    """Divide what is pending evenly into units, and start to compile each; its last kernel keeps its name and torch's binding."""
    from torch._inductor.codecache import CppPythonBindingsCodeCache

    num_units = -(-len(pending) // KERNELS_A_UNIT)
    units = [pending[place::num_units] for place in range(num_units)]
    pending.clear()
    for *others, last in units:
        for place, other in enumerate(others):
            other.name = f"kernel_{place}"
        code = "\n".join([*(other.as_module() for other in others), last.source])
        includes = dict.fromkeys(re.findall("^ *#include.*", code, re.MULTILINE))
        code = "\n".join([*includes, re.sub("^ *#include.*", "", code, flags=re.MULTILINE)])
        library = CppPythonBindingsCodeCache.load_pybinding_async(last.argtypes, code, submit_fn=submit)
        for one in (*others, last):
            one.library = library
