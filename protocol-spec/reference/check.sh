#!/bin/sh
# Vectors and tests of the reference client. Needs python3 with the package `cryptography`.
set -eu
cd "$(dirname "$0")"
exec python3 check.py "$@"
