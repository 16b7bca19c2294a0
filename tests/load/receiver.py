"""A ticket platform that costs little: answers every post at once and counts them. Usage: receiver.py PORT [number].

It parses no more than it must, so that it stays out of the way of what is measured; `number` gives every ticket one.
Ends at the end of its input and then prints {"posts", "connections"}.
"""
import asyncio, json, re, sys

TICKET = re.compile(rb'"ticket_id":"([^"]+)"')
LENGTH = re.compile(rb"content-length: *(\d+)", re.I)
NUMBERED = "number" in sys.argv[2:]
SEEN = {"posts": 0, "connections": 0}


class Desk(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.bytes = transport, b""
        SEEN["connections"] += 1

    def data_received(self, data):
        self.bytes += data
        while True:
            head = self.bytes.find(b"\r\n\r\n")
            if head < 0:
                return
            end = head + 4 + int(LENGTH.search(self.bytes, 0, head + 2).group(1))
            if len(self.bytes) < end:
                return
            ticket = TICKET.search(self.bytes, head, end).group(1)
            self.bytes = self.bytes[end:]
            SEEN["posts"] += 1
            body = b'{"ticket_no":"GD%s"}' % ticket[-12:] if NUMBERED else b"{}"
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))


async def main():
    server = await asyncio.get_running_loop().create_server(Desk, "127.0.0.1", int(sys.argv[1]), backlog=128)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()
    print(json.dumps(SEEN), flush=True)


asyncio.run(main())
