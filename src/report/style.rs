//! How text looks: colour or none, and how wide.

use std::io::{self, Write};

use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Effects, Style as Ansi};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// How wide text is laid out where nothing says how wide the reader's screen is (a pipe, a log).
pub const PLAIN_WIDTH: usize = 100;

/// What the reader's screen can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether to write colours.
    pub color: bool,
    /// Columns to lay tables and right-hand notes out in.
    pub width: usize,
    /// Whether lines longer than `width` are wrapped. Not in a pipe: one cause stays one line there, so that `grep` finds it.
    pub wrap: bool,
    /// Whether every key is listed.
    pub all: bool,
}

impl Default for Style {
    fn default() -> Self {
        Style { color: false, width: PLAIN_WIDTH, wrap: false, all: false }
    }
}

/// What a piece of text is, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Does not load.
    Bad,
    /// Deserves a look.
    Doubtful,
    /// Worth knowing.
    Remark,
    /// Loads.
    Good,
    /// Can be skipped at first reading.
    Aside,
    /// A title.
    Title,
}

impl Tone {
    fn ansi(self) -> Ansi {
        let colored = |c: AnsiColor| Ansi::new().fg_color(Some(c.into()));
        match self {
            Tone::Bad => colored(AnsiColor::Red) | Effects::BOLD,
            Tone::Doubtful => colored(AnsiColor::Yellow) | Effects::BOLD,
            Tone::Remark => colored(AnsiColor::Cyan),
            Tone::Good => colored(AnsiColor::Green) | Effects::BOLD,
            Tone::Aside => Ansi::new() | Effects::DIMMED,
            Tone::Title => Ansi::new() | Effects::BOLD,
        }
    }
}

impl Style {
    /// What a stream can show: a terminal's width (or `COLUMNS`), colours unless `NO_COLOR` and its kin forbid them.
    ///
    /// `color` is `None` for "find out". This only looks; nothing is written.
    pub fn of<S: RawStream>(stream: &S, color: Option<bool>) -> Style {
        let terminal = stream.is_terminal();
        let columns = std::env::var("COLUMNS").ok().and_then(|c| c.trim().parse().ok());
        let screen = terminal.then(terminal_size::terminal_size).flatten().map(|(w, _)| usize::from(w.0));
        Style {
            color: color.unwrap_or_else(|| AutoStream::choice(stream) != ColorChoice::Never),
            width: columns.or(screen).filter(|&w| w > 0).unwrap_or(PLAIN_WIDTH),
            wrap: terminal,
            all: false,
        }
    }

    /// `text` in the colour of `tone`, or as it is where colours are off.
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        if self.color && !text.is_empty() {
            let ansi = tone.ansi();
            format!("{ansi}{text}{ansi:#}")
        } else {
            text.to_owned()
        }
    }

    /// `text` cut into lines of at most `room` columns at spaces, a word longer than a line at any character;
    /// one line where lines are not wrapped.
    pub fn lines(&self, text: &str, room: usize) -> Vec<String> {
        let room = room.max(20);
        if !self.wrap || text.width() <= room {
            return vec![text.to_owned()];
        }
        let mut lines = vec![String::new()];
        let mut used = 0;
        for word in text.split(' ') {
            let wide = word.width();
            if used > 0 && used + 1 + wide > room {
                lines.push(String::new());
                used = 0;
            }
            let Some(line) = lines.last_mut() else { break };
            if used > 0 {
                line.push(' ');
                used += 1;
            }
            if wide <= room {
                line.push_str(word);
                used += wide;
                continue;
            }
            for c in word.chars() {
                let columns = c.width().unwrap_or(0);
                if used + columns > room {
                    lines.push(String::new());
                    used = 0;
                }
                if let Some(line) = lines.last_mut() {
                    line.push(c);
                    used += columns;
                }
            }
        }
        lines
    }
}

/// Writes `label` (of `columns` visible columns) and `text` behind it, wrapped under its own beginning. Returns the columns that
/// the last line takes; the line is not ended yet.
///
/// # Errors
/// What the writer reports.
pub fn hang(style: &Style, out: &mut dyn Write, label: &str, columns: usize, text: &str) -> io::Result<usize> {
    write!(out, "{label}")?;
    let lines = style.lines(text, style.width.saturating_sub(columns));
    for (i, line) in lines.iter().enumerate() {
        if i > 0 {
            write!(out, "\n{:columns$}", "")?;
        }
        write!(out, "{line}")?;
    }
    Ok(columns + lines.last().map_or(0, |l| l.width()))
}

/// `text` with spaces behind it up to `columns`, by the width that a terminal gives each character.
pub fn pad(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(text.width())))
}

/// A count as people write it: `692`, `100,000`.
pub fn count(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 key`, `2 keys`
pub fn plural(n: usize, one: &str) -> String {
    format!("{} {one}{}", count(n), if n == 1 { "" } else { "s" })
}

/// A number of parameters in three digits: `8.79 M`, `671 B`, `0`.
pub fn short(n: u64) -> String {
    let (unit, name) = match n {
        0..1_000 => return n.to_string(),
        1_000..1_000_000 => (1e3, " k"),
        1_000_000..1_000_000_000 => (1e6, " M"),
        1_000_000_000..1_000_000_000_000 => (1e9, " B"),
        _ => (1e12, " T"),
    };
    let value = n as f64 / unit;
    let decimals = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    format!("{value:.decimals$}{name}")
}

/// `548 MB`, in powers of ten, as disks and downloads are counted.
pub fn bytes(n: u64) -> String {
    let (unit, name) = match n {
        0..10_000 => return plural(usize::try_from(n).unwrap_or(usize::MAX), "byte"),
        10_000..1_000_000 => (1e3, "kB"),
        1_000_000..1_000_000_000 => (1e6, "MB"),
        1_000_000_000..1_000_000_000_000 => (1e9, "GB"),
        _ => (1e12, "TB"),
    };
    let value = n as f64 / unit;
    let decimals = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.decimals$} {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_count_two_columns() {
        assert_eq!(pad("模型", 6), "模型  ");
        assert_eq!(pad("abcdef", 3), "abcdef");
    }

    #[test]
    fn long_lines_wrap_at_spaces_on_a_terminal_and_not_in_a_pipe() {
        let text = "one two three four five six seven";
        let terminal = Style { wrap: true, ..Style::default() };
        assert_eq!(terminal.lines(text, 20), ["one two three four", "five six seven"]);
        assert_eq!(Style::default().lines(text, 20), [text]);
        assert_eq!(terminal.lines(&"x".repeat(45), 20).iter().map(String::len).collect::<Vec<_>>(), [20, 20, 5]);
    }

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(
            (count(692), count(100_000), count(1_300_000)),
            ("692".into(), "100,000".into(), "1,300,000".into())
        );
        assert_eq!([0, 999, 8_794_880, 20_900_000, 124_439_808].map(short), ["0", "999", "8.79 M", "20.9 M", "124 M"]);
        assert_eq!((plural(1, "key"), plural(2, "key")), ("1 key".into(), "2 keys".into()));
    }

    #[test]
    fn colours_end_where_they_began() {
        let style = Style { color: true, ..Style::default() };
        assert_eq!(style.paint(Tone::Bad, "error"), "\x1b[1m\x1b[31merror\x1b[0m");
        assert_eq!(Style::default().paint(Tone::Bad, "error"), "error");
    }
}
