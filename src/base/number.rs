//! Telephone numbers as carriers write them, and what they mean: dialled forms and caller forms.
//!
//! Deliberately absent: which numbers exist (that is the plan's), and any guess of a region from a mobile number.
//! Sources: `domain.md` §3.3; RFC 3966 §5.1.1 (visual separators), §5.1.5 (`phone-context`); RFC 5031 §4.2 (`sos`).

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::hotline::CallerKind;

/// A long-distance area code, shown with its leading zero: `0476`, `010`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AreaCode(u16);

impl AreaCode {
    /// Reads `0476`, `476`, `010` or `10`.
    ///
    /// The rule of the national plan: two digits after the zero for 010, 020–025 and 027–029, otherwise three.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('0').unwrap_or(text);
        (digits.len() == Self::len_of(digits)? && digits.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| digits.parse().ok().map(Self))?
    }

    /// Splits digits that begin with an area code without its zero: `4768337772` → 0476, `8337772`.
    #[must_use]
    pub fn split(digits: &str) -> Option<(Self, &str)> {
        let (area, rest) = digits.split_at_checked(Self::len_of(digits)?)?;
        Some((Self::parse(area)?, rest))
    }

    /// How many digits the area code at the start of these digits has, without its zero.
    fn len_of(digits: &str) -> Option<usize> {
        match digits.as_bytes() {
            [b'1', b'0', ..] => Some(2),
            [b'2', b'0'..=b'5' | b'7'..=b'9', ..] => Some(2),
            [b'3'..=b'9', ..] => Some(3),
            _ => None,
        }
    }

    /// The digits without the leading zero, as they follow +86.
    #[must_use]
    pub fn without_zero(self) -> String {
        self.0.to_string()
    }
}

impl fmt::Display for AreaCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0{}", self.0)
    }
}

impl fmt::Debug for AreaCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for AreaCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AreaCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not an area code"))
    }
}

/// A caller's number: as it came, and what it means.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CallerNumber {
    /// As the carrier wrote it.
    pub raw: String,
    /// Normal form: mobile 11 digits, landline area code with zero and number, foreign with `+`; empty when hidden.
    pub normal: String,
    /// What kind of number it is.
    pub kind: CallerKind,
    /// The area of a landline; never guessed for a mobile.
    pub area: Option<AreaCode>,
}

/// One reading of a dialled number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The area, where the form names one or a local form inherits one.
    pub area: Option<AreaCode>,
    /// The digits after it.
    pub number: String,
    /// Whether the form leaves no other reading: `0476…`, `+86…`, or the digits as they stand. Emergency numbers are
    /// recognised before the plan only in such a form.
    pub sure: bool,
}

/// A URI's or header's number taken apart: leading plus, digits, phone-context.
struct Parts {
    plus: bool,
    digits: String,
    context: Option<String>,
}

/// The longest number read, in digits; E.164 has 15, service numbers up to 20.
pub const DIGITS_MAX: usize = 32;

impl Parts {
    /// `None` when what remains after separators is not a number.
    fn read(raw: &str) -> Option<Self> {
        let (user, context) = split_uri(raw);
        let mut plus = false;
        let mut digits = String::with_capacity(user.len().min(DIGITS_MAX));
        for (at, symbol) in user.chars().enumerate() {
            match symbol {
                '+' | '\u{ff0b}' if at == 0 => plus = true,
                '0'..='9' => digits.push(symbol),
                '\u{ff10}'..='\u{ff19}' => digits.extend(char::from_digit(u32::from(symbol) - 0xff10, 10)),
                '-' | '.' | '(' | ')' | ' ' | '\u{a0}' => {}
                _ => return None,
            }
            if digits.len() > DIGITS_MAX {
                return None;
            }
        }
        (!digits.is_empty()).then_some(Self { plus, digits, context })
    }
}

/// Takes the user part and its `phone-context` out of a bare number, a `tel:` or a `sip:` URI; other parameters
/// (`user=phone`, `npdi`, `cpc`, …) are ignored.
fn split_uri(raw: &str) -> (String, Option<String>) {
    let raw = raw.trim().trim_start_matches('<').trim_end_matches('>');
    let body = match raw.split_once(':') {
        Some((scheme, rest)) if ["sip", "sips", "tel"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) => rest,
        _ => raw,
    };
    let before_host = body.split_once('@').map_or(body, |(user, _host)| user);
    let mut parts = before_host.split(';');
    let user = percent_decoded(parts.next().unwrap_or_default());
    let context = parts.find_map(|param| {
        let (name, value) = param.split_once('=')?;
        name.trim().eq_ignore_ascii_case("phone-context").then(|| percent_decoded(value.trim()))
    });
    (user, context)
}

/// The area a `phone-context` names: `+86476`, `+86-476`, `+860476`.
fn area_of(context: &str) -> Option<AreaCode> {
    let digits: String = context.strip_prefix("+86")?.chars().filter(char::is_ascii_digit).collect();
    AreaCode::parse(&digits)
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escaped = (*first == b'%')
            .then(|| tail.get(..2))
            .flatten()
            .and_then(|pair| str::from_utf8(pair).ok())
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The number of a bare text, a `tel:` or a `sip:` URI without separators and parameters: `+` and digits as they came.
#[must_use]
pub fn plain(raw: &str) -> Option<String> {
    let Parts { plus, digits, .. } = Parts::read(raw)?;
    Some(if plus { format!("+{digits}") } else { digits })
}

/// The services of `urn:service:sos` with the lines they are in China, the dedicated one first. A service that has no
/// line of its own is its parent's (RFC 5031 §4.2); the parent is 110, which passes calls on to the others.
const SERVICES: [(&str, &[&str]); 5] = [
    ("police", &["110"]),
    ("fire", &["119", "110"]),
    ("ambulance", &["120", "110"]),
    ("marine", &["12395", "110"]),
    ("traffic", &["122", "110"]),
];

/// The lines a `urn:service:sos…` stands for, the best first; `None` when it is no such URN. A number named for China
/// (`sos.country-specific.cn.119`, 3GPP TS 24.229 §5.1.6.8.1) is that number.
#[must_use]
pub fn sos_lines(uri: &str) -> Option<Vec<String>> {
    const BEGIN: &str = "urn:service:sos";
    let uri = uri.trim().trim_start_matches('<').trim_end_matches('>');
    let service =
        uri.get(BEGIN.len()..).filter(|_| uri.get(..BEGIN.len()).is_some_and(|it| it.eq_ignore_ascii_case(BEGIN)))?;
    let service = service.split([';', '?', '@']).next().unwrap_or_default().to_ascii_lowercase();
    if !service.is_empty() && !service.starts_with('.') {
        return None;
    }
    let service = service.trim_start_matches('.');
    if let Some(number) = service.strip_prefix("country-specific.cn.") {
        let digits = number.split('.').next().unwrap_or_default();
        let fine = !digits.is_empty() && digits.len() <= 8 && digits.bytes().all(|byte| byte.is_ascii_digit());
        return Some(fine.then(|| digits.to_owned()).into_iter().chain(["110".to_owned()]).collect());
    }
    let top = service.split('.').next().unwrap_or_default();
    let lines = SERVICES.iter().find(|(name, _)| *name == top).map_or(&["110"][..], |(_, lines)| *lines);
    Some(lines.iter().map(|line| (*line).to_owned()).collect())
}

/// All readings of a dialled number, the plainest first; each is to be looked up whole.
///
/// `local` is the area of the trunk it came over. Empty when it is no number, or one abroad.
#[must_use]
pub fn dialled(raw: &str, local: Option<AreaCode>) -> Vec<Candidate> {
    let mut found = Vec::with_capacity(4);
    if let Some(lines) = sos_lines(raw) {
        lines.iter().for_each(|line| push(&mut found, None, line, true));
        return found;
    }
    let Some(Parts { plus, digits, context }) = Parts::read(raw) else { return found };
    if plus {
        if let Some(national) = digits.strip_prefix("86") {
            push_national(&mut found, national, local, true);
        }
        return found;
    }
    if let Some(abroad) = digits.strip_prefix("00") {
        if let Some(national) = abroad.strip_prefix("86") {
            push_national(&mut found, national, local, true);
        }
        return found;
    }
    if let Some(area) = context.as_deref().and_then(area_of)
        && !digits.starts_with('0')
    {
        push(&mut found, Some(area), &digits, true);
        if local == Some(area) {
            push(&mut found, None, &digits, true);
        }
        return found;
    }
    if let Some(national) = digits.strip_prefix('0') {
        // 0110 is no form of 110: after the zero there must be an area code.
        if let Some((area, rest)) = AreaCode::split(national) {
            push_area(&mut found, area, rest, local, true);
        }
        return found;
    }
    push(&mut found, local, &digits, true);
    push(&mut found, None, &digits, true);
    if let Some(national) = digits.strip_prefix("86") {
        push_national(&mut found, national, local, false);
    }
    if let Some((area, rest)) = AreaCode::split(&digits) {
        push_area(&mut found, area, rest, local, false);
    }
    found
}

/// Digits as they follow +86: an area code and a number, or a short code without an area.
fn push_national(found: &mut Vec<Candidate>, national: &str, local: Option<AreaCode>, sure: bool) {
    if national.starts_with('0') {
        // +860476…: some gateways keep the trunk zero.
        if let Some((area, rest)) = national.strip_prefix('0').and_then(AreaCode::split) {
            push_area(found, area, rest, local, sure);
        }
        return;
    }
    match AreaCode::split(national) {
        Some((area, rest)) => push_area(found, area, rest, local, sure),
        None => {
            push(found, local, national, sure);
            push(found, None, national, sure);
            return;
        }
    }
    // 96119 and 95xxx look like an area code and a rest, but +8696119 is the short number.
    if national.len() <= 6 {
        push(found, local, national, sure);
        push(found, None, national, sure);
    }
}

fn push_area(found: &mut Vec<Candidate>, area: AreaCode, rest: &str, local: Option<AreaCode>, sure: bool) {
    push(found, Some(area), rest, sure);
    if local == Some(area) {
        push(found, None, rest, sure);
    }
}

fn push(found: &mut Vec<Candidate>, area: Option<AreaCode>, number: &str, sure: bool) {
    if number.is_empty() || found.iter().any(|known| known.area == area && known.number == number) {
        return;
    }
    found.push(Candidate { area, number: number.to_owned(), sure });
}

/// Words carriers write instead of a withheld number.
const WITHHELD: [&str; 7] = ["anonymous", "unavailable", "unknown", "restricted", "private", "withheld", "invalid"];

impl CallerNumber {
    /// Reads a caller's number in any of the forms carriers use; `local` is the area of the trunk.
    #[must_use]
    pub fn read(raw: &str, local: Option<AreaCode>) -> Self {
        let (user, context) = split_uri(raw);
        let hidden = Self { raw: raw.to_owned(), ..Self::default() };
        if user.is_empty() || WITHHELD.iter().any(|word| user.eq_ignore_ascii_case(word)) {
            return hidden;
        }
        let Some(Parts { plus, digits, .. }) = Parts::read(raw) else { return hidden };
        // The context of a local number is the area it is local to (RFC 3966 §5.1.5), whatever trunk it came over.
        let local = context.as_deref().and_then(area_of).or(local);
        let with = |normal: String, kind, area| Self { raw: raw.to_owned(), normal, kind, area };
        if plus || digits.starts_with("00") {
            let abroad = if plus { digits.as_str() } else { digits.trim_start_matches('0') };
            return match abroad.strip_prefix("86") {
                Some(national) => Self::national(raw, national.trim_start_matches('0'), local),
                None => with(format!("+{abroad}"), CallerKind::Foreign, None),
            };
        }
        if let Some(national) = digits.strip_prefix('0') {
            return Self::national(raw, national, local);
        }
        if let Some(national) = digits.strip_prefix("86").filter(|_| digits.len() >= 12) {
            return Self::national(raw, national, local);
        }
        Self::national(raw, &digits, local)
    }

    /// Digits without a leading zero or country code.
    fn national(raw: &str, digits: &str, local: Option<AreaCode>) -> Self {
        let with = |normal: String, kind, area| Self { raw: raw.to_owned(), normal, kind, area };
        if is_mobile(digits) {
            return with(digits.to_owned(), CallerKind::Mobile, None);
        }
        if digits.len() == 10 && (digits.starts_with("400") || digits.starts_with("800")) {
            return with(digits.to_owned(), CallerKind::Short, None);
        }
        if let Some((area, rest)) = AreaCode::split(digits)
            && (7..=8).contains(&rest.len())
            && !rest.starts_with(['0', '1'])
        {
            return with(format!("{area}{rest}"), CallerKind::Landline, Some(area));
        }
        if (7..=8).contains(&digits.len()) && !digits.starts_with(['0', '1']) {
            let normal = local.map_or_else(|| digits.to_owned(), |area| format!("{area}{digits}"));
            return with(normal, CallerKind::Landline, local);
        }
        with(digits.to_owned(), CallerKind::Short, None)
    }
}

/// Whether the digits are a mobile number: `1[3-9]` and nine more.
#[must_use]
pub fn is_mobile(digits: &str) -> bool {
    digits.len() == 11
        && matches!(digits.as_bytes(), [b'1', b'3'..=b'9', ..])
        && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHIFENG: Option<AreaCode> = Some(AreaCode(476));

    fn reads_as(raw: &str, area: Option<AreaCode>, number: &str) -> bool {
        dialled(raw, CHIFENG).iter().any(|found| found.area == area && found.number == number)
    }

    #[test]
    fn area_codes_have_two_or_three_digits_after_the_zero() {
        for (text, shown) in [("010", "010"), ("10", "010"), ("0476", "0476"), ("476", "0476"), ("029", "029")] {
            assert_eq!(AreaCode::parse(text).unwrap().to_string(), shown, "{text}");
        }
        for text in ["", "0", "026", "0101", "04", "04761", "138", "0138", "abc", "+86"] {
            assert_eq!(AreaCode::parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_spelling_of_12345_reads_as_12345() {
        for raw in [
            "12345",
            "047612345",
            "47612345",
            "+8647612345",
            "8647612345",
            "008647612345",
            "tel:12345;phone-context=+86476",
            "tel:+8647612345",
            "12345;phone-context=+86476",
            "sip:12345@10.0.0.1;user=phone",
            "sip:+8647612345;npdi@ims.example;user=phone",
            "sip:047612345;cpc=ordinary@10.0.0.1:5060",
            "1-23-45",
            "0476 12345",
            "(0476)12345",
            "%2B8647612345",
            "+86-476-12345",
            "tel:+86-476-12345;npdi",
            "+8612345",
            "008612345",
            "+86047612345",
            "\u{ff0b}8647612345",
            "\u{ff11}\u{ff12}\u{ff13}\u{ff14}\u{ff15}",
        ] {
            assert!(reads_as(raw, CHIFENG, "12345"), "{raw}: {:?}", dialled(raw, CHIFENG));
        }
    }

    #[test]
    fn every_spelling_of_a_local_number_reads_with_its_area() {
        for raw in ["8337772", "04768337772", "+864768337772", "4768337772", "864768337772", "tel:+864768337772"] {
            assert!(reads_as(raw, CHIFENG, "8337772"), "{raw}");
        }
        assert!(dialled("8337772", AreaCode::parse("0531")).iter().all(|found| found.area != CHIFENG));
    }

    #[test]
    fn short_numbers_that_begin_like_an_area_stay_whole() {
        for raw in ["96119", "+8696119", "047696119", "+8647696119"] {
            assert!(reads_as(raw, CHIFENG, "96119"), "{raw}");
        }
    }

    #[test]
    fn nothing_reads_a_part_of_a_number() {
        for raw in [
            "1381101234",
            "13811012345",
            "1231512345",
            "96119",
            "12110",
            "0138110",
            "0110",
            "9110",
            "1100",
            "sip:x110@h",
            "110a",
        ] {
            for short in ["110", "119", "12345", "12315"] {
                assert!(dialled(raw, CHIFENG).iter().all(|found| found.number != short), "{raw} read as {short}");
            }
        }
    }

    #[test]
    fn another_areas_number_is_never_ours() {
        assert!(dialled("075512345", CHIFENG).iter().all(|found| found.area == AreaCode::parse("0755")));
        assert!(dialled("+12025550100", CHIFENG).is_empty());
        assert!(dialled("0012025550100", CHIFENG).is_empty());
    }

    #[test]
    fn emergency_forms_are_sure_and_guesses_are_not() {
        let sure = |raw: &str| dialled(raw, CHIFENG).iter().any(|found| found.number == "110" && found.sure);
        for raw in ["110", "0476110", "+86476110", "+86110", "tel:110;phone-context=+86476"] {
            assert!(sure(raw), "{raw}");
        }
        assert!(!sure("476110") && !sure("86110"));
    }

    #[test]
    fn rfc5031_s4_2_services_are_lines_and_unknown_ones_their_parent() {
        for (urn, line) in [
            ("urn:service:sos", "110"),
            ("urn:service:sos.police", "110"),
            ("URN:Service:SOS.Fire", "119"),
            ("<urn:service:sos.ambulance>", "120"),
            ("urn:service:sos.ambulance.paediatric", "120"),
            ("urn:service:sos.marine", "12395"),
            ("urn:service:sos.mountain", "110"),
            ("urn:service:sos.ecall.automatic", "110"),
            ("urn:service:sos.country-specific.cn.122", "122"),
            ("urn:service:sos.country-specific.cn.x", "110"),
        ] {
            let found = dialled(urn, CHIFENG);
            assert_eq!(found.first().map(|first| (first.number.as_str(), first.sure)), Some((line, true)), "{urn}");
        }
        for urn in ["urn:service:counseling", "urn:service:sosx", "urn:service", "sip:urn@h", "urn:nena:service:sos"] {
            assert_eq!(sos_lines(urn), None, "{urn}");
        }
    }

    #[test]
    fn a_plain_number_has_no_separators_and_no_parameters() {
        for (raw, number) in [
            ("tel:+86-476-833.7772;npdi", Some("+864768337772")),
            ("sip:(0476)8337772;cpc=ordinary@h;user=phone", Some("04768337772")),
            ("%2B8613800001234", Some("+8613800001234")),
            ("anonymous", None),
            ("", None),
        ] {
            assert_eq!(plain(raw).as_deref(), number, "{raw}");
        }
    }

    #[test]
    fn caller_forms_read_as_what_they_are() {
        use CallerKind::{Foreign, Hidden, Landline, Mobile, Short};
        let cases: &[(&str, &str, CallerKind)] = &[
            ("13800001234", "13800001234", Mobile),
            ("013800001234", "13800001234", Mobile),
            ("+8613800001234", "13800001234", Mobile),
            ("8613800001234", "13800001234", Mobile),
            ("008613800001234", "13800001234", Mobile),
            ("tel:+8613800001234", "13800001234", Mobile),
            ("sip:+8613800001234@ims.example;user=phone", "13800001234", Mobile),
            ("01088880000", "01088880000", Landline),
            ("+861088880000", "01088880000", Landline),
            ("8800001", "04768800001", Landline),
            ("04768800001", "04768800001", Landline),
            ("+864768800001", "04768800001", Landline),
            ("864768800001", "04768800001", Landline),
            ("4768800001", "04768800001", Landline),
            ("86000001", "047686000001", Landline),
            ("95588", "95588", Short),
            ("4000000000", "4000000000", Short),
            ("10086", "10086", Short),
            ("110", "110", Short),
            ("+12025550100", "+12025550100", Foreign),
            ("0085221234567", "+85221234567", Foreign),
            ("04768223344", "04768223344", Landline),
            ("8223344", "04768223344", Landline),
            ("+864768223344", "04768223344", Landline),
            ("tel:8223344;phone-context=+86476", "04768223344", Landline),
            ("tel:8223344;phone-context=+86471", "04718223344", Landline),
            ("sip:8223344;phone-context=+86-471@h;user=phone", "04718223344", Landline),
            ("tel:04768223344;npdi;rn=+86476", "04768223344", Landline),
            ("tel:13800001234;phone-context=+86", "13800001234", Mobile),
            ("tel:+86-476-822-3344", "04768223344", Landline),
            ("tel:+86-138.0000(1234)", "13800001234", Mobile),
            ("sip:+864768223344;npdi@ims.example;user=phone", "04768223344", Landline),
            ("864768223344", "04768223344", Landline),
            ("00864768223344", "04768223344", Landline),
            ("+8604768223344", "04768223344", Landline),
            ("13800001234;phone-context=carrier.example", "13800001234", Mobile),
            ("95588;phone-context=+86", "95588", Short),
            ("+1-202-555-0100", "+12025550100", Foreign),
            ("Unavailable", "", Hidden),
            ("Anonymous", "", Hidden),
            ("Restricted", "", Hidden),
            ("tel:anonymous", "", Hidden),
            ("anonymous", "", Hidden),
            ("sip:anonymous@anonymous.invalid", "", Hidden),
            ("", "", Hidden),
            ("alice", "", Hidden),
        ];
        for (raw, normal, kind) in cases {
            let read = CallerNumber::read(raw, CHIFENG);
            assert_eq!((read.normal.as_str(), read.kind, read.raw.as_str()), (*normal, *kind, *raw), "{raw}");
        }
    }

    #[test]
    fn a_mobile_never_gets_an_area() {
        assert_eq!(CallerNumber::read("013800001234", CHIFENG).area, None);
        assert_eq!(CallerNumber::read("04768800001", CHIFENG).area, CHIFENG);
    }

    #[test]
    fn a_number_without_end_is_no_number() {
        assert!(dialled(&"1".repeat(DIGITS_MAX + 1), CHIFENG).is_empty());
        assert_eq!(dialled(&"1".repeat(DIGITS_MAX), CHIFENG).len(), 2);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(raw in ".{0,60}") {
            let _ = dialled(&raw, CHIFENG);
            let _ = dialled(&raw, None);
            let _ = CallerNumber::read(&raw, CHIFENG);
        }

        #[test]
        fn no_digits_make_it_panic(raw in "[+0-9%;:@=]{0,40}") {
            let _ = dialled(&raw, CHIFENG);
            let _ = CallerNumber::read(&raw, None);
        }
    }
}
