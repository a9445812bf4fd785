"""One question a distinct value: what Python must decide is asked once for each different text of a column."""

from collections.abc import Callable

import pyarrow as pa


def each_distinct(a: pa.Array, answers: Callable[[list[str]], list[str | None]]) -> pa.Array:
    """The column of answers to the values of `a`; null stays null. `answers` sees each different value once."""
    coded = a.dictionary_encode()
    known = pa.array(answers(coded.dictionary.to_pylist()), pa.string())
    return known.take(coded.indices)


def looked_up(a: pa.Array, table: Callable[[str], str | None]) -> pa.Array:
    """`each_distinct` for a question about one value alone."""
    return each_distinct(a, lambda values: [table(value) for value in values])
