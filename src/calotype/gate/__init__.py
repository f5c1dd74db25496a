# SPDX-License-Identifier: Apache-2.0
"""The only door: route, authenticate, enforce, transaction, answer, error, audit."""
