# SPDX-License-Identifier: Apache-2.0
"""Durable jobs: our row is the truth, an engine runs the steps, nothing here knows images.

`app.py` hands the runner its flows as a table name -> Flow (contract jobs.md, architecture 5).
"""
