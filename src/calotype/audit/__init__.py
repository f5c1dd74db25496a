# SPDX-License-Identifier: Apache-2.0
"""One record for each decision, kept in the database (contract iam.md, section 8)."""
