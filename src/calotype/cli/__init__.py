# SPDX-License-Identifier: Apache-2.0
"""Commands: one module per noun, loaded when it is called."""
