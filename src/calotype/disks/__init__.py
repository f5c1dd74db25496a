# SPDX-License-Identifier: Apache-2.0
"""What image bytes mean: formats, the structural inspector, conversion and comparison.

Image bytes are hostile. They are parsed only in a sandboxed child (`worker`), by readers written
here that never follow a name and never allocate from a number they have read (security contract,
C1 to C4 and C7). The service imports `formats`, `inspect` and `convert`; nothing else of this room.
"""
