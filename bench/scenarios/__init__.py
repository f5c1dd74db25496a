# SPDX-License-Identifier: Apache-2.0
"""One scenario a module; `python -m bench NAME …` runs those named, without names all of them."""
