//! Work days, swapped days, holidays and working hours, as dated data.
//!
//! Deliberately absent: the present time, which comes in as a value, and any list of holidays: a calendar is data of
//! a place. Every rule is read in the place's time zone (Asia/Shanghai by default), to the second.

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};

/// The civil date and time of a moment in China, which has had one offset and no summer time since 1992.
#[must_use]
pub fn china(wall: Timestamp) -> DateTime {
    TimeZone::fixed(Offset::constant(8)).to_datetime(wall)
}

/// The moment of a civil date and time in China; `None` when it lies outside the range of time.
#[must_use]
pub fn from_china(civil: DateTime) -> Option<Timestamp> {
    TimeZone::fixed(Offset::constant(8)).to_timestamp(civil).ok()
}

/// A run of days, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Days {
    /// The first day.
    pub first: Date,
    /// The last day, itself included.
    pub last: Date,
}

impl Days {
    /// Whether the day lies in the run.
    #[must_use]
    pub fn contain(&self, day: Date) -> bool {
        self.first <= day && day <= self.last
    }
}

/// Holidays and swapped working weekends (调休) of the years it covers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Calendar {
    /// Days off, beside weekends.
    pub off: Vec<Days>,
    /// Weekend days that are worked.
    pub work: Vec<Date>,
    /// The years the lists above are complete for.
    pub covers: Vec<i16>,
}

impl Calendar {
    /// Whether the day is a working day: swapped days first, then holidays, then Monday to Friday.
    #[must_use]
    pub fn is_workday(&self, day: Date) -> bool {
        if self.work.contains(&day) {
            return true;
        }
        if self.off.iter().any(|days| days.contain(day)) {
            return false;
        }
        !matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday)
    }

    /// The first day within `ahead` days after `day` whose year is not covered.
    #[must_use]
    pub fn first_uncovered(&self, day: Date, ahead: u16) -> Option<Date> {
        let last = day.checked_add(i64::from(ahead).days()).unwrap_or(Date::MAX);
        if !self.covers.contains(&day.year()) {
            return Some(day);
        }
        (day.year() < last.year() && !self.covers.contains(&last.year()))
            .then(|| Date::new(last.year(), 1, 1).unwrap_or(last))
    }
}

/// One opening of a day: from inclusive, until exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Opening {
    /// Opens at.
    pub from: Time,
    /// Closes at; midnight written as `24:00` is [`Opening::END`].
    pub until: Time,
}

impl Opening {
    /// The last instant of a day, standing for 24:00.
    pub const END: Time = Time::MAX;

    /// Whether the time of day lies in the opening.
    #[must_use]
    pub fn contains(&self, time: Time) -> bool {
        self.from <= time && (time < self.until || self.until == Self::END)
    }
}

/// Working hours of a place on its working days.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WorkHours {
    /// The openings of a working day, in order.
    pub openings: Vec<Opening>,
}

impl WorkHours {
    /// Whether the civil moment is working time.
    #[must_use]
    pub fn open_at(&self, calendar: &Calendar, civil: DateTime) -> bool {
        calendar.is_workday(civil.date()) && self.openings.iter().any(|opening| opening.contains(civil.time()))
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::{date, time};

    use super::*;

    fn year_2026() -> Calendar {
        Calendar {
            off: vec![Days { first: date(2026, 2, 15), last: date(2026, 2, 23) }],
            work: vec![date(2026, 2, 14)],
            covers: vec![2026],
        }
    }

    #[test]
    fn swapped_saturday_is_worked_and_the_monday_off_is_not() {
        let calendar = year_2026();
        assert!(calendar.is_workday(date(2026, 2, 14)));
        assert!(!calendar.is_workday(date(2026, 2, 16)));
        assert!(calendar.is_workday(date(2026, 2, 24)));
        assert!(!calendar.is_workday(date(2026, 2, 28)));
    }

    #[test]
    fn working_hours_close_on_the_second() {
        let hours = WorkHours {
            openings: vec![
                Opening { from: time(9, 0, 0, 0), until: time(12, 0, 0, 0) },
                Opening { from: time(14, 0, 0, 0), until: time(17, 30, 0, 0) },
            ],
        };
        let calendar = year_2026();
        let on = |at: &str| hours.open_at(&calendar, at.parse().unwrap());
        assert!(on("2026-02-14T11:59:59") && !on("2026-02-14T12:00:00"));
        assert!(on("2026-02-14T14:00:00") && !on("2026-02-14T17:30:00"));
        assert!(!on("2026-02-16T10:00:00"));
    }

    #[test]
    fn a_day_open_round_the_clock_has_no_gap_at_midnight() {
        let all_day = Opening { from: Time::MIN, until: Opening::END };
        assert!(all_day.contains(time(23, 59, 59, 999_999_999)) && all_day.contains(Time::MIN));
    }

    #[test]
    fn a_calendar_says_where_it_ends() {
        let calendar = year_2026();
        assert_eq!(calendar.first_uncovered(date(2026, 11, 1), 45), None);
        assert_eq!(calendar.first_uncovered(date(2026, 11, 21), 45), Some(date(2027, 1, 1)));
        assert_eq!(calendar.first_uncovered(date(2027, 3, 1), 45), Some(date(2027, 3, 1)));
    }

    #[test]
    fn china_reads_the_same_second_back() {
        let wall: Timestamp = "2026-11-20T16:00:00Z".parse().unwrap();
        assert_eq!(china(wall).to_string(), "2026-11-21T00:00:00");
        assert_eq!(from_china(china(wall)), Some(wall));
    }
}
