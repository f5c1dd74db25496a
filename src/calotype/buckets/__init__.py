# SPDX-License-Identifier: Apache-2.0
"""User buckets: whose they are, their objects, and the only way to reach their bytes.

They stand in for the vendor's object storage (architecture 5). A bucket belongs to one account;
another account's bucket answers exactly like a missing one (security contract N3).
"""
