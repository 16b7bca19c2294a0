//! Spoken texts: filling in their variables, and cutting them into recordings that can be played one after another.
//!
//! A text with variables is a row of clips: fixed pieces `<prompt>.1`, `<prompt>.2`, …, and for variables
//! `hotline/<number>`, `place/<tenant>`, `title/<tenant>`, `unit/<name>`, `topic/<word>`, `emergency/<number>`,
//! `digit/<0-9>`, `count/<n>`. A clip is the file `prompts/<tenant>/<clip>.wav`, else `prompts/<clip>.wav`.
//! Speaking rules (`wording.md`): numbers digit by digit with 幺, 12345 as 一二三四五, counts with 两.
//! Deliberately absent: audio.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::plan::diagnose::{At, Faults, nearest};
use crate::plan::model::{EmergencyLine, Hotline, Plan, Tenant};
use crate::plan::step::Announcement;

/// The default texts.
pub(super) const WORDING: &str = include_str!("wording.toml");

/// Variables a text may have.
const VARIABLES: [&str; 10] =
    ["line", "title", "hotline", "number", "unit", "agent", "count", "minutes", "desk", "topic"];

/// What fills the variables of a prompt; what is not given is left out of the spoken text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spoken<'a> {
    /// `{hotline}`, and `{number}`, `{unit}`, `{topic}` where they are not given.
    pub hotline: Option<&'a Hotline>,
    /// `{number}`.
    pub number: Option<&'a str>,
    /// `{unit}`.
    pub unit: Option<&'a str>,
    /// `{agent}`.
    pub agent: Option<&'a str>,
    /// `{count}`.
    pub count: Option<u32>,
    /// `{minutes}`, rounded up by the caller.
    pub minutes: Option<u32>,
    /// `{desk}`, and `{number}` where it is not given.
    pub desk: Option<&'a EmergencyLine>,
}

enum Piece<'t> {
    Fixed(&'t str),
    Variable(&'t str),
}

/// Cuts a text at its variables; pieces without anything to speak are left out.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        push_fixed(&mut found, before);
        let Some((name, tail)) = after.split_once('}') else {
            rest = after;
            break;
        };
        found.push(Piece::Variable(name));
        rest = tail;
    }
    push_fixed(&mut found, rest);
    found
}

fn push_fixed<'t>(found: &mut Vec<Piece<'t>>, text: &'t str) {
    if text.chars().any(char::is_alphanumeric) {
        found.push(Piece::Fixed(text));
    }
}

/// Checks a text's variables.
pub(super) fn check_text(text: &str, at: At, faults: &mut Faults) {
    if text.matches('{').count() != text.matches('}').count() {
        faults.error("E0130", at, "a prompt's braces do not match", "in this text");
        return;
    }
    for piece in pieces(text) {
        if let Piece::Variable(name) = piece
            && !VARIABLES.contains(&name)
        {
            let hint = nearest(name, VARIABLES).map_or_else(
                || format!("known: {}", VARIABLES.join(", ")),
                |near| format!("did you mean `{{{near}}}`?"),
            );
            faults.error("E0130", at, format!("a prompt has no variable `{{{name}}}`"), "in this text").help(hint);
        }
    }
}

impl Tenant {
    /// A prompt with its variables filled in; `None` when the place has switched it off or has none of that name.
    #[must_use]
    pub fn announcement(&self, name: &str, words: &Spoken<'_>) -> Option<Announcement> {
        let prompt = self.prompts.get(name).filter(|prompt| !prompt.text.trim().is_empty())?;
        let mut text = String::with_capacity(prompt.text.len() + 32);
        let mut clips = Vec::new();
        let mut rest = prompt.text.as_str();
        let mut fixed = 0;
        loop {
            let (before, after) = rest.split_once('{').map_or((rest, None), |(before, after)| (before, Some(after)));
            text.push_str(before);
            if before.chars().any(char::is_alphanumeric) {
                fixed += 1;
                clips.push(Arc::from(format!("{name}.{fixed}")));
            }
            let Some((variable, tail)) = after.and_then(|after| after.split_once('}')) else { break };
            self.fill(variable, words, &mut text, &mut clips);
            rest = tail;
        }
        if let Some(file) = &prompt.file {
            clips = vec![Arc::from(file.as_str())];
        }
        Some(Announcement { name: name.to_owned(), text, clips })
    }

    fn fill(&self, variable: &str, words: &Spoken<'_>, text: &mut String, clips: &mut Vec<Arc<str>>) {
        let mut say = |said: &str, clip: String| {
            text.push_str(said);
            clips.push(Arc::from(clip));
        };
        match variable {
            "line" => say(&self.line_name, format!("place/{}", self.name)),
            "title" => say(&self.title, format!("title/{}", self.name)),
            "hotline" => {
                if let Some(hotline) = words.hotline {
                    say(&hotline.spoken_name, format!("hotline/{}", hotline.number));
                }
            }
            "unit" => {
                let own = || words.hotline.and_then(|hotline| hotline.unit.as_deref());
                if let Some(unit) = words.unit.or_else(own) {
                    say(unit, format!("unit/{unit}"));
                }
            }
            "topic" => {
                if let Some(hotline) = words.hotline.filter(|hotline| !hotline.topic.is_empty()) {
                    say(&hotline.topic, format!("topic/{}", hotline.topic));
                }
            }
            "desk" => {
                if let Some(desk) = words.desk {
                    say(&desk.name, format!("emergency/{}", desk.number));
                }
            }
            "number" => {
                let number = words
                    .number
                    .or_else(|| words.desk.map(|desk| desk.number.as_str()))
                    .or_else(|| words.hotline.map(|hotline| &*hotline.number));
                spell(number.unwrap_or_default(), text, clips);
            }
            "agent" => spell(words.agent.unwrap_or_default(), text, clips),
            "count" => count(words.count, text, clips),
            "minutes" => count(words.minutes, text, clips),
            _ => {}
        }
    }
}

/// A number digit by digit.
fn spell(number: &str, text: &mut String, clips: &mut Vec<Arc<str>>) {
    text.push_str(number);
    if number == "12345" {
        clips.push(Arc::from("number/12345"));
        return;
    }
    clips.extend(number.chars().filter(char::is_ascii_digit).map(|digit| Arc::from(format!("digit/{digit}"))));
}

/// A count: one clip up to twenty, two up to ninety-nine, then “a hundred and more”.
fn count(count: Option<u32>, text: &mut String, clips: &mut Vec<Arc<str>>) {
    let Some(count) = count else { return };
    text.push_str(&count_word(count));
    match count {
        0..=20 => clips.push(Arc::from(format!("count/{count}"))),
        21..=99 => {
            clips.push(Arc::from(format!("count/{}", count / 10 * 10)));
            if count % 10 > 0 {
                // 二十二, not 二十两.
                let ones = if count % 10 == 2 { "two".to_owned() } else { (count % 10).to_string() };
                clips.push(Arc::from(format!("count/{ones}")));
            }
        }
        _ => clips.push(Arc::from("count/100")),
    }
}

const DIGITS: [&str; 10] = ["零", "一", "二", "三", "四", "五", "六", "七", "八", "九"];

fn digit_word(digit: u32) -> &'static str {
    DIGITS.get(digit as usize).copied().unwrap_or_default()
}

/// A count in words: 两 alone, 十二, 二十二; more than ninety-nine is 一百多.
fn count_word(count: u32) -> String {
    match count {
        2 => "两".to_owned(),
        0..=9 => digit_word(count).to_owned(),
        10..=99 => {
            let tens = if count < 20 { "" } else { digit_word(count / 10) };
            let ones = if count.is_multiple_of(10) { "" } else { digit_word(count % 10) };
            format!("{tens}十{ones}")
        }
        _ => "一百多".to_owned(),
    }
}

/// A text as a voice should say it: codes of three digits and more digit by digit with 幺, 12345 as 一二三四五.
#[must_use]
pub fn as_spoken(text: &str) -> String {
    let mut spoken = String::with_capacity(text.len() * 2);
    let mut run = String::new();
    for symbol in text.chars().chain(std::iter::once('\0')) {
        if symbol.is_ascii_digit() {
            run.push(symbol);
            continue;
        }
        if run.len() < 3 {
            spoken.push_str(&run);
        } else if run == "12345" {
            spoken.push_str("一二三四五");
        } else {
            spoken.extend(run.chars().filter_map(|digit| match digit.to_digit(10) {
                Some(1) => Some("幺"),
                digit => digit.map(digit_word),
            }));
        }
        run.clear();
        if symbol != '\0' {
            spoken.push(symbol);
        }
    }
    spoken
}

/// Every recording a plan may ask for, with the text to speak: path under the prompts directory without `.wav`.
///
/// Queue music is no speech and not listed.
#[must_use]
pub fn inventory(plan: &Plan) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for digit in 0..=9_u32 {
        let word = if digit == 1 { "幺" } else { digit_word(digit) };
        found.insert(format!("digit/{digit}"), word.to_owned());
    }
    for number in (0..=20).chain((30..=100).step_by(10)) {
        found.insert(format!("count/{number}"), count_word(if number == 100 { 101 } else { number }));
    }
    found.insert("count/two".to_owned(), "二".to_owned());
    found.insert("number/12345".to_owned(), "一二三四五".to_owned());
    for tenant in plan.tenants.values() {
        tenant_inventory(tenant, &mut found);
    }
    found
}

fn tenant_inventory(tenant: &Tenant, found: &mut BTreeMap<String, String>) {
    let place = &tenant.name;
    found.insert(format!("place/{place}"), as_spoken(&tenant.line_name));
    found.insert(format!("title/{place}"), as_spoken(&tenant.title));
    for (name, prompt) in &tenant.prompts {
        let directory = if prompt.own { format!("{place}/") } else { String::new() };
        if let Some(file) = &prompt.file {
            found.insert(format!("{directory}{file}"), as_spoken(&prompt.text));
            continue;
        }
        let fixed = pieces(&prompt.text).into_iter().filter_map(|piece| match piece {
            Piece::Fixed(text) => Some(text),
            Piece::Variable(_) => None,
        });
        for (nth, text) in fixed.enumerate() {
            let text = text.trim_start_matches(|symbol: char| !symbol.is_alphanumeric());
            found.insert(format!("{directory}{name}.{}", nth + 1), as_spoken(text));
        }
    }
    for hotline in tenant.hotlines.values() {
        found.insert(format!("{place}/hotline/{}", hotline.number), as_spoken(&hotline.spoken_name));
        if !hotline.topic.is_empty() {
            found.insert(format!("topic/{}", hotline.topic), as_spoken(&hotline.topic));
        }
        if let Some(unit) = &hotline.unit {
            found.insert(format!("unit/{unit}"), as_spoken(unit));
        }
    }
    for unit in tenant.units.keys() {
        found.insert(format!("unit/{unit}"), as_spoken(unit));
    }
    for line in tenant.emergency.values() {
        found.insert(format!("{place}/emergency/{}", line.number), as_spoken(&line.name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_spelled_and_small_numbers_are_not() {
        assert_eq!(as_spoken("12329住房公积金热线"), "幺二三二九住房公积金热线");
        assert_eq!(as_spoken("请拨打12345"), "请拨打一二三四五");
        assert_eq!(as_spoken("7乘24小时,请按1"), "7乘24小时,请按1");
        assert_eq!(as_spoken("110"), "幺幺零");
    }

    #[test]
    fn counts_use_liang_only_alone() {
        let words: Vec<_> = [1, 2, 10, 12, 20, 22, 99, 250].into_iter().map(count_word).collect();
        assert_eq!(words, ["一", "两", "十", "十二", "二十", "二十二", "九十九", "一百多"]);
        let (mut text, mut clips) = (String::new(), Vec::new());
        count(Some(22), &mut text, &mut clips);
        assert_eq!(clips, [Arc::from("count/20"), Arc::from("count/two")]);
    }

    #[test]
    fn a_variable_slip_is_named() {
        let mut faults = Faults::default();
        check_text("您好,{hotlin}", At { file: 0, start: 0, end: 1 }, &mut faults);
        let list = faults.into_sorted();
        assert_eq!(list[0].help.as_deref(), Some("did you mean `{hotline}`?"));
    }
}
