#!/usr/bin/env python3
"""Speaks every clip of the dialplans with espeak-ng into 8 kHz A-law WAV files under prompts/.

    cargo run --release -- prompts --json | python3 prompts/generate.py [--only-missing]

The voice is a placeholder: replace any file by a recording of the same name (8 kHz G.711 or PCM, mono); a file under
prompts/<place>/ wins over the shared one. Needs espeak-ng and sox (Debian packages of these names).

A clip's name is its path below prompts/ without .wav: it may hold slashes (unit/教育局) and dots (greeting.1).
tests/prompts.rs checks the result: every clip is there and readable, no greeting is longer than allowed.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
# Words a minute as espeak-ng counts them. Prompts before the talk have to end within 10 s (a transition prompt within
# 15 s), so they and the names composed into them are spoken fast, the longest of them
# faster still; single digits and counts slowly, or they are clicks.
ORDINARY = "260"
BEFORE_THE_TALK = "350"
LONGEST = "430"
ALONE = "180"
FAST = ("greeting.", "transition", "dual_", "sub_centre.", "cutoff_", "place/", "hotline/", "unit/")
SLOW = ("digit/", "count/", "number/")
# Where one clip is joined to the next: a breath after the end of a clause, hardly anything after a bare name.
AFTER_CLAUSE = "0.16"
AFTER_NAME = "0.04"
# No rest inside a clip is longer than this.
REST = "0.14"


def pace(clip: str) -> str:
    """Words a minute for a clip; a place's own clip goes like the shared one."""
    names = (clip, clip.partition("/")[2])
    if any(name.startswith(SLOW) for name in names):
        return ALONE
    if any(name.startswith("dual_merged.2") for name in names):
        return LONGEST
    return BEFORE_THE_TALK if any(name.startswith(FAST) for name in names) else ORDINARY


def speak(text: str, speed: str, into: pathlib.Path) -> None:
    """Speaks one clip: silence trimmed off both ends (it would tear composed sentences apart), rests shortened."""
    into.parent.mkdir(parents=True, exist_ok=True)
    after = AFTER_CLAUSE if text[-1] in "，。；？！,.;?!" else AFTER_NAME
    trim = ["silence", "-l", "1", "0.01", "0.5%", "-1", REST, "0.5%", "reverse", "silence", "1", "0.01", "0.5%", "reverse"]
    with tempfile.NamedTemporaryFile(suffix=".wav") as spoken:
        subprocess.run(["espeak-ng", "-v", "cmn", "-s", speed, "-w", spoken.name, text], check=True)
        # -G leaves headroom, else sox clips; -D and -R: the same file each time.
        subprocess.run(
            ["sox", "-G", "-D", "-R", spoken.name, "-r", "8000", "-c", "1", "-e", "a-law", str(into), *trim]
            + ["pad", "0.02", after],
            check=True,
        )


def main() -> None:
    only_missing = "--only-missing" in sys.argv[1:]
    clips = json.load(sys.stdin)
    total = 0
    for clip in clips:
        into = HERE / (clip["clip"] + ".wav")
        if HERE not in into.resolve().parents:
            sys.exit(f"`{clip['clip']}` leads out of {HERE}")
        if not (only_missing and into.exists()):
            speak(clip["text"], pace(clip["clip"]), into)
        total += into.stat().st_size
    print(f"{len(clips)} clips, {total / 1e6:.1f} MB", file=sys.stderr)


if __name__ == "__main__":
    main()
