# SPDX-License-Identifier: Apache-2.0
"""Tests of the policy engine, without input or output."""
