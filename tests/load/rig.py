#!/usr/bin/env python3
"""What a call costs: the release build under SIPp, its processor time from the kernel's account by kind of thread.

    tests/load/rig.py basic            calls straight to a trunk; --tickets off leaves the ticket endpoint away
    tests/load/rig.py queued           calls to agents of a queue, all phones SIPp
    tests/load/rig.py proxy            the basic calls through Kamailio as a mere proxy, for the ratio
    tests/load/rig.py steps            basic calls at rising rates until one fails
    tests/load/rig.py held             memory per held call, right after the last was answered

Not part of any gate: it measures and judges nothing. Processor time is what the whole process used while the calls
ran, less what it uses idle, so builds beside it disturb little. Needs sipp, for `proxy` kamailio.
"""
import argparse, json, os, pathlib, shutil, signal, statistics, subprocess, sys, tempfile, time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SIPP = ROOT / "tests/wire/sipp"
TICK = os.sysconf("SC_CLK_TCK")
AGENTS = 120


def ticks(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def children(pid):
    found = [pid]
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += children(int(child))
    return found


def by_thread(pid):
    """Seconds by thread name; a thread that ended is in the total only."""
    used = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            name = (task / "comm").read_text().strip().rstrip("0123456789").rstrip("-")
            used[name] = used.get(name, 0) + int((task / "schedstat").read_text().split()[0]) / 1e9
        except (FileNotFoundError, ProcessLookupError):
            pass
    return used


def memory(pid):
    rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))


class Rig:
    def __init__(self, args):
        self.args, self.processes = args, []
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="load-"))
        self.port = args.port

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if not self.args.keep:
            shutil.rmtree(self.dir, ignore_errors=True)

    def ports(self, count=1):
        self.port += count
        return self.port - count

    def start(self, command, **more):
        process = subprocess.Popen([str(word) for word in command], cwd=ROOT, **more)
        self.processes.append(process)
        return process

    def engine(self, far, tickets, number):
        receiver = None
        settings = [
            f'sip.trunk_listen=["udp:127.0.0.1:{self.ports(2)}"]',
            f'sip.agent_listen=["udp:127.0.0.1:{self.ports(2)}"]',
            'http.listen="127.0.0.1:0"',
            f'data_dir="{self.args.data or self.dir / "data"}"',
            'media.ports="32000-60999"',
            f'prompts="{self.dir / "prompts"}"',
            f'agents="{self.dir / "agents.toml"}"',
            f'trunk.sub-centre.to=["sip:127.0.0.1:{far}"]',
        ] + self.args.set
        if tickets != "off":
            port = self.ports()
            if tickets == "on":
                words = ["number"] if number else []
                pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
                receiver = self.start([sys.executable, HERE / "receiver.py", port, *words], **pipes)
            settings += [f'ticket.endpoint.city.url="http://127.0.0.1:{port}/t"', 'ticket.endpoint.city.secret="s"']
        rows = (f'[[agent]]\nid = "{1001 + nth}"\ntenant = "p"\npassword = "demo-{1001 + nth}"\nqueues = ["main"]\n'
                for nth in range(AGENTS))
        (self.dir / "agents.toml").write_text("\n".join(rows))
        command = [self.args.binary, "run", "--config", "tests/load/plan/switch.toml"]
        for one in settings:
            command += ["--set", one]
        log = open(self.dir / "engine.log", "w")
        engine = self.start(command, stdout=subprocess.PIPE, stderr=log, text=True)
        ready = engine.stdout.readline().split()
        if not ready:
            sys.exit((self.dir / "engine.log").read_text())
        at = {ready[nth]: ready[nth + 1] for nth in range(1, len(ready) - 1)}
        return engine, at["trunk"].removeprefix("udp:"), at["agent"].removeprefix("udp:"), receiver

    def sipp(self, name, scenario, *options, to=None):
        command = ["sipp"] + ([to] if to else []) + ["-sf", SIPP / scenario, "-i", "127.0.0.1", "-nostdin"]
        command += ["-cp", self.ports(), "-timer_resol", "1", "-buff_size", "4000000", *options]
        out = open(self.dir / f"{name}.out", "w")
        return self.start(command, env=os.environ | {"TERM": "dumb"}, stdout=out, stderr=out)

    def callee(self, port, proxied=False):
        scenario = SIPP / "agent.xml"
        if proxied:
            text = scenario.read_text().replace("[last_CSeq:]", "[last_CSeq:]\n[last_Record-Route:]", 2)
            scenario = self.dir / "agent.xml"
            scenario.write_text(text)
        self.sipp("callee", scenario, "-p", port, "-mp", 7000)

    def caller(self, to, dialled, rate, calls, hold_ms, trace=False, limit=4000):
        options = ["-p", self.ports(), "-r", rate, "-m", calls, "-l", limit, "-d", hold_ms, "-key", "citizen",
                   "13800001234", "-key", "dialled", f"sip:{dialled}@127.0.0.1", "-timeout", calls // rate + 60]
        options += ["-trace_stat", "-stf", self.dir / "caller.csv", "-fd", "1"]
        if trace:
            options += ["-trace_shortmsg", "-shortmessage_file", self.dir / "caller.msg"]
        return self.sipp("caller", "caller.xml", *options, to=to)

    def registered(self, to, port):
        """Registers the phones from the port where they will be called: that is where they are reached."""
        rows = ["SEQUENTIAL"]
        for nth in range(AGENTS):
            agent = 1001 + nth
            rows.append(f"{agent};[authentication username={agent} password=demo-{agent}];127.0.0.1:{port}")
        (self.dir / "agents.csv").write_text("\n".join(rows) + "\n")
        options = ["-inf", self.dir / "agents.csv", "-m", AGENTS, "-r", 50, "-p", port]
        if self.sipp("register", "register.xml", *options, to=to).wait(30):
            sys.exit("the phones do not register")

    def failed(self):
        """Calls of the last run that did not end as the scenario says."""
        head, *rows = (self.dir / "caller.csv").read_text().strip().splitlines()
        return int(rows[-1].split(";")[head.split(";").index("FailedCall(C)")])

    def delays(self):
        """Milliseconds from each INVITE to its first 18x."""
        asked, found = {}, []
        for line in (self.dir / "caller.msg").read_text().splitlines():
            fields = line.split("\t")
            if len(fields) < 7:
                continue
            at, call, first = float(fields[2]), fields[4], fields[6]
            if first.startswith("INVITE"):
                asked.setdefault(call, at)
            elif first.startswith("SIP/2.0 18") and call in asked:
                found.append((at - asked.pop(call)) * 1000)
        return sorted(found)


def cost(rig, pid, run, calls, idle_s=2.0):
    """Seconds the process tree used while `run` ran and settled, less idle; and by kind of thread."""
    tree = children(pid)
    before = sum(map(ticks, tree))
    time.sleep(idle_s)
    idle = (sum(map(ticks, tree)) - before) / idle_s
    perf = None
    if rig.args.perf:
        perf = subprocess.Popen(["perf", "record", "-F", "499", "--call-graph", "dwarf,32768", "-o", rig.args.perf, "-p", str(pid)],
                                stderr=subprocess.DEVNULL)
        time.sleep(1)
    threads, before, began = by_thread(pid), sum(map(ticks, tree)), time.monotonic()
    failed = run()
    time.sleep(2)
    used = sum(map(ticks, tree)) - before - idle * (time.monotonic() - began)
    after = by_thread(pid)
    if perf:
        perf.send_signal(signal.SIGINT)
        perf.wait()
    shares = {name: after[name] - threads.get(name, 0) for name in after}
    shares = {name: round(spent * 1e3 / calls, 3) for name, spent in sorted(shares.items()) if spent > 1e-3}
    return used * 1e3 / calls, {"idle_ms_per_s": round(idle * 1e3, 1), "threads": shares, "failed": failed}


def percentiles(delays):
    if not delays:
        return None
    at = lambda part: round(delays[min(len(delays) - 1, int(len(delays) * part))], 2)
    return {"p50": at(0.5), "p99": at(0.99), "most": round(delays[-1], 2)}


def one_run(args, kind, rate, calls, trace):
    with Rig(args) as rig:
        far = rig.ports()
        if kind == "proxy":
            port = rig.ports()
            text = (HERE / "kamailio.cfg").read_text().replace("TARGET", f"127.0.0.1:{far}")
            (rig.dir / "kamailio.cfg").write_text(text)
            log = open(rig.dir / "kamailio.log", "w")
            command = ["kamailio", "-f", rig.dir / "kamailio.cfg", "-l", f"udp:127.0.0.1:{port}", "-DD", "-m", "64",
                       "-Y", rig.dir, "-P", rig.dir / "k.pid"]
            process, to, receiver = rig.start(command, stdout=log, stderr=log), f"127.0.0.1:{port}", None
            time.sleep(1)
        else:
            process, to, phones, receiver = rig.engine(far, args.tickets, args.number)
            if kind == "queued":
                rig.registered(phones, far)
        rig.callee(far, kind == "proxy")
        dialled = "12345" if kind == "queued" else "12366"

        def run():
            rig.caller(to, dialled, rate, calls, args.hold, trace).wait()
            return rig.failed()

        per_call, more = cost(rig, process.pid, run, calls)
        if trace:
            more["invite_to_18x_ms"] = percentiles(rig.delays())
        if receiver:
            receiver.stdin.close()
            more["receiver"] = json.loads(receiver.stdout.readline())
        log = rig.dir / "engine.log"
        if log.exists():
            words = [line for line in log.read_text().splitlines() if " ERROR " in line or " WARN " in line]
            more["log"] = [words[0][:200], len(words)] if len(words) > 3 else []
        return per_call, more


def repeated(args, kind, rate, calls, trace=False):
    found = []
    for _ in range(args.repeat):
        per_call, more = one_run(args, kind, rate, calls, trace)
        found.append(per_call)
        print(f"{kind:8} {rate:5}/s {calls} calls  {per_call:.3f} ms CPU per call  {json.dumps(more)}", flush=True)
    print(f"{kind:8} {rate:5}/s  median {statistics.median(found):.3f}  least {min(found):.3f} ms CPU per call", flush=True)


def held(args):
    with Rig(args) as rig:
        far = rig.ports()
        engine, to, _, _ = rig.engine(far, args.tickets, args.number)
        rig.callee(far)
        # The first calls make buffers, caches and threads that stay.
        rig.caller(to, "12366", 50, 200, 100).wait()
        time.sleep(1)
        before = memory(engine.pid)
        caller = rig.caller(to, "12366", args.rate, args.calls, 600_000)
        time.sleep(args.calls / args.rate + 3)
        during = memory(engine.pid)
        print(f"held: {args.calls} calls  {(during - before) / args.calls:.1f} KiB each  ({before} -> {during} KiB)")
        caller.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["basic", "queued", "proxy", "steps", "held"])
    parser.add_argument("--binary", default=ROOT / "target/release/switch12345")
    parser.add_argument("--rate", type=int, default=50)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--hold", type=int, default=200, help="milliseconds of talk")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--tickets", choices=["on", "off", "dead"], default="on")
    parser.add_argument("--number", action="store_true", help="the receiver gives each ticket a number")
    parser.add_argument("--trace", action="store_true", help="also INVITE to 18x")
    parser.add_argument("--rates", default="100,200,400,600,800,1000,1200,1500")
    parser.add_argument("--data", help="the data directory, to choose its disk")
    parser.add_argument("--perf", help="a file for perf record")
    parser.add_argument("--port", type=int, default=16600, help="the first of about 40 ports used")
    parser.add_argument("--keep", action="store_true", help="keep the files of the run in /tmp")
    parser.add_argument("--set", action="append", default=[])
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))
    if args.what == "held":
        return held(args)
    if args.what == "steps":
        for rate in map(int, args.rates.split(",")):
            per_call, more = one_run(args, "basic", rate, rate * 10, True)
            print(f"step {rate}/s  {per_call:.3f} ms CPU per call  {json.dumps(more)}", flush=True)
            if more["failed"]:
                return None
        return None
    return repeated(args, args.what, args.rate, args.calls, args.trace)


if __name__ == "__main__":
    main()
