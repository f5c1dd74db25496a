# SPDX-License-Identifier: Apache-2.0
"""Clients of other people against the service."""
