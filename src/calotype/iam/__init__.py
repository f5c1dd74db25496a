# SPDX-License-Identifier: Apache-2.0
"""Who may do what: accounts, people, policies, grants, credentials, and the decision itself."""
