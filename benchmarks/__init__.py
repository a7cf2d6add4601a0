"""Timings and memory, one module a comparison: `python -m benchmarks.NAME` prints a table. Nothing here is a test.

`README.md` beside this file lists them.
"""
