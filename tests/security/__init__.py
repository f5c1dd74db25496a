# SPDX-License-Identifier: Apache-2.0
"""What nobody may be able to do: tenancy, signatures, secrets, the audit trail, abuse."""
