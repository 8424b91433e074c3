//! How figures, times and foreign text are written for people.

use std::borrow::Cow;
use std::fmt::Display;

use jiff::tz::TimeZone;

use crate::domain::Timestamp;
use crate::domain::event::HostRef;
use crate::domain::host::Address;

/// Bytes in units of 1000, as `bt_speed_limit` counts them.
pub(crate) fn bytes(count: u64) -> String {
    let mut figure = count as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if figure < 999.95 {
            return if unit == "B" { format!("{figure:.0} B") } else { format!("{figure:.1} {unit}") };
        }
        figure /= 1000.0;
    }
    format!("{figure:.1} TB")
}

/// A span: `3.4 s`, `2 min 05 s`, `1 h 02 min`.
pub(crate) fn span(seconds: f64) -> String {
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    if whole < 3600 {
        format!("{} min {:02} s", whole / 60, whole % 60)
    } else {
        format!("{} h {:02} min", whole / 3600, whole / 60 % 60)
    }
}

/// The span between two moments; a clock that went back counts as none.
pub(crate) fn between(from: Timestamp, to: Timestamp) -> String {
    span(to.duration_since(from).as_secs_f64().max(0.0))
}

/// Date and time where the operator is.
pub(crate) fn moment(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Time of the day with milliseconds: for steps, which follow each other closely.
pub(crate) fn clock(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned_datetime(zone.clone()).strftime("%H:%M:%S%.3f").to_string()
}

/// `1 host`, `3 hosts`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// Where a retry begins, when that is not the usual place.
pub(crate) fn from_start(is_so: bool) -> &'static str {
    if is_so { " from the first step" } else { "" }
}

/// A host as tables and lines name it.
pub(crate) fn host(host: HostRef) -> String {
    Address { cloud: host.bk_cloud_id, ip: host.ip }.to_string()
}

/// The first `most` of a list, and how many more there are.
pub(crate) fn some<T: Display>(items: impl ExactSizeIterator<Item = T>, most: usize) -> String {
    let more = items.len().saturating_sub(most);
    let shown: Vec<String> = items.take(most).map(|item| item.to_string()).collect();
    let shown = shown.join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

/// Foreign text on one line: what a host sent can neither break the line nor command the terminal.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    if text.chars().any(char::is_control) {
        text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    } else {
        Cow::Borrowed(text)
    }
}

/// Foreign text in lines: its control characters are shown instead of obeyed.
pub(crate) fn harmless(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(obeyed) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.replace("\r\n", "\n").chars() {
        if obeyed(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_keep_their_unit() {
        for (count, text) in [(0, "0 B"), (999, "999 B"), (4_200_000, "4.2 MB"), (999_960, "1.0 MB"), (12_000_000_000, "12.0 GB")]
        {
            assert_eq!(bytes(count), text);
        }
        for (seconds, text) in
            [(0.04, "0.0 s"), (3.42, "3.4 s"), (59.97, "1 min 00 s"), (125.0, "2 min 05 s"), (3720.0, "1 h 02 min")]
        {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(some([1, 2].iter(), 5), "1, 2");
        assert_eq!(some((1..=17_u8).collect::<Vec<_>>().iter(), 5), "1, 2, 3, 4, 5 and 12 more");
    }

    #[test]
    fn what_a_host_sent_cannot_command_the_terminal() {
        assert_eq!(one_line("a\nb\u{1b}[31m"), "a b [31m");
        assert_eq!(harmless("ok\r\n\u{1b}[2J\tx\n"), "ok\n\\u{1b}[2J\tx\n");
    }

    #[test]
    fn moments_are_shown_where_the_operator_is() {
        let zone = TimeZone::fixed(jiff::tz::offset(8));
        let at = Timestamp::from_millisecond(1_732_406_400_250).unwrap();
        assert_eq!(moment(at, &zone), "2024-11-24 08:00:00");
        assert_eq!(clock(at, &zone), "08:00:00.250");
    }
}
