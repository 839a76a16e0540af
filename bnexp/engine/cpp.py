"""C++ functions built as Inductor builds its own kernels, once on a machine, and what Inductor is told before its first one.

Private names of torch: all of ``torch._inductor``. Without those of :func:`settle` everything is built all the same, more slowly.
"""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

Operator = Callable[..., Any]


def built(arguments: Sequence[str], source: str) -> Operator:
    """The function ``kernel`` of a C++ file, to be called from Python with tensors for its pointers and numbers.

    Args:
        arguments: C++ types of its arguments.
        source: the file.

    Raises:
        Exception: of many kinds: no compiler, no such header, another torch.
    """
    settle()
    from torch._inductor.codecache import CppPythonBindingsCodeCache

    function: Operator = CppPythonBindingsCodeCache.load_pybinding(arguments, source)
    return function


@cache
def settle() -> str:
    """Spare a machine's first compilation what it can do without; once in a process.

    Inductor compiles and loads some ten programs to find out which vectors the compiler can use, nine seconds of the first 25: one
    look at whether it takes their flags says the same. And every kernel is given tables for profilers.

    Returns:
        Why Inductor goes its own way; empty where it does not.
    """
    # a torch built for GPUs complains of their absence; torch sets the level itself, later
    logging.getLogger("torch.utils.cpp_extension").addFilter(lambda record: record.levelno >= logging.ERROR)
    try:
        from torch._inductor import config
        from torch._inductor.cpp_builder import get_cpp_compiler
        from torch._inductor.cpu_vec_isa import supported_vec_isa_list, x86_isa_checker

        config.aot_inductor.enable_line_tables = config.aot_inductor.enable_frame_pointer = False
        here = set(x86_isa_checker())
        flags = [isa.build_arch_flags() for isa in supported_vec_isa_list if here.issuperset(str(isa).split())]
        if flags and config.cpp.vec_isa_ok is None:
            command = [get_cpp_compiler(), *" ".join(flags).split(), "-fsyntax-only", "-x", "c++", "-"]
            subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)
            config.cpp.vec_isa_ok = True
    except Exception as error:  # no such name, no compiler, one that does not know these vectors
        return f"{type(error).__name__}: {error}"
    return ""
