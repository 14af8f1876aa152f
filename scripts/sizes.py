"""Check that functions and files stay small and that what is public says what it is.

A function has at most 60 lines, 95% of all have at most 35; a file has at most 400; every module, public class and
public function has a docstring.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

LONGEST_FUNCTION = 60
USUAL_FUNCTION = 35
LONGEST_FILE = 400

Function = ast.FunctionDef | ast.AsyncFunctionDef


def main(folders: list[str]) -> int:
    """Print what is too long or says nothing; return the exit status."""
    lengths: list[int] = []
    problems: list[str] = []
    for path in sorted(path for folder in folders for path in Path(folder).rglob("*.py")):
        problems += inspect(path, lengths)
    long = sum(length > USUAL_FUNCTION for length in lengths)
    if long > len(lengths) * 0.05:
        problems.append(f"{long} of {len(lengths)} functions are longer than {USUAL_FUNCTION} lines")
    print("\n".join([*problems, f"{len(lengths)} functions, {long} longer than {USUAL_FUNCTION} lines"]))
    return 1 if problems else 0


def inspect(path: Path, lengths: list[int]) -> list[str]:
    """Return the problems of one file, and add the lengths of its functions to `lengths`."""
    text = path.read_text()
    tree = ast.parse(text)
    problems = []
    if text.count("\n") > LONGEST_FILE:
        problems.append(f"{path}: {text.count(chr(10))} lines")
    if text.strip() and ast.get_docstring(tree) is None:
        problems.append(f"{path}: no docstring")
    for node in ast.walk(tree):
        if isinstance(node, Function):
            length = (node.end_lineno or 0) - node.lineno + 1
            lengths.append(length)
            if length > LONGEST_FUNCTION:
                problems.append(f"{path}:{node.lineno} {node.name}: {length} lines")
    for node in tree.body:
        if not isinstance(node, ast.ClassDef | Function) or node.name.startswith("_"):
            continue
        if ast.get_docstring(node) is None:
            problems.append(f"{path}:{node.lineno} {node.name}: no docstring")
    return problems


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
