# SPDX-License-Identifier: Apache-2.0
"""Tests generated from the operation table."""
