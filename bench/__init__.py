# SPDX-License-Identifier: Apache-2.0
"""Measurements: what calotype reaches beside what this machine can do at all.

`limits` has the yardsticks (nginx, bare sockets, memory of a process tree, interleaved medians),
`report` writes the table; scenarios on top import both. Everything runs on the loopback interface
and in a directory that the caller names; nothing is left running.
"""
