#!/usr/bin/env bash
# 3,000 phones register at 100 a second for 30 s (SIPp, digest over UDP) while somebody
# guesses passwords from the same address 11 times a second; says what a registration costs the engine in CPU. Longer than the gate has time
# for: run it by hand, with a release build.
#   tests/wire/register_flood.sh [binary] [phones] [per second]
set -euo pipefail
cd "$(dirname "$0")/../.."
binary=${1:-target/release/switch12345} phones=${2:-3000} rate=${3:-100}
work=$(mktemp -d)
pids=()
trap 'for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done; wait 2>/dev/null; rm -rf "$work"' EXIT

cp -r tests/wire/plan "$work/plan"
{
  cat tests/wire/plan/agents.toml
  for ((n = 0; n < phones; n++)); do
    printf '[[agent]]\nid = "%d"\ntenant = "p"\npassword = "flood-%d"\nqueues = ["main"]\n' $((70000 + n)) $((70000 + n))
  done
} > "$work/plan/agents.toml"
for ((n = 0; n < phones; n++)); do
  echo "$((70000 + n));[authentication username=$((70000 + n)) password=flood-$((70000 + n))];127.0.0.1:$((20000 + n))"
done > "$work/phones.body"
{ echo SEQUENTIAL; cat "$work/phones.body"; } > "$work/phones.csv"
{ echo SEQUENTIAL; for ((n = 0; n < 1000; n++)); do
    echo "70000;[authentication username=70000 password=guess-$n];127.0.0.1:9"
  done; } > "$work/guesses.csv"
# A guess is answered 401 again.
sed 's|<recv response="200"/>|<recv response="401"/>|' tests/wire/sipp/register.xml > "$work/guess.xml"

"$binary" run --config "$work/plan/switch.toml" \
  --set 'sip.trunk_listen=["udp:127.0.0.1:0"]' --set 'sip.agent_listen=["udp:127.0.0.1:0"]' \
  --set 'http.listen="127.0.0.1:0"' --set "data_dir=\"$work/data\"" --set "prompts=\"$work/prompts\"" \
  --set "limits.registrations_max=$((phones + 10))" > "$work/ready" 2> "$work/log" &
engine=$!
pids+=("$engine")
for _ in $(seq 200); do grep -q ^ready "$work/ready" && break; sleep 0.05; done
agent=$(grep -o 'agent udp:[0-9.:]*' "$work/ready" | head -1 | cut -d: -f2-)
http=$(grep -o 'http [0-9.:]*' "$work/ready" | cut -d' ' -f2)
token=$(cat "$(grep -o 'token [^ ]*' "$work/ready" | cut -d' ' -f2)")
ticks() { awk '{ print $14 + $15 }' "/proc/$engine/stat"; }
memory() { awk '/VmRSS/ { print $2 }' "/proc/$engine/status"; }

echo "engine $engine at $agent, $phones phones at $rate/s"
before=$(ticks) memory_before=$(memory)
sleep 3
idle=$(($(ticks) - before))
sipp "$agent" -sf "$work/guess.xml" -inf "$work/guesses.csv" -i 127.0.0.1 -r 11 -m 300 -nostdin -timeout 60s \
  > /dev/null 2>&1 &
guesser=$!
pids+=("$guesser")
before=$(ticks) began=$(date +%s.%N)
status=0
sipp "$agent" -sf tests/wire/sipp/register.xml -inf "$work/phones.csv" -i 127.0.0.1 -r "$rate" -m "$phones" -l 2000 \
  -nostdin -timer_resol 1 -timeout 120s > "$work/sipp" 2>&1 || status=$?
spent=$(($(ticks) - before)) took=$(echo "$(date +%s.%N) - $began" | bc)
registered=$(curl -s -H "Authorization: Bearer $token" "http://$http/api/v1/agents" | grep -o '"registered":[a-z0-9]*' \
  | grep -cv 'false\|:0' || true)
echo "sipp status $status, $took s; registered by the API: $registered"
echo "CPU $((spent * 10)) ms, of which idle about $(echo "$idle * 10 / 3 * $took / 1" | bc) ms: \
$(echo "scale=3; $spent * 10 / $phones" | bc) ms per registration, guesses included"
echo "memory $memory_before KiB -> $(memory) KiB"
curl -s -H "Authorization: Bearer $token" "http://$http/metrics" | grep -E 'challenged|unchecked|guessing|throttled' || true
grep -m3 guesses "$work/log" || true
exit "$status"
