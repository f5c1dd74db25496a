# SPDX-License-Identifier: Apache-2.0
"""Wrapping of secrets that must be read back: access-key secrets, credentials of buckets."""

from calotype.keys.provider import KeyProvider

__all__ = ["KeyProvider"]
