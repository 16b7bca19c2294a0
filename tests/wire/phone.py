"""A telephone of its own making for the wire tests: SIP over UDP or the links of links.py, G.711 A-law, RFC 4733 digits; Python's library only.

It shares nothing with the engine, so what it understands, others understand. Commands come as JSON lines on standard
input, events go as JSON lines to standard output. Every call records what it hears into DIR/NAME-N.wav.

commands: register, unregister, options, call {to, from?, headers?}, bye {call}, hold {call, direction}, keys {call, keys},
          tone {freq, call?}, answer {how}, accept {call}, server {at}, quit,
          listen {call, freq, share?, ms?, without?}: `heard` comes once that tone was 90 % of the power of the last
          200 ms; with `without`, once something else is loud and that tone is not in it
events:   ready {port}, registered, unregistered, answered {status}, closed, ringing {call, uri, display, headers}, progress {call, status},
          up {call}, modified {call, status, direction}, refused {call, status, headers}, heard {call, freq},
          said-goodbye {call, status}, down {call, by, packets, lost, wav}
"""
import argparse, array, hashlib, json, math, os, re, selectors, socket, sys, time, wave

import links

STEP = 0.02


def alaw_of(sample):
    mask = 0xD5 if sample >= 0 else 0x55
    value = min(abs(sample), 32635) >> 3
    if value < 32:
        return (value >> 1) ^ mask
    exponent = value.bit_length() - 5
    return ((exponent << 4) | ((value >> exponent) & 15)) ^ mask


def linear_of(code):
    code ^= 0x55
    exponent, low = (code >> 4) & 7, ((code & 15) << 4) + 8
    value = low if exponent == 0 else (low + 0x100) << (exponent - 1)
    return value if code & 0x80 else -value


LINEAR = [linear_of(code) for code in range(256)]


def share_at(samples, freq):
    """The share of the power that lies at one frequency, 0 to 1, by Goertzel."""
    turn = 2 * math.cos(2 * math.pi * freq / 8000)
    one = two = power = 0.0
    for sample in samples:
        one, two = sample + turn * one - two, one
        power += sample * sample
    if power < len(samples) * 100 ** 2:
        return 0.0
    return 2 * (one * one + two * two - turn * one * two) / (len(samples) * power)


def tell(event, **more):
    print(json.dumps({"event": event, **more}, ensure_ascii=False), flush=True)


class Message:
    def __init__(self, data):
        head, _, self.body = data.partition(b"\r\n\r\n")
        lines = head.decode("utf-8", "surrogateescape").split("\r\n")
        self.first = lines[0]
        self.headers = []
        for line in lines[1:]:
            if line[:1] in (" ", "\t") and self.headers:
                self.headers[-1][1] += " " + line.strip()
                continue
            name, _, value = line.partition(":")
            self.headers.append([name.strip().lower(), value.strip()])
        self.is_request = not self.first.startswith("SIP/2.0")
        words = self.first.split(" ", 2)
        self.method = words[0] if self.is_request else self.one("cseq").split()[1]
        self.status = 0 if self.is_request else int(words[1])

    def all(self, name):
        return [value for key, value in self.headers if key == name]

    def one(self, name):
        found = self.all(name)
        return found[0] if found else ""

    def branch(self):
        found = re.search(r"branch=([^;,\s]+)", self.one("via"))
        return found.group(1) if found else ""


def uri_in(value):
    found = re.search(r"<([^>]*)>", value)
    return found.group(1) if found else value.split(";")[0].strip()


def tag_in(value):
    found = re.search(r";\s*tag=([^;\s]+)", value.split(">")[-1])
    return found.group(1) if found else ""


class Call:
    def __init__(self, phone, number):
        self.phone, self.number = phone, number
        self.name = f"{phone.args.name}-{number}"
        self.call_id = self.local = self.remote = self.target = ""
        self.routes, self.cseq, self.far_cseq = [], 0, 0
        self.state, self.outgoing = "setup", False
        self.invite = None
        self.answer_at = self.last_ok = None
        self.rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.rtp.bind((phone.host, 0))
        self.rtp.setblocking(False)
        self.media_to, self.may_send = None, True
        self.seq, self.stamp, self.ssrc, self.phase = 1, 160, os.getpid() << 8 | number & 255, 0.0
        self.heard, self.next_at, self.keys = bytearray(), None, []
        self.listen = self.tone = None
        self.share, self.window, self.without, self.version = 0.9, 1600, False, 1
        self.packets = self.lost = 0
        self.far_seq = self.far_ssrc = None
        phone.selector.register(self.rtp, selectors.EVENT_READ, self)

    def sdp(self):
        host, port = self.rtp.getsockname()
        lines = ["v=0", f"o=- {self.number} 1 IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0",
                 f"m=audio {port} RTP/AVP 8 101", "a=rtpmap:8 PCMA/8000", "a=rtpmap:101 telephone-event/8000",
                 "a=fmtp:101 0-15", "a=ptime:20", "a=sendrecv"]
        return ("\r\n".join(lines) + "\r\n").encode()

    def take_sdp(self, body):
        text = body.decode("utf-8", "replace")
        host, port = re.search(r"^c=IN IP4 (\S+)", text, re.M), re.search(r"^m=audio (\d+)", text, re.M)
        if host and port:
            self.media_to = (host.group(1), int(port.group(1)))
            self.may_send = not re.search(r"^a=(sendonly|inactive)", text, re.M)
            self.next_at = self.next_at or time.monotonic()

    def hear(self):
        while True:
            try:
                data, _ = self.rtp.recvfrom(2048)
            except OSError:
                return
            if len(data) < 12 or data[0] >> 6 != 2 or data[1] & 127 != 8:
                continue
            seq, ssrc = int.from_bytes(data[2:4], "big"), data[8:12]
            if ssrc == self.far_ssrc and self.far_seq is not None:
                self.lost += max(0, ((seq - self.far_seq) & 0xFFFF) - 1) if (seq - self.far_seq) & 0x8000 == 0 else 0
            self.far_seq, self.far_ssrc = seq, ssrc
            self.packets += 1
            self.heard += data[12:]
            if self.listen and len(self.heard) >= self.window:
                samples = [LINEAR[code] for code in self.heard[-self.window:]]
                share = share_at(samples, self.listen)
                loud = max(map(abs, samples)) > 1000
                if share > self.share if not self.without else loud and share < 0.1:
                    tell("heard", call=self.name, freq=self.listen)
                    self.listen = None

    def say(self, now):
        """Sends what is due; one packet for each 20 ms since the last one, at most five at once."""
        for _ in range(5):
            if self.next_at is None or self.next_at > now or self.state == "down":
                return
            self.next_at += STEP
            self.seq, self.stamp = (self.seq + 1) & 0xFFFF, (self.stamp + 160) & 0xFFFFFFFF
            if not self.may_send:
                continue
            head = lambda kind, stamp: bytes([0x80, kind]) + self.seq.to_bytes(2, "big") + stamp.to_bytes(4, "big") \
                + self.ssrc.to_bytes(4, "big")
            if self.keys:
                key, nth, start = self.keys[0]
                start = self.stamp if start is None else start
                if nth < 8 and key != " ":
                    event, end = "0123456789*#".index(key), nth >= 5
                    packet = head(101 | (0x80 if nth == 0 else 0), start) + bytes([event, (0x80 if end else 0) | 10]) \
                        + (160 * min(nth + 1, 6)).to_bytes(2, "big")
                    self.rtp.sendto(packet, self.media_to)
                self.keys[0] = (key, nth + 1, start)
                if nth >= 11:
                    self.keys.pop(0)
                continue
            freq = self.tone if self.tone is not None else self.phone.tone
            payload = bytearray(160)
            for at in range(160):
                payload[at] = alaw_of(int(8000 * math.sin(self.phase))) if freq else 0xD5
                self.phase += 2 * math.pi * (freq or 0) / 8000
            self.phase %= 2 * math.pi
            self.rtp.sendto(head(8, self.stamp) + bytes(payload), self.media_to)

    def end(self, by):
        if self.state == "down":
            return
        self.state, self.last_ok, self.answer_at = "down", None, None
        self.hear()
        self.phone.selector.unregister(self.rtp)
        self.rtp.close()
        path = os.path.join(self.phone.args.dir, self.name + ".wav")
        with wave.open(path, "wb") as file:
            file.setnchannels(1), file.setsampwidth(2), file.setframerate(8000)
            file.writeframes(array.array("h", (LINEAR[code] for code in self.heard)).tobytes())
        tell("down", call=self.name, by=by, packets=self.packets, lost=self.lost, wav=path)


class Phone:
    def __init__(self, args):
        self.args = args
        host, port = args.bind.rsplit(":", 1)
        self.host = host
        server, at = args.server.rsplit(":", 1)
        self.server = (server, int(at))
        self.transport = args.transport
        if self.transport == "udp":
            self.sip = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.sip.bind((host, int(port)))
            self.sip.setblocking(False)
        else:
            self.sip = links.open_link(self.transport, self.server)
        self.port = self.sip.getsockname()[1]
        # A page does not know its address (RFC 7118 §5).
        web = self.transport in ("ws", "wss")
        self.at = f"{os.urandom(6).hex()}.invalid" if web else f"{self.host}:{self.port}"
        self.param = {"udp": "", "wss": ";transport=ws"}.get(self.transport, f";transport={self.transport}")
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.sip, selectors.EVENT_READ, "sip")
        os.set_blocking(0, False)
        self.selector.register(0, selectors.EVENT_READ, "in")
        self.typed = b""
        self.tone, self.how = args.tone, args.answer
        self.calls, self.by_name, self.count = {}, {}, 0
        self.pending, self.answered = {}, {}
        self.tried, self.register_cseq = set(), 0
        self.running = True

    def me(self):
        return f"sip:{self.args.name}@{self.at}{self.param}"

    # Requests of ours: resent until answered.
    def request(self, method, uri, call_id, cseq, from_, to, routes=(), headers=(), body=b"", then=None, branch=None):
        branch = branch or "z9hG4bK" + os.urandom(8).hex()
        lines = [f"{method} {uri} SIP/2.0", f"Via: SIP/2.0/{self.transport.upper()} {self.at};rport;branch={branch}",
                 "Max-Forwards: 70", *(f"Route: {route}" for route in routes), f"From: {from_}", f"To: {to}",
                 f"Call-ID: {call_id}", f"CSeq: {cseq} {method}", f"Contact: <{self.me()}>",
                 "User-Agent: wire-phone", *headers, f"Content-Length: {len(body)}"]
        data = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
        self.sip.sendto(data, self.server)
        if method != "ACK":
            now = time.monotonic()
            again = now + 0.5 if self.transport == "udp" else float("inf")
            self.pending[(branch, method)] = [data, again, 0.5, now + 32, then]
        return branch

    def respond(self, request, status, phrase, headers=(), body=b"", tag="", source=None):
        via = request.one("via")
        vias = [via + (f";received={source[0]}" if source else "")] + request.all("via")[1:]
        to = request.one("to")
        if tag and not tag_in(to):
            to += f";tag={tag}"
        lines = [f"SIP/2.0 {status} {phrase}", *(f"Via: {one}" for one in vias),
                 *(f"Record-Route: {one}" for one in request.all("record-route")),
                 f"From: {request.one('from')}", f"To: {to}", f"Call-ID: {request.one('call-id')}",
                 f"CSeq: {request.one('cseq')}", *headers, f"Content-Length: {len(body)}"]
        data = "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body
        self.answered[(request.branch(), request.method)] = data
        self.sip.sendto(data, source or self.server)
        return data

    def register(self, expires=600, challenge=""):
        aor = f"sip:{self.args.name}@{self.server[0]}:{self.server[1]}"
        uri = f"sip:{self.server[0]}:{self.server[1]}"
        self.register_cseq += 1
        headers = [f"Expires: {expires}"] + ([challenge] if challenge else [])

        def then(answer):
            if answer.status == 401 and not challenge:
                self.register(expires, self.digest(answer, "REGISTER", uri))
            elif answer.status == 200:
                tell("registered" if expires else "unregistered", contacts=len(answer.all("contact")))
            else:
                tell("refused", call="register", status=answer.status)

        self.request("REGISTER", uri, f"reg-{os.getpid()}@{self.host}", self.register_cseq,
                     f"<{aor}>;tag=r{os.getpid()}", f"<{aor}>", headers=headers, then=then)

    def options(self):
        uri = f"sip:{self.server[0]}:{self.server[1]}"
        self.request("OPTIONS", uri, f"opt-{os.urandom(6).hex()}", 1, f"<{self.me()}>;tag=o", f"<{uri}>",
                     then=lambda answer: tell("answered", status=answer.status, headers=dict(answer.headers)))

    def digest(self, answer, method, uri):
        """Answers the strongest challenge."""
        best = None
        for value in answer.all("www-authenticate"):
            facts = dict((key.lower(), quoted or plain) for key, quoted, plain in
                         re.findall(r'(\w+)=(?:"([^"]*)"|([^,\s]*))', value.split(" ", 1)[1]))
            word = facts.get("algorithm", "MD5").upper()
            rank = {"MD5": 1, "SHA-256": 2}.get(word, 0)
            if rank and (best is None or rank > best[0]):
                best = (rank, word, facts)
        _, word, facts = best
        make = hashlib.md5 if word == "MD5" else hashlib.sha256
        sum_of = lambda text: make(text.encode()).hexdigest()
        cnonce = os.urandom(6).hex()
        one = sum_of(f"{self.args.name}:{facts['realm']}:{self.args.password}")
        two = sum_of(f"{method}:{uri}")
        proof = sum_of(f"{one}:{facts['nonce']}:00000001:{cnonce}:auth:{two}")
        return (f'Authorization: Digest username="{self.args.name}", realm="{facts["realm"]}", '
                f'nonce="{facts["nonce"]}", uri="{uri}", response="{proof}", algorithm={word}, '
                f'cnonce="{cnonce}", qop=auth, nc=00000001')

    def new_call(self):
        self.count += 1
        call = Call(self, self.count)
        self.by_name[call.name] = call
        return call

    def dial(self, to, from_=None, headers=()):
        call = self.new_call()
        call.outgoing, call.call_id = True, f"{os.urandom(6).hex()}@{self.host}"
        tag = os.urandom(4).hex()
        call.local = f"<sip:{from_ or self.args.name}@{self.host}:{self.port}>;tag={tag}"
        call.remote, call.target, call.cseq = f"<{to}>", to, 1
        self.calls[call.call_id] = call
        call.headers = ["Content-Type: application/sdp", "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS", *headers]
        self.invite(call, call.headers)

    def invite(self, call, headers):
        call.branch = self.request("INVITE", call.target, call.call_id, call.cseq, call.local, call.remote,
                                   headers=headers, body=call.sdp(),
                                   then=lambda answer: self.on_invite_answer(call, answer))

    def on_invite_answer(self, call, answer):
        if answer.status < 200:
            if answer.status > 100:
                if answer.body:
                    call.take_sdp(answer.body)
                tell("progress", call=call.name, status=answer.status)
            return
        seq = answer.one("cseq").split()[0]
        if answer.status >= 300:
            self.request("ACK", call.target, call.call_id, seq, call.local, answer.one("to"), branch=call.branch)
            if answer.status == 401 and call.cseq == 1 and self.args.password and call.state == "setup":
                call.cseq = 2
                return self.invite(call, call.headers + [self.digest(answer, "INVITE", call.target)])
            if call.state != "down":
                tell("refused", call=call.name, status=answer.status, first=answer.first,
                     headers=dict(answer.headers))
                call.end("refused")
            return
        call.remote, call.target = answer.one("to"), uri_in(answer.one("contact"))
        call.routes = list(reversed(answer.all("record-route")))
        self.request("ACK", call.target, call.call_id, seq, call.local, call.remote, call.routes)
        if call.state == "setup":
            call.state = "up"
            call.take_sdp(answer.body)
            tell("up", call=call.name)

    def bye(self, call):
        if call.state == "setup" and call.outgoing:
            return self.cancel(call)
        if call.state == "down":
            return None
        call.cseq += 1
        name = call.name
        call.end("us")
        return self.request("BYE", call.target, call.call_id, call.cseq, call.local, call.remote, call.routes,
                            then=lambda answer: tell("said-goodbye", call=name, status=answer.status))

    def hold(self, call, direction):
        """Sends a re-INVITE with a direction: sendonly holds, sendrecv resumes."""
        call.cseq += 1
        call.version += 1
        seq = call.cseq
        body = call.sdp().replace(b"a=sendrecv", b"a=" + direction.encode()).replace(b" 1 IN", b" %d IN" % call.version)

        def then(answer):
            if answer.status < 200:
                return
            self.request("ACK", call.target, call.call_id, seq, call.local, call.remote, call.routes)
            found = re.search(r"^a=(sendrecv|sendonly|recvonly|inactive)", answer.body.decode(), re.M)
            tell("modified", call=call.name, status=answer.status, direction=found.group(1) if found else "sendrecv")

        self.request("INVITE", call.target, call.call_id, seq, call.local, call.remote, call.routes,
                     ["Content-Type: application/sdp"], body, then)

    def cancel(self, call):
        self.request("CANCEL", call.target, call.call_id, call.cseq, call.local, call.remote, branch=call.branch,
                     then=lambda answer: None)

    # Requests of others.
    def on_request(self, request, source):
        key = (request.branch(), request.method)
        call = self.calls.get(request.one("call-id"))
        if request.method == "ACK":
            if call:
                call.last_ok = None
            return
        if key in self.answered:
            self.sip.sendto(self.answered[key], source)
            return
        if request.method == "INVITE":
            self.on_invite(request, call, source)
        elif request.method == "CANCEL":
            self.respond(request, 200, "OK", source=source)
            if call and call.state == "setup" and call.invite:
                self.respond(call.invite, 487, "Request Terminated", tag=tag_in(call.local), source=source)
                call.end("cancel")
        elif request.method == "BYE":
            if call and call.state != "down":
                self.respond(request, 200, "OK", source=source)
                call.end("them")
            else:
                self.respond(request, 481, "No Such Call", source=source, tag="x")
        else:
            self.respond(request, 200, "OK", ["Allow: INVITE, ACK, CANCEL, BYE, OPTIONS"], source=source, tag="o")

    def on_invite(self, request, call, source):
        if call:
            call.take_sdp(request.body)
            data = self.respond(request, 200, "OK", self.dialog_headers(), call.sdp(), source=source)
            call.last_ok = [data, time.monotonic() + 0.5, 0.5, source]
            return
        if self.how.startswith("status:"):
            self.respond(request, int(self.how[7:]), "Refused", tag="b", source=source)
            return
        call = self.new_call()
        call.call_id, call.invite, call.source = request.one("call-id"), request, source
        call.local = request.one("to") + f";tag={os.urandom(4).hex()}"
        call.remote, call.target = request.one("from"), uri_in(request.one("contact"))
        call.routes = request.all("record-route")
        call.take_sdp(request.body)
        call.next_at = None
        self.calls[call.call_id] = call
        tell("ringing", call=call.name, uri=request.first.split()[1], display=request.one("from").split("<")[0].strip(),
             headers={key: value for key, value in request.headers})
        if self.how == "silent":
            return
        self.respond(request, 180, "Ringing", [f"Contact: <{self.me()}>"], tag=tag_in(call.local), source=source)
        if self.how != "ring":
            call.answer_at = time.monotonic() + float(self.how) / 1000

    def dialog_headers(self):
        return [f"Contact: <{self.me()}>", "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS", "Content-Type: application/sdp"]

    def accept(self, call):
        call.answer_at = None
        if call.state != "setup":
            return
        call.state = "up"
        call.take_sdp(call.invite.body)
        data = self.respond(call.invite, 200, "OK", self.dialog_headers(), call.sdp(), tag_in(call.local), call.source)
        call.last_ok = [data, time.monotonic() + 0.5, 0.5, call.source]
        tell("up", call=call.name)

    def on_packet(self):
        while True:
            try:
                data, source = self.sip.recvfrom(65535)
            except ConnectionResetError:
                if self.transport == "udp":
                    return
                self.selector.unregister(self.sip)
                tell("closed")
                return
            except OSError:
                return
            if not data.strip():
                continue
            message = Message(data)
            if message.is_request:
                self.on_request(message, source)
                continue
            key = (message.branch(), message.method)
            wait = self.pending.get(key)
            if wait:
                if message.status < 200 and message.method == "INVITE":
                    wait[1] = float("inf")
                elif message.status >= 200:
                    if message.method != "INVITE":
                        del self.pending[key]
                    wait[1] = float("inf")
                if wait[4]:
                    wait[4](message)

    def on_typed(self):
        data = os.read(0, 65536)
        if not data:
            self.running = False
            return
        self.typed += data
        *lines, self.typed = self.typed.split(b"\n")
        for line in filter(None, lines):
            self.obey(json.loads(line))

    def obey(self, order):
        call = self.by_name.get(order.get("call", ""))
        match order["do"]:
            case "register": self.register()
            case "unregister": self.register(0)
            case "options": self.options()
            case "call": self.dial(order["to"], order.get("from"), order.get("headers", ()))
            case "bye": self.bye(call)
            case "hold": self.hold(call, order["direction"])
            case "keys": call.keys += [(key, 0, None) for key in order["keys"]]
            case "tone":
                if call:
                    call.tone = order["freq"]
                else:
                    self.tone = order["freq"]
            case "listen":
                call.listen, call.share = order["freq"], order.get("share", 0.9)
                call.window, call.without = order.get("ms", 200) * 8, "without" in order
            case "answer": self.how = order["how"]
            case "server": self.server = (order["at"].rsplit(":", 1)[0], int(order["at"].rsplit(":", 1)[1]))
            case "accept": self.accept(call)
            case "quit": self.running = False

    def due(self):
        now = time.monotonic()
        for key, wait in list(self.pending.items()):
            if now >= wait[3]:
                del self.pending[key]
            elif now >= wait[1]:
                self.sip.sendto(wait[0], self.server)
                wait[2] = min(wait[2] * 2, 4)
                wait[1] = now + wait[2]
        nearest = now + 1
        for call in list(self.calls.values()):
            if call.state == "down":
                continue
            if call.answer_at is not None and now >= call.answer_at:
                self.accept(call)
            if call.last_ok and now >= call.last_ok[1]:
                self.sip.sendto(call.last_ok[0], call.last_ok[3])
                call.last_ok[2] = min(call.last_ok[2] * 2, 4)
                call.last_ok[1] = now + call.last_ok[2]
            if call.state == "up" or call.outgoing:
                call.say(now)
            for moment in (call.next_at if call.media_to else None, call.answer_at, call.last_ok and call.last_ok[1]):
                if moment:
                    nearest = min(nearest, moment)
        for wait in self.pending.values():
            nearest = min(nearest, wait[1])
        return max(0, nearest - time.monotonic())

    def run(self):
        tell("ready", port=self.port)
        while self.running:
            for key, _ in self.selector.select(self.due()):
                if key.data == "sip":
                    self.on_packet()
                elif key.data == "in":
                    self.on_typed()
                elif isinstance(key.data, Call) and key.data.state != "down":
                    key.data.hear()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--password", default="")
    parser.add_argument("--server", required=True)
    parser.add_argument("--bind", default="127.0.0.1:0")
    parser.add_argument("--transport", default="udp", choices=["udp", "tcp", "tls", "ws", "wss"])
    parser.add_argument("--answer", default="0", help="ms until answered, ring, silent, status:486")
    parser.add_argument("--tone", type=float, default=0.0)
    parser.add_argument("--dir", default=".")
    Phone(parser.parse_args()).run()


if __name__ == "__main__":
    main()
