"""Links of the wire tests' telephone other than UDP: TCP, TLS and WebSocket (RFC 6455, RFC 7118), each with the few
calls of a datagram socket that phone.py makes. Python's library only; it shares nothing with the engine.
"""
import base64, hashlib, os, re, socket, ssl, struct

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Stream:
    """Messages cut out of a stream by Content-Length."""

    def __init__(self, server, secure):
        self.sock = socket.create_connection(server)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if secure:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.sock = context.wrap_socket(self.sock, server_hostname=server[0])
        self.server, self.buffer, self.ended = server, b"", False
        self.shake()
        self.sock.setblocking(False)

    def shake(self):
        pass

    def fileno(self):
        return self.sock.fileno()

    def getsockname(self):
        return self.sock.getsockname()

    def write(self, data):
        self.sock.setblocking(True)
        try:
            self.sock.sendall(data)
        finally:
            self.sock.setblocking(False)

    def sendto(self, data, _to):
        self.write(data)

    def recvfrom(self, _most):
        """One message; OSError when there is none now, as a datagram socket says it."""
        while True:
            message = self.cut()
            if message is not None:
                return message, self.server
            data = b"" if self.ended else self.sock.recv(65536)
            if not data:
                self.ended = True
                raise ConnectionResetError("the engine closed the connection")
            self.buffer += data

    def cut(self):
        self.buffer = self.buffer.lstrip(b"\r\n")
        head, end, rest = self.buffer.partition(b"\r\n\r\n")
        if not end:
            return None
        length = int(re.search(rb"(?im)^content-length\s*:\s*(\d+)", head).group(1))
        if len(rest) < length:
            return None
        self.buffer = rest[length:]
        return head + end + rest[:length]


class WebSocket(Stream):
    """One message in each text or binary message; what is sent is masked, as a client must."""

    def shake(self):
        key = base64.b64encode(os.urandom(16))
        host = f"{self.server[0]}:{self.server[1]}"
        self.sock.sendall(f"GET /sip HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          f"Origin: http://{host}\r\nSec-WebSocket-Protocol: sip\r\nSec-WebSocket-Version: 13\r\n"
                          f"Sec-WebSocket-Key: {key.decode()}\r\n\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            data = self.sock.recv(4096)
            if not data:
                break
            answer += data
        head, _, self.buffer = answer.partition(b"\r\n\r\n")
        proof = base64.b64encode(hashlib.sha1(key + GUID).digest())
        lines = [line.lower() for line in head.split(b"\r\n")]
        if not head.startswith(b"HTTP/1.1 101 ") or b"sec-websocket-accept: " + proof.lower() not in lines \
                or b"sec-websocket-protocol: sip" not in lines:
            raise SystemExit(f"no WebSocket: {head!r}")
        self.parts = b""

    def frame(self, code, data):
        mask, size = os.urandom(4), len(data)
        length = bytes([0x80 | size]) if size < 126 else b"\xfe" + struct.pack(">H", size)
        self.write(bytes([0x80 | code]) + length + mask + bytes(octet ^ mask[at % 4] for at, octet in enumerate(data)))

    def sendto(self, data, _to):
        self.frame(1, data)

    def cut(self):
        while len(self.buffer) >= 2:
            code, size, at = self.buffer[0], self.buffer[1], 2
            if size == 126:
                size, at = int.from_bytes(self.buffer[2:4], "big"), 4
            elif size == 127:
                size, at = int.from_bytes(self.buffer[2:10], "big"), 10
            if len(self.buffer) < at + size:
                return None
            data, self.buffer = self.buffer[at:at + size], self.buffer[at + size:]
            if code & 15 == 9:
                self.frame(10, data)
            elif code & 15 == 8:
                self.ended = True
            elif code & 15 < 3:
                self.parts += data
                if code & 0x80:
                    whole, self.parts = self.parts, b""
                    if whole.strip():
                        return whole
        return None


def open_link(transport, server):
    return (WebSocket if transport in ("ws", "wss") else Stream)(server, transport in ("tls", "wss"))
