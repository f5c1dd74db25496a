# SPDX-License-Identifier: Apache-2.0
"""Tests of the jobs room with flows of their own."""
