# SPDX-License-Identifier: Apache-2.0
"""Tests of parts of flows that need no service."""
