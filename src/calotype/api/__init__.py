# SPDX-License-Identifier: Apache-2.0
"""The faces: thin translators from the wire to the core and back, one room for each dialect."""
