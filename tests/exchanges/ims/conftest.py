# SPDX-License-Identifier: Apache-2.0
"""The site and the tenants of the other exchanges, and what this dialect answers."""

from __future__ import annotations

from tests.exchanges.native.conftest import anybody, operator, other, own_site, site, tenant

__all__ = ["anybody", "operator", "other", "own_site", "site", "tenant"]
