# SPDX-License-Identifier: Apache-2.0
"""Long operations from submission to publication, without HTTP: real tools, real stores."""
