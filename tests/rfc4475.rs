//! Judges whole messages as an index says: torture tests of RFC 4475 and RFC 5118 where they are at hand, and our own
//! set always.
//!
//! The index has one row per file with what *must* happen and what *should*: `answered` (some answer), `!2xx` (an
//! answer that is no success), `norsp` (no answer), `alive` (anything but a crash), and statuses. Each message is
//! judged twice: by reading and checking alone, where a status that only a later layer can give (401, 405, 415, …) is
//! out of reach and the message must be read without fault; and by the whole engine, with a live call beside it that
//! must not change.
//!
//! The foreign set is looked for in `$SWITCH12345_CORPORA`, then as `shared/corpora` beside the repository and beside
//! each folder above it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use switch12345::base::flow::Side;
use switch12345::sip::digest::{Algorithm, Counted, Line, response};
use switch12345::sip::message::{Message, Method};

use crate::engine::{Engine, udp};
use crate::wire::Talk;

#[path = "sim/engine.rs"]
#[expect(dead_code, unreachable_pub, reason = "each test binary uses its own part of the harness")]
mod engine;
#[path = "sim/media.rs"]
#[expect(dead_code, reason = "each test binary uses its own part of the harness")]
mod media;
#[path = "sim/town.rs"]
#[expect(unreachable_pub, reason = "shared by several test binaries")]
mod town;
#[path = "sim/wire.rs"]
#[expect(dead_code, unreachable_pub, reason = "each test binary uses its own part of the harness")]
mod wire;

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
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|above| above.join("shared/corpora"));
    named.into_iter().chain(beside).find(|path| path.join("expected.csv").is_file())
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

fn bytes_of(folder: &Path, row: &Row) -> Vec<u8> {
    let bytes = std::fs::read(folder.join(&row.file)).unwrap();
    if row.fix_length { with_true_length(&bytes) } else { bytes }
}

fn complain(wrong: &[String], rows: usize) -> usize {
    assert!(wrong.is_empty(), "{} of {rows}:\n{}", wrong.len(), wrong.join("\n"));
    rows
}

fn run(folder: &Path) -> usize {
    let rows = index(folder);
    let judged = |row: &Row| check(row, &judge(bytes_of(folder, row))).err();
    complain(&rows.iter().filter_map(judged).collect::<Vec<_>>(), rows.len())
}

const CALLER: &str = "10.1.0.7:5060";
const PHONE: &str = "10.8.0.1:5060";

/// An engine in which somebody talks.
fn talking() -> Engine {
    let mut engine = Engine::new(2);
    engine.register("1001", udp(Side::Agent, PHONE));
    let mut caller = Talk::caller(udp(Side::Trunk, CALLER), "12369", "live");
    engine.receive(caller.flow, caller.invite());
    let invite = engine.expect(PHONE.parse().unwrap(), &["INVITE"]).remove(0);
    let phone = Talk::callee(udp(Side::Agent, PHONE), &invite, "tb");
    engine.receive(phone.flow, phone.accept(&invite));
    let sent = engine.expect(CALLER.parse().unwrap(), &["100 INVITE", "200 INVITE"]);
    caller.learn(&sent[1]);
    let ack = caller.ack("");
    engine.receive(caller.flow, ack);
    // Until its transactions have ended nothing in it moves by itself.
    engine.run_for(Duration::from_secs(40));
    engine.wire.clear();
    engine
}

/// Statuses the engine answers a message with, and Call-IDs it answered.
fn answers(engine: &mut Engine, side: Side, bytes: Vec<u8>) -> (Vec<u16>, Vec<String>) {
    let stranger = if side == Side::Trunk { "10.2.0.99:5060" } else { "10.8.9.9:5060" };
    engine.receive(udp(side, stranger), bytes);
    // An INVITE is decided, refused after its prompt and no longer repeated within this time.
    engine.run_for(Duration::from_secs(120));
    let sent = std::mem::take(&mut engine.wire);
    let sent = sent.into_iter().filter(|(flow, _)| flow.remote.to_string() == stranger);
    let lines: Vec<_> = sent.map(|(_, bytes)| String::from_utf8_lossy(&bytes).into_owned()).collect();
    let status = |text: &String| text.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok();
    let call_id = |text: &String| {
        let line = text.lines().find(|line| line.to_ascii_lowercase().starts_with("call-id:"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    (lines.iter().filter_map(status).collect(), lines.iter().filter_map(call_id).collect())
}

/// What the whole engine makes of a message.
fn check_treated(row: &Row, statuses: &[u16], call_ids: &[String]) -> Result<(), String> {
    let wanted: Vec<u16> = row.should.split('|').filter_map(|word| word.parse().ok()).collect();
    let given = statuses.iter().copied().find(|status| *status >= 200);
    let mut right = true;
    for word in row.must.split(' ') {
        right &= match word {
            "norsp" => statuses.is_empty(),
            "answered" => !statuses.is_empty(),
            "!2xx" => given.is_some_and(|status| status >= 300),
            "alive" => true,
            word => match word.strip_prefix("noreply=") {
                Some(call_id) => !call_ids.iter().any(|answered| answered == call_id),
                None => return Err(format!("{}: unknown word {word}", row.file)),
            },
        };
    }
    // What a number that is not in the plan gets comes before what its body or its Accept would get.
    let unknown = given == Some(404) && row.valid == "valid";
    right &= match row.should.as_str() {
        "" => true,
        "4xx" => given.is_some_and(|status| (400..500).contains(&status)),
        _ if row.should.contains("answered") && !statuses.is_empty() => true,
        _ => unknown || given.is_some_and(|status| wanted.contains(&status)),
    };
    if right { Ok(()) } else { Err(format!("{}: {statuses:?}, must {}, should {}", row.file, row.must, row.should)) }
}

fn side_of(bytes: &[u8]) -> Side {
    let registers = Message::datagram(Bytes::copy_from_slice(bytes)).is_ok_and(|message| message.is(&Method::Register));
    if registers { Side::Agent } else { Side::Trunk }
}

/// Every message through the whole engine, by the side it belongs to.
fn treat(folder: &Path) -> usize {
    let rows = index(folder);
    let mut wrong = Vec::new();
    for row in &rows {
        let mut engine = talking();
        let before = engine.call().clone();
        let bytes = bytes_of(folder, row);
        let (statuses, call_ids) = answers(&mut engine, side_of(&bytes), bytes);
        wrong.extend(check_treated(row, &statuses, &call_ids).err());
        assert_eq!(engine.calls.values().next(), Some(&before), "{}: the live call has changed", row.file);
        let tables = engine.tables();
        if (tables.calls, tables.switch_calls, tables.legs) != (1, 1, 2) {
            wrong.push(format!("{}: left {tables:?}\n{}", row.file, engine.story()));
        }
    }
    complain(&wrong, rows.len())
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
fn our_own_messages_are_treated_by_the_engine_as_their_index_says() {
    assert!(treat(&own()) > 30);
}

#[test]
fn torture_tests_are_treated_by_the_engine_as_their_index_says() {
    match foreign() {
        Some(folder) => assert_eq!(treat(&folder), 61, "49 of RFC 4475 and 12 of RFC 5118"),
        None => eprintln!("the foreign set is not at hand; only our own messages were treated"),
    }
}

#[test]
fn every_message_from_a_stranger_is_survived_and_keeps_nothing() {
    for folder in [Some(own()), foreign()].into_iter().flatten() {
        let mut engine = talking();
        let before = (engine.tables(), engine.call().clone());
        for row in index(&folder) {
            for side in [Side::Trunk, Side::Agent] {
                engine.receive(udp(side, "203.0.113.9:5060"), bytes_of(&folder, &row));
            }
        }
        let sent = std::mem::take(&mut engine.wire);
        assert!(
            sent.iter().all(|(flow, _)| flow.remote.ip().to_string() == "203.0.113.9"),
            "answers go where it came from"
        );
        assert!(
            sent.iter()
                .all(|(_, bytes)| !bytes.starts_with(b"SIP/2.0 2") || bytes.windows(7).any(|at| at == b"OPTIONS"))
        );
        assert_eq!((engine.tables(), engine.call().clone()), before);
    }
}

#[test]
fn published_digests_are_reproduced() {
    let Some(folder) = foreign() else { return };
    let text = std::fs::read_to_string(folder.join("vectors/digest.json")).unwrap();
    let vectors: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(vectors.len(), 10);
    for vector in &vectors {
        let field = |name: &str| vector[name].as_str().unwrap_or_default().as_bytes();
        let algorithm = match vector["algorithm"].as_str().unwrap() {
            "MD5" => Algorithm::Md5,
            "SHA-256" => Algorithm::Sha256,
            "SHA-512-256" => Algorithm::Sha512Trunc256,
            other => panic!("{other}"),
        };
        let counted = vector["qop"].is_string().then(|| Counted { nc: field("nc"), cnonce: field("cnonce") });
        let line = Line { method: field("method"), uri: field("uri") };
        let (user, realm, password) = (field("username"), field("realm"), field("password"));
        let given = response(algorithm, user, realm, password, line, field("nonce"), counted);
        assert_eq!(given.as_bytes(), field("response"), "{vector}");
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
