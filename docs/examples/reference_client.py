#!/usr/bin/env python3
"""A game server in some other language: everything of sidekick's session protocol that one needs, with nothing but Python 3's
standard library. Written from docs/PROTOCOL.md; read both side by side.

Its game is a counter. Each tick adds one, records {"n": count} to the stream <server>/count, and sets the state keys "count" and
"sum". So after any death the restored state must be n and n(n+1)/2, and the stream 1, 2, 3, … without a gap.

    [[server]]
    id = "counter"
    command = ["python3", "reference_client.py"]

COUNTER_WITNESS names a file to which it writes what it was told; COUNTER_TICK_MS says how long a tick takes.
"""

import os
import random
import select
import socket
import struct
import sys
import time

PROTOCOL = 1
BEAT_SECONDS = 0.25
REFUSED = 70  # The exit code of a process that must not play on.

NIL, BOOL, INT, FLOAT, STRING, STRING_NAME, DICTIONARY, ARRAY, BYTES = 0, 1, 2, 3, 4, 21, 27, 28, 29
FLAG_64 = 0x10000
DEPTH_MAX = 100


def encode(value):
    """The bytes of Godot's var_to_bytes(value)."""
    if value is None:
        return struct.pack("<I", NIL)
    if isinstance(value, bool):  # Before int: a bool is one in Python.
        return struct.pack("<II", BOOL, value)
    if isinstance(value, int):
        if -(2**31) <= value < 2**31:
            return struct.pack("<Ii", INT, value)
        return struct.pack("<Iq", INT | FLAG_64, value)
    if isinstance(value, float):
        return struct.pack("<Id", FLOAT | FLAG_64, value)
    if isinstance(value, str):
        return struct.pack("<I", STRING) + sized(value.encode())
    if isinstance(value, (bytes, bytearray)):
        return struct.pack("<I", BYTES) + sized(bytes(value))
    if isinstance(value, (list, tuple)):
        return struct.pack("<II", ARRAY, len(value)) + b"".join(map(encode, value))
    if isinstance(value, dict):
        pairs = b"".join(encode(key) + encode(item) for key, item in value.items())
        return struct.pack("<II", DICTIONARY, len(value)) + pairs
    raise TypeError(f"{type(value).__name__} has no Variant here")


def sized(data):
    """A length, the bytes, and zeros up to a multiple of four."""
    return struct.pack("<I", len(data)) + data + bytes(-len(data) % 4)


class Reader:
    """Reads one Variant. Every count is checked against the bytes that remain."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, length):
        if length > len(self.data) - self.at:
            raise ValueError("a value is longer than its bytes")
        self.at += length
        return self.data[self.at - length : self.at]

    def unpack(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def sized(self):
        length = self.unpack("<I")
        data = self.take(length)
        self.take(-length % 4)
        return data

    def count(self):
        # The top bit says that the container is shared, which means nothing here.
        count = self.unpack("<I") & 0x7FFFFFFF
        if count * 4 > len(self.data) - self.at:
            raise ValueError("a count is larger than its bytes")
        return count

    def value(self, depth=0):
        if depth > DEPTH_MAX:
            raise ValueError("nested too deeply")
        header = self.unpack("<I")
        kind, wide = header & 0xFF, bool(header & FLAG_64)
        if kind == NIL:
            return None
        if kind == BOOL:
            return self.unpack("<I") != 0
        if kind == INT:
            return self.unpack("<q" if wide else "<i")
        if kind == FLOAT:
            return self.unpack("<d" if wide else "<f")
        if kind in (STRING, STRING_NAME):
            return self.sized().decode()
        if kind == BYTES:
            return self.sized()
        if kind == ARRAY and header >> 16 == 0:
            return [self.value(depth + 1) for _ in range(self.count())]
        if kind == DICTIONARY and header >> 16 == 0:
            return {self.value(depth + 1): self.value(depth + 1) for _ in range(self.count())}
        raise ValueError(f"Variant type {header:#x} is not read by this client")


class Session:
    """The connection: batches out, acknowledgements in. Nothing here waits; `poll` does what can be done now."""

    def __init__(self):
        self.server = os.environ["SIDEKICK_SERVER"]
        self.epoch = 0
        self.restored = False  # It has its state and plays.
        self.playing_told = False
        self.sealed = 0  # The last batch that was made, acknowledged or not.
        self.acked = 0
        self.waiting = []  # (number, frame), not acknowledged, oldest first.
        self.sent = 0  # How many of them went out on this connection.
        self.window = (1, 1)
        self.state, self.tail = {}, []
        self.socket = None
        self.pause = 0.01
        self.retry_at = 0.0
        self.live = False
        self.drain_at = None
        self.full = False
        self.incoming, self.outgoing = b"", b""

    # What the game calls.

    def batch(self, tick, events=(), put=(), delete=()):
        """Everything of one tick: [(stream, value)], [(key, value)], [key]."""
        flat = lambda pairs: [part for name, value in pairs for part in (name, encode(value))]
        self.sealed += 1
        message = {"type": "batch", "batch": self.sealed, "tick": tick}
        message |= {"events": flat(events), "put": flat(put), "delete": list(delete)}
        self.waiting.append((self.sealed, frame(message)))

    def send(self, message):
        """A message that is lost where there is no connection."""
        if self.live:
            self.outgoing += frame(message)

    # The connection.

    def connect(self):
        path, address = os.environ.get("SIDEKICK_SOCKET"), os.environ.get("SIDEKICK_ADDR")
        try:
            if path:
                self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                self.socket.connect(path)
            else:
                host, port = address.rsplit(":", 1)
                self.socket = socket.create_connection((host.strip("[]"), int(port)), 1)
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            self.lose()
            return
        self.socket.setblocking(False)
        self.incoming, self.outgoing, self.sent = b"", b"", 0
        hello = {"type": "hello", "protocol": PROTOCOL, "server": self.server, "token": os.environ["SIDEKICK_TOKEN"]}
        hello |= {"epoch": self.epoch, "os_pid": os.getpid(), "engine": "python " + sys.version.split()[0]}
        self.outgoing += frame(hello | {"precision": "double", "resumed": self.restored})

    def lose(self):
        if self.socket:
            self.socket.close()
        self.socket, self.live, self.playing_told = None, False, False
        self.retry_at = time.monotonic() + self.pause * (1 + random.random())
        self.pause = min(self.pause * 2, 1.0)

    def poll(self, until):
        """Reads and writes until that time."""
        while True:
            now = time.monotonic()
            if self.socket is None and now >= self.retry_at:
                self.connect()
            if self.socket is None:
                time.sleep(max(0.0, min(until, self.retry_at) - now))
            else:
                self.fill()
                writers = [self.socket] if self.outgoing else []
                readable, writable, _ = select.select([self.socket], writers, [], max(0.0, until - now))
                try:
                    if writable:
                        self.outgoing = self.outgoing[self.socket.send(self.outgoing) :]
                    if readable:
                        self.read()
                except OSError:
                    self.lose()
            if time.monotonic() >= until:
                return

    def fill(self):
        """Puts out as many batches as the window allows; one is always allowed."""
        while self.live and self.sent < len(self.waiting):
            flying = sum(len(out) for _, out in self.waiting[: self.sent + 1])
            if self.sent and (self.sent >= self.window[0] or flying > self.window[1]):
                return
            self.outgoing += self.waiting[self.sent][1]
            self.sent += 1

    def read(self):
        data = self.socket.recv(1 << 16)
        if not data:
            raise ConnectionResetError
        self.incoming += data
        while self.socket and len(self.incoming) >= 4:
            length = struct.unpack("<I", self.incoming[:4])[0]
            if len(self.incoming) < 4 + length:
                return
            body, self.incoming = self.incoming[4 : 4 + length], self.incoming[4 + length :]
            message = Reader(body).value()
            handler = getattr(self, "on_" + message["type"], None)
            if handler:  # Messages of unknown type are ignored.
                handler(message)

    # What sidekick says.

    def on_welcome(self, message):
        self.epoch = message["epoch"]
        self.window = (message["window_batches"], message["window_bytes"])
        if message["restore"]:
            # Another process has played before: its state follows.
            self.sealed = self.acked = message["batch"]
            self.waiting, self.state, self.tail = [], {}, []
            return
        if not self.acked <= message["batch"] <= self.sealed:
            sys.exit(REFUSED)
        self.acknowledge(message["batch"])
        self.go_live()

    def on_state(self, message):
        entries = message["entries"]
        self.state.update(zip(entries[::2], entries[1::2]))

    def on_tail(self, message):
        self.tail += message["events"]

    def on_restored(self, _message):
        self.restored = True
        self.go_live()

    def go_live(self):
        self.live, self.pause = True, 0.01

    def on_ack(self, message):
        self.acknowledge(message["batch"])

    def acknowledge(self, batch):
        while self.waiting and self.waiting[0][0] <= batch:
            self.waiting.pop(0)
            self.sent = max(0, self.sent - 1)
        self.acked = max(self.acked, batch)

    def on_rejected(self, message):
        print(f"batch {message['batch']}: not kept: {message['items']}", file=sys.stderr)

    def on_full(self, message):
        self.full = message["full"]

    def on_call(self, message):
        self.send({"type": "reply", "id": message["id"], "value": encode({"echo": message["value"]})})

    def on_drain(self, message):
        self.drain_at = time.monotonic() + message["deadline_ms"] / 1000

    def on_refused(self, message):
        print(f"refused ({message['code']}): {message['message']}", file=sys.stderr)
        if not message["retry"]:
            sys.exit(REFUSED)
        raise ConnectionResetError


def frame(message):
    body = encode(message)
    return struct.pack("<I", len(body)) + body


class Counter:
    """The game."""

    def __init__(self, session):
        self.session, self.count, self.sum = session, 0, 0
        self.made = {}  # Batch number → count.
        path = os.environ.get("COUNTER_WITNESS")
        self.witness = open(path, "a", buffering=1) if path else None

    def tell(self, *words):
        if self.witness:
            print(*words, file=self.witness)

    def restore(self):
        self.count = self.session.state.get("count", 0)
        self.sum = self.session.state.get("sum", 0)
        self.tell("restored", self.count, self.sum, self.session.epoch)

    def tick(self):
        session = self.session
        if len(session.waiting) < 1000:  # Else it is behind: the world stands still rather than be forgotten.
            self.count += 1
            self.sum += self.count
            event = (session.server + "/count", {"n": self.count})
            session.batch(self.count, [event], [("count", self.count), ("sum", self.sum)])
            self.made[session.sealed] = self.count
        if session.live and not session.playing_told:
            session.send({"type": "playing", "tick": self.count})
            session.playing_told = True

    def tell_acknowledged(self):
        for batch in [batch for batch in self.made if batch <= self.session.acked]:
            self.tell("acked", self.made.pop(batch))


def main():
    session = Session()
    game = Counter(session)
    tick = int(os.environ.get("COUNTER_TICK_MS", "20")) / 1000
    while not session.restored:
        session.poll(time.monotonic() + 0.05)
    game.restore()
    beat_at, longest, last = 0.0, 0.0, time.monotonic()
    while session.drain_at is None:
        now = time.monotonic()
        longest, last = max(longest, now - last), now
        game.tick()
        if now >= beat_at:
            beat = {"type": "beat", "tick": game.count, "frame_ms": tick * 1000, "frame_ms_max": longest * 1000}
            session.send(beat | {"in_flight": len(session.waiting), "players": 0, "busy_ms": 0})
            beat_at, longest = now + BEAT_SECONDS, 0.0
        session.poll(now + tick)
        game.tell_acknowledged()
    # Drain: everything that was made is to be on disk before it ends.
    while session.waiting and time.monotonic() < session.drain_at:
        session.poll(time.monotonic() + 0.01)
    game.tell_acknowledged()
    session.send({"type": "drained"})
    session.poll(time.monotonic() + 0.05)
    game.tell("drained", game.count)


if __name__ == "__main__":
    main()
