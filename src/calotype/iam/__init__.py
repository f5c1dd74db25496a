# SPDX-License-Identifier: Apache-2.0
"""Who may do what: accounts, people, policies, grants, credentials, and the decision itself.

The engine (matching to assume) is pure: a decision is a function of grants, policies and the
question, without database, HTTP or clock. Source: contract iam.md, sections 1, 2, 4.
"""
