"""Evenly spaced values of a sweep: ``linspace()`` and ``logspace()`` on a command line."""

from __future__ import annotations

import math
import re

from bnexp.config.meant import as_typed
from bnexp.errors import UserError

#: Values that one of them may have.
MOST = 10_000


def spaced(key: str, value: str) -> str:
    """``linspace(first,last,count)`` and ``logspace(first,last,count)``, NumPy's, as a comma list of short numbers.

    The exponents of ``logspace`` are of ten; six digits are kept, which are then the very values of the runs.

    Example:
        >>> spaced("optimizer.lr", "logspace(-3,0,4)"), spaced("train.batch_size", "linspace(20,60,3)")
        ('0.001,0.01,0.1,1', '20,40,60')

    Raises:
        UserError: anything but two numbers and a whole number of at least 2, or numbers that are too large.
    """
    called = re.fullmatch(r"(linspace|logspace)\((.*)\)", value.strip(), re.DOTALL)
    if not called:
        return value
    example = "logspace(-3,0,7)" if called[1] == "logspace" else "linspace(0,1,5)"
    try:
        first, last, number = (float(part) for part in called[2].split(","))
        count = int(number)
        if count != number or not 2 <= count <= MOST or first == last:
            raise ValueError
        line = [first + (last - first) * place / (count - 1) for place in range(count)]
        numbers = [f"{10.0**one if called[1] == 'logspace' else one:.6g}" for one in line]
    except (ValueError, OverflowError) as error:
        what = f"{called[1]} takes two different numbers and how many values there are, 2 to {MOST:,}"
        raise UserError(what, got=f"{key}={value}", todo=as_typed(f"{key}={example}")) from error
    if not all(math.isfinite(float(one)) for one in numbers) or len(set(numbers)) < count:
        what = f"the values of this {called[1]} cannot be told apart"
        raise UserError(what, got=f"{key}={value}", todo=as_typed(f"{key}={example}"))
    return ",".join(f"{int(float(one))}" if float(one) == int(float(one)) else one for one in numbers)
