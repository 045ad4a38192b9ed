"""Counts in the text of HLO, XLA's intermediate representation of a compiled function.

`tf.function(..., jit_compile=True).experimental_get_compiler_ir(batch)(stage=...)` gives it.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

__all__ = ["Written", "allocated_bytes", "operations", "written"]

_BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s64": 8, "u64": 8, "f64": 8}
_NOTHING_WRITTEN = ("parameter", "constant", "bitcast", "get-tuple-element", "tuple")


class Written(NamedTuple):
    """An instruction of a module's entry that computes something.

    Attributes:
        name: As the profiler calls it too.
        opcode: What it is: `dot`, `fusion`, `copy`.
        shape: Of its result.
        source: The TensorFlow operation that it comes from, if the text says so.
        operations: Floating-point operations of a matrix product or a convolution, else 0.
        moved: Bytes of its operands and its result.
    """

    name: str
    opcode: str
    shape: tuple[int, ...]
    source: str
    operations: int
    moved: int


class _Instruction(NamedTuple):
    """One line of HLO text."""

    name: str
    opcode: str
    type: str
    shape: tuple[int, ...]
    operands: tuple[str, ...]
    called: tuple[str, ...]
    text: str


_LINE = re.compile(r"^\s*(ROOT )?%?([\w.\-]+) = (.*)$")
# An axis of `<=32` has at most 32 entries: results of a conditional's branches differ in length.
_SHAPE = re.compile(r"^(\w+)\[([\d,<=]*)\]\S* ([\w\-]+)\((.*)$")
_TUPLE = re.compile(r"^\(.*?\) ([\w\-]+)\((.*)$")
_CALLED = re.compile(
    r"(?:to_apply|calls|body|condition|branch_computations|true_computation|false_computation)"
    r"=(?:\{([^}]*)\}|%?([\w.\-]+))"
)


def operations(text: str, named: str = "", fewest: bool = False) -> int:
    """Returns the floating-point operations of a module's matrix products and convolutions.

    Only what the module's result depends on counts.

    Args:
        text: The module, before XLA optimises it: stage `hlo`.
        named: Counts those only whose line holds this, such as a layer's name.
        fewest: Whether the cheapest branch of a conditional counts, and not the dearest.

    Raises:
        ValueError: The text is no HLO module, or has arithmetic in a loop, whose passes nobody
            knows beforehand.
    """
    computations, entry = _parse(text)
    return _counted(computations, entry, named, min if fewest else max)


def allocated_bytes(text: str) -> int:
    """Returns the bytes of all that a module's entry computation writes.

    A buffer that is used again counts each time, so that this is more than the memory that is
    held at once; it grows with whatever is computed in vain.

    Args:
        text: The module, as XLA has optimised it: stage `optimized_hlo`.

    Raises:
        ValueError: The text is no HLO module.
    """
    computations, entry = _parse(text)
    return sum(_size(i) for i in computations[entry].values() if _writes(i))


def written(text: str) -> list[Written]:
    """Returns what a module's entry computation does, instruction by instruction.

    Args:
        text: The module, as XLA has optimised it: stage `optimized_hlo`.

    Raises:
        ValueError: The text is no HLO module.
    """
    computations, entry = _parse(text)
    own = computations[entry]
    return [
        Written(
            i.name,
            i.opcode,
            i.shape,
            (re.findall(r'op_name="([^"]*)"', i.text) or [""])[0],
            _operations(i, own) if i.opcode in ("dot", "convolution") else 0,
            _size(i) + sum(_size(own[name]) for name in i.operands if name in own),
        )
        for i in own.values()
        if _writes(i)
    ]


def _writes(instruction: _Instruction) -> bool:
    return bool(instruction.type) and instruction.opcode not in _NOTHING_WRITTEN


def _size(instruction: _Instruction) -> int:
    """Returns the bytes of what an instruction gives; of a tuple, none."""
    return _BYTES.get(instruction.type, 4) * math.prod(instruction.shape) * bool(instruction.type)


def _parse(text: str) -> tuple[dict[str, dict[str, _Instruction]], str]:
    """Returns instructions by computation and name, and the entry's name.

    The last instruction of each, in order, is its root.
    """
    computations: dict[str, dict[str, _Instruction]] = {}
    entry, current, root = "", "", None
    for line in text.splitlines():
        head = re.match(r"^(ENTRY )?%?([\w.\-]+) .*\{$", line)
        if head and " = " not in line:
            current = head[2]
            computations[current], root = {}, None
            entry = current if head[1] else entry
        elif line.startswith("}") and root is not None:
            own = computations[current]
            own[root] = own.pop(root)
        elif match := _LINE.match(line):
            found = _instruction(match[2], match[3])
            computations[current][found.name] = found
            root = found.name if match[1] else root
    if not entry or root is None:
        raise ValueError("this is no text of an HLO module")
    return computations, entry


def _instruction(name: str, text: str) -> _Instruction:
    match = _SHAPE.match(text)
    if match:
        shape = tuple(int(n.removeprefix("<=")) for n in match[2].split(",") if n)
        kind, opcode, rest = match[1], match[3], match[4]
    else:
        opcode, rest = _TUPLE.match(text).groups()
        kind, shape = "", ()
    inside = rest.split("), ")[0] if opcode != "constant" else ""
    called = tuple(
        n.strip(" %") for pair in _CALLED.findall(rest) for n in "".join(pair).split(",")
    )
    operands = tuple(re.findall(r"%([\w.\-]+)", inside))
    return _Instruction(name, opcode, kind, shape, operands, called, rest)


def _counted(
    computations: Mapping[str, Any], name: str, named: str, pick: Callable, loop: bool = False
) -> int:
    """Counts what a computation does, and what it calls."""
    total, own = 0, computations[name]
    for instruction in _reached(own):
        if instruction.opcode in ("dot", "convolution"):
            if loop:
                raise ValueError(f"{instruction.name}: arithmetic in a loop cannot be counted")
            total += _operations(instruction, own) * (named in f"{name} {instruction.text}")
        inside = [
            _counted(computations, called, named, pick, loop or instruction.opcode == "while")
            for called in instruction.called
        ]
        total += pick(inside) if instruction.opcode == "conditional" else sum(inside)
    return total


def _reached(own: Mapping[str, _Instruction]) -> Iterator[_Instruction]:
    """Yields every instruction that a computation's root depends on."""
    waiting, seen = [next(reversed(own))], set()
    while waiting:
        instruction = own[waiting.pop()]
        if instruction.name in seen:
            continue
        seen.add(instruction.name)
        yield instruction
        waiting += instruction.operands


def _operations(instruction: _Instruction, own: Mapping[str, _Instruction]) -> int:
    """Counts one product or convolution."""
    left, right = (own[name].shape for name in instruction.operands)
    if instruction.opcode == "dot":
        contracted = _numbers(instruction.text, "lhs_contracting_dims")
        return 2 * math.prod(instruction.shape) * math.prod(left[n] for n in contracted)
    return _hlo_convolution(instruction, left, right)


def _numbers(text: str, name: str) -> list[int]:
    found = re.search(rf"{name}=\{{([\d,]*)\}}", text)
    return [int(n) for n in found[1].split(",") if n] if found else []


def _hlo_convolution(
    instruction: _Instruction, left: tuple[int, ...], right: tuple[int, ...]
) -> int:
    """Counts a convolution's pairs of entries, leaving out padding and what dilation puts in."""
    text = instruction.text
    if re.search(r"batch_group_count=(?!1\b)", text):
        raise ValueError(f"{instruction.name}: convolutions of batch groups are not counted")
    labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", text).groups()
    window = dict(item.split("=") for item in re.search(r"window=\{(.*?)\}", text)[1].split())
    rank = len(left) - 2

    def each(name, usual):
        return window.get(name, "x".join([usual] * rank)).split("x")

    pairs = 1
    parts = [each(n, "1") for n in ("size", "stride", "lhs_dilate", "rhs_dilate")]
    padding = each("pad", "0_0")
    for dim in range(rank):
        size, stride, spread, apart = (int(part[dim]) for part in parts)
        before = int(padding[dim].split("_")[0])
        inputs = left[labels[0].index(str(dim))]
        outputs = instruction.shape[labels[2].index(str(dim))]
        places = (
            out * stride + tap * apart - before for out in range(outputs) for tap in range(size)
        )
        pairs *= sum(0 <= p <= (inputs - 1) * spread and p % spread == 0 for p in places)
    batch, features = (instruction.shape[labels[2].index(label)] for label in "bf")
    return 2 * pairs * batch * features * right[labels[1].index("i")]
