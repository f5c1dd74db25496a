# SPDX-License-Identifier: Apache-2.0
"""Tests of buckets of ours; attached ones are in `tests/backends`."""
