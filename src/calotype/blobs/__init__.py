# SPDX-License-Identifier: Apache-2.0
"""Blobs: immutable bytes, their hashes, who refers to them, and how they come in.

A blob is named by an id of ours, never by anything a tenant gave; rows tell its size, hashes and
references (architecture 6). Knows stores and the database, and neither images nor HTTP.
"""
