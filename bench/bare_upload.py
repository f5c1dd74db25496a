# SPDX-License-Identifier: Apache-2.0
"""The limit of an upload in Python: blocking sockets, md5 beside sha512 beside the write.

`python -m bench.bare_upload PORT DIRECTORY` takes `PUT /name` with a Content-Length, into a new
file. Each connection has a thread that reads into eight blocks of 1 MiB and one thread for each of
the three consumers; a block is free again when all three are done with it. No checks of any kind.
"""

from __future__ import annotations

import hashlib
import os
import queue
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

MIB = 1024 * 1024
BLOCKS = 8

Piece = tuple["Block", int] | None


class Block:
    """One reused buffer and how many consumers still read it."""

    def __init__(self) -> None:
        self.data = memoryview(bytearray(MIB))
        self.readers = 0
        self.lock = threading.Lock()


class Pipeline:
    """md5, sha512 and the file, each in its thread, fed from one pool of blocks."""

    def __init__(self, path: Path) -> None:
        self.free: queue.SimpleQueue[Block] = queue.SimpleQueue()
        for _ in range(BLOCKS):
            self.free.put(Block())
        self.md5 = hashlib.md5(usedforsecurity=False)
        self.sha512 = hashlib.sha512()
        self.fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        self.queues: list[queue.SimpleQueue[Piece]] = []
        self.threads: list[threading.Thread] = []
        for consume in (self.md5.update, self.sha512.update, self._write):
            pieces: queue.SimpleQueue[Piece] = queue.SimpleQueue()
            thread = threading.Thread(target=self._work, args=(pieces, consume), daemon=True)
            self.queues.append(pieces)
            self.threads.append(thread)
            thread.start()

    def put(self, block: Block, size: int) -> None:
        block.readers = len(self.queues)
        for pieces in self.queues:
            pieces.put((block, size))

    def finish(self) -> str:
        for pieces in self.queues:
            pieces.put(None)
        for thread in self.threads:
            thread.join()
        os.close(self.fd)
        return f"{self.md5.hexdigest()} {self.sha512.hexdigest()}"

    def _write(self, data: memoryview) -> None:
        while data:
            data = data[os.write(self.fd, data) :]

    def _work(
        self, pieces: queue.SimpleQueue[Piece], consume: Callable[[memoryview], object]
    ) -> None:
        while (piece := pieces.get()) is not None:
            block, size = piece
            consume(block.data[:size])
            with block.lock:
                block.readers -= 1
                last = block.readers == 0
            if last:
                self.free.put(block)


def _head(sock: socket.socket) -> tuple[str, int, bytes]:
    held = b""
    while b"\r\n\r\n" not in held:
        got = sock.recv(65536)
        if not got:
            raise ConnectionError("no request")
        held += got
    head, _, rest = held.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    length = 0
    for line in lines:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            length = int(value)
    return first.split()[1].rsplit("/", 1)[-1], length, rest


def _serve(sock: socket.socket, directory: Path) -> None:
    with sock:
        try:
            name, left, rest = _head(sock)
        except ConnectionError:
            return
        pipeline = Pipeline(directory / name)
        while left:
            block = pipeline.free.get()
            size = len(rest)
            block.data[:size] = rest
            rest = b""
            wanted = min(left, MIB)
            while size < wanted:
                got = sock.recv_into(block.data[size:wanted])
                if not got:
                    pipeline.finish()
                    return
                size += got
            pipeline.put(block, size)
            left -= size
        text = pipeline.finish().encode("ascii")
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))


def main() -> None:
    sys.setswitchinterval(0.0005)
    port, directory = int(sys.argv[1]), Path(sys.argv[2])
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=_serve, args=(sock, directory), daemon=True).start()


if __name__ == "__main__":
    main()
