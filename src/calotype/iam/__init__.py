# SPDX-License-Identifier: Apache-2.0
"""Who may do what: policies, conditions, grants, the evaluator, agencies.

The engine is pure: a decision is a function of grants, policies and the question, without database,
HTTP or clock. Source: contract iam.md, sections 1, 2, 4.
"""
