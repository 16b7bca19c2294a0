#!/usr/bin/env python3
"""Speaks every clip of the dialplans with espeak-ng into 8 kHz A-law WAV files under prompts/.

    cargo run --release -- prompts --json | python3 prompts/generate.py [--only-missing]

The voice is a placeholder: replace any file by a recording of the same name (8 kHz G.711 or PCM, mono); a file under
prompts/<place>/ wins over the shared one. Needs espeak-ng and sox (Debian packages of these names).
"""

import json
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
# Syllables a second a listener still follows; the greeting has to end within 10 s (wording.md).
WORDS_PER_MINUTE = "250"


def speak(text: str, into: pathlib.Path) -> None:
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(suffix=".wav") as spoken:
        subprocess.run(["espeak-ng", "-v", "cmn", "-s", WORDS_PER_MINUTE, "-w", spoken.name, text], check=True)
        # Headroom first: sox clips otherwise. Leading and trailing silence would tear composed sentences apart.
        trim = ["silence", "1", "0.01", "0.5%", "reverse", "silence", "1", "0.01", "0.5%", "reverse", "pad", "0.02", "0.06"]
        subprocess.run(
            ["sox", "-G", spoken.name, "-r", "8000", "-c", "1", "-e", "a-law", str(into), *trim],
            check=True,
            stderr=subprocess.DEVNULL,
        )


def main() -> None:
    only_missing = "--only-missing" in sys.argv[1:]
    total = 0
    for clip in json.load(sys.stdin):
        into = HERE / (clip["clip"] + ".wav")
        if not (only_missing and into.exists()):
            speak(clip["text"], into)
        total += into.stat().st_size
    print(f"{total / 1e6:.1f} MB", file=sys.stderr)


if __name__ == "__main__":
    main()
