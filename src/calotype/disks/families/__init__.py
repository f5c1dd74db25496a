# SPDX-License-Identifier: Apache-2.0
"""One reader per family of disk formats.

Each module offers `header(reader)`, which checks what a first look can and knows the virtual size,
and `check(reader, header)`, which checks every table and returns a `Finding`. Numbers and limits
are those of the published format descriptions; where a published limit is wider than any honest
file, the narrower one is used and said.
"""
