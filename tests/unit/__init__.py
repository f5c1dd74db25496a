# SPDX-License-Identifier: Apache-2.0
"""Tests without input or output."""
