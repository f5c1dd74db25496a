# SPDX-License-Identifier: Apache-2.0
"""Operations that outlive a request, and the few that need two rooms of one level.

A long one is a submission and a flow: steps, publication, undo (contract jobs.md, architecture 5).
Nothing here knows HTTP.
"""
