//! Judges whole messages as an index says: torture tests of RFC 4475 and RFC 5118 where they are at hand, and our own
//! set always.
//!
//! The index has one row per file with what *must* happen and what *should*: `answered` (some answer), `!2xx` (an
//! answer that is no success), `norsp` (no answer), `alive` (anything but a crash), and statuses. Statuses that only a
//! later layer can give (401, 405, 415, ...) are out of reach here: such a message must then be read without fault.
//!
//! The foreign set is looked for in `$SWITCH12345_CORPORA`, then beside the repository.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use bytes::Bytes;
use switch12345::sip::message::Message;

/// Statuses that reading and checking alone can give.
const OURS: [u16; 5] = [400, 416, 420, 505, 513];
/// Extensions a B2BUA of ours will have.
const EXTENSIONS: [&str; 7] = ["100rel", "timer", "replaces", "norefersub", "histinfo", "gruu", "outbound"];

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// No answer: a response, an ACK or nothing that can be answered.
    Silent,
    /// Refused by this layer.
    Refused(u16),
    /// Handed to the next layer.
    Served,
}

struct Row {
    file: String,
    valid: String,
    must: String,
    should: String,
    fix_length: bool,
}

fn own() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sip")
}

fn foreign() -> Option<PathBuf> {
    let named = std::env::var_os("SWITCH12345_CORPORA").map(PathBuf::from);
    let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/corpora"));
    named.into_iter().chain([beside]).find(|path| path.join("expected.csv").is_file())
}

/// Cuts one line of the index; a field in quotes may hold commas.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for symbol in line.chars() {
        match symbol {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            symbol => fields.last_mut().unwrap().push(symbol),
        }
    }
    fields
}

fn index(folder: &Path) -> Vec<Row> {
    let text = std::fs::read_to_string(folder.join("expected.csv")).unwrap();
    let rows = text.lines().skip(1).map(fields).filter(|row| row[2] == "sip");
    rows.map(|row| Row {
        file: row[0].clone(),
        valid: row[4].clone(),
        must: row[5].clone(),
        should: row[6].clone(),
        fix_length: row[7] == "clfix",
    })
    .collect()
}

/// Some files of RFC 5118 were reformatted by those who keep them, so that their length is wrong.
fn with_true_length(bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let lines = head.split("\r\n").map(|line| match line.split_once(':') {
        Some((name, _)) if name.eq_ignore_ascii_case("content-length") => format!("{name}: {}", body.len()),
        _ => line.to_owned(),
    });
    format!("{}\r\n\r\n{body}", lines.collect::<Vec<_>>().join("\r\n")).into_bytes()
}

fn judge(bytes: Vec<u8>) -> Verdict {
    let message = match Message::datagram(Bytes::from(bytes)) {
        Err(malformed) => {
            return match malformed.response_bytes() {
                Some(answer) => {
                    assert_eq!(Message::datagram(answer).ok().and_then(|answer| answer.status()), answered(&malformed));
                    Verdict::Refused(malformed.status)
                }
                None => Verdict::Silent,
            };
        }
        Ok(message) => message,
    };
    if message.is_response() {
        return Verdict::Silent;
    }
    if let Err(refusal) = message.check_request() {
        return Verdict::Refused(refusal.status);
    }
    match message.check_extensions(&EXTENSIONS) {
        Err((refusal, unknown)) => {
            assert!(!unknown.is_empty());
            Verdict::Refused(refusal.status)
        }
        Ok(()) => Verdict::Served,
    }
}

/// An answer to a request that lacks From, To, Call-ID or CSeq lacks them too, and is then no message by our own rule.
fn answered(malformed: &switch12345::sip::message::Malformed) -> Option<u16> {
    let whole = malformed.response_bytes().and_then(|answer| Message::datagram(answer).ok()).is_some();
    whole.then_some(malformed.status)
}

fn check(row: &Row, verdict: &Verdict) -> Result<(), String> {
    let statuses: Vec<u16> = row.should.split('|').filter_map(|word| word.parse().ok()).collect();
    let answered =
        row.should.split('|').any(|word| word == "answered") || statuses.iter().any(|code| !OURS.contains(code));
    let refused = matches!(verdict, Verdict::Refused(status) if statuses.contains(status));
    let must = row.must.split(' ').next().unwrap_or_default();
    let right = match must {
        "norsp" => *verdict == Verdict::Silent,
        "answered" if row.valid == "valid" => *verdict == Verdict::Served,
        "answered" => *verdict != Verdict::Silent,
        "!2xx" if row.should == "4xx" => matches!(verdict, Verdict::Refused(400..=499)),
        "!2xx" => refused || (answered && *verdict == Verdict::Served),
        "alive" => row.should.is_empty() || refused || (answered && *verdict == Verdict::Served),
        other => return Err(format!("{}: unknown word {other}", row.file)),
    };
    if right { Ok(()) } else { Err(format!("{}: {verdict:?}, must {}, should {}", row.file, row.must, row.should)) }
}

fn run(folder: &Path) -> usize {
    let rows = index(folder);
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            let bytes = std::fs::read(folder.join(&row.file)).unwrap();
            let bytes = if row.fix_length { with_true_length(&bytes) } else { bytes };
            check(row, &judge(bytes)).err()
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    rows.len()
}

#[test]
fn our_own_messages_are_judged_as_their_index_says() {
    let files = std::fs::read_dir(own()).unwrap().filter_map(Result::ok);
    let files = files.filter(|file| file.path().extension().is_some_and(|kind| kind == "sip")).count();
    assert_eq!(run(&own()), files, "each file has its row");
}

#[test]
fn torture_tests_are_judged_as_their_index_says() {
    match foreign() {
        Some(folder) => assert_eq!(run(&folder), 61, "49 of RFC 4475 and 12 of RFC 5118"),
        None => eprintln!("the foreign set is not at hand; only our own messages were judged"),
    }
}

#[test]
fn every_message_cut_or_changed_anywhere_is_survived() {
    for row in index(&own()) {
        let bytes = std::fs::read(own().join(&row.file)).unwrap();
        for at in 0..bytes.len() {
            judge(bytes[..at].to_vec());
            let odd = [0, b'\n', b'"', b'<', b',', 0x81, 0xff];
            let mut changed = bytes.clone();
            changed[at] = odd[at % odd.len()];
            judge(changed);
        }
    }
}
