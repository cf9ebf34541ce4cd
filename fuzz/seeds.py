"""Turns the specification's vectors into seeds: seeds.py VECTORS OUT.

Every hexadecimal string of at least four bytes in a JSON file becomes one input, and so
does every file that is not text. Inputs are named by their hash, so running it again
changes nothing.
"""

import hashlib
import json
import re
import sys
from pathlib import Path

HEX = re.compile(r"(?:[0-9a-f]{2}){4,}")
LONGEST = 65536


def strings(value):
    """Every string inside a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


def inputs(path):
    """The byte strings of one file."""
    content = path.read_bytes()
    if path.suffix == ".json":
        for text in strings(json.loads(content)):
            if HEX.fullmatch(text):
                yield bytes.fromhex(text)
    elif path.suffix not in (".md", ".txt", ".py"):
        yield content


def main():
    vectors, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    count = 0
    for path in sorted(path for path in vectors.rglob("*") if path.is_file()):
        for content in inputs(path):
            if len(content) <= LONGEST:
                (out / hashlib.sha256(content).hexdigest()[:32]).write_bytes(content)
                count += 1
    print(f"{count} seeds from {vectors}")


main()
