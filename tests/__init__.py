# SPDX-License-Identifier: Apache-2.0
"""Tests, by cost and then by room; a package so that they can share what they send."""
