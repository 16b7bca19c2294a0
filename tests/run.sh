#!/usr/bin/env bash
# Runs every test. On a Debian machine it first installs what is missing: a C compiler (bundled SQLite), the Rust
# tool chain, and the foreign SIP peers of the wire tests (sip-tester, baresip, kamailio,
# linphone, tshark). It says what it installs.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
need() { command -v "$1" >/dev/null 2>&1 || missing+=("$2"); }
need cc build-essential
need sipp sip-tester
need baresip baresip-core
need tshark tshark
need kamailio kamailio
need linphonec linphone-cli
need python3 python3
if [ "${#missing[@]}" -gt 0 ]; then
  if ! command -v apt-get >/dev/null 2>&1; then
    echo "please install: ${missing[*]}" >&2
    exit 2
  fi
  echo "installing: ${missing[*]}"
  as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
  # The tests start a proxy of their own; the packaged service is not wanted.
  case " ${missing[*]} " in
    *" kamailio "*) command -v systemctl >/dev/null 2>&1 && as_root systemctl disable --now kamailio >/dev/null 2>&1 || true ;;
  esac
fi
if ! command -v cargo >/dev/null 2>&1; then
  echo "installing: the Rust tool chain (rustc, cargo, rustfmt, clippy) by apt"
  as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq rustup || true
  command -v rustup >/dev/null 2>&1 && rustup default stable
fi

# Foreign phones and media threads share few cores with the tests: one at a time keeps their clocks true.
RUST_TEST_THREADS="${RUST_TEST_THREADS:-1}" cargo test --locked "$@"
