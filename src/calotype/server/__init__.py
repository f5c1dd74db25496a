# SPDX-License-Identifier: Apache-2.0
"""The HTTP server: one strict HTTP/1.1 stack in front of the ASGI application that is handed in.

Owns sockets, request framing, limits of time and size on a connection, sending of files, and the
end of the process (drain). Knows no operation, no path and no caller. Contract: security page,
section 6 (request smuggling, slow bodies); architecture, sections 2, 3 and 6.
"""
