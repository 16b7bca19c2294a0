"""A ticket platform for the wire tests: takes Standard Webhooks posts and checks them with Python's own hmac.

Each post becomes a JSON line on standard output: {"id", "signed", "body", "timestamp", "signature"}; the first line is
{"port"}. Usage: receiver.py PORT SECRET [mute]; a mute one reads posts and never answers.
"""
import base64, hashlib, hmac, http.server, json, sys, threading, time

KEY = base64.b64decode(sys.argv[2].removeprefix("whsec_"))
MUTE = "mute" in sys.argv[3:]
TURN = threading.Lock()
NUMBERS = {}


class Desk(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        name, stamp = self.headers["webhook-id"], self.headers["webhook-timestamp"]
        wanted = hmac.new(KEY, f"{name}.{stamp}.".encode() + body, hashlib.sha256).digest()
        given = [one[3:] for one in self.headers["webhook-signature"].split() if one.startswith("v1,")]
        signed = any(hmac.compare_digest(base64.b64decode(one), wanted) for one in given)
        signed = signed and abs(time.time() - int(stamp)) < 300
        ticket = json.loads(body)["ticket_id"]
        with TURN:
            number = NUMBERS.setdefault(ticket, f"GD{len(NUMBERS) + 1:06}")
            line = {"id": name, "signed": signed, "timestamp": stamp, "body": body.decode(),
                    "signature": self.headers["webhook-signature"]}
            print(json.dumps(line, ensure_ascii=False), flush=True)
        if MUTE:
            threading.Event().wait()
        answer = json.dumps({"ticket_no": number}).encode()
        self.send_response(200 if signed else 401)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        self.wfile.flush()

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


server = Server(("127.0.0.1", int(sys.argv[1])), Desk)
print(json.dumps({"port": server.server_port}), flush=True)
server.serve_forever()
