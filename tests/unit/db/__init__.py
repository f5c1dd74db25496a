# SPDX-License-Identifier: Apache-2.0
"""The database room: sessions, migrations, names of the schema."""
