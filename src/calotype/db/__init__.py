# SPDX-License-Identifier: Apache-2.0
"""Connection, transactions, tables and migrations. Queries live in each room's `store.py`."""
