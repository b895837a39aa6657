//! A renamed key beside its new name, with the segments that changed set off by colour.

use similar::{Algorithm, DiffTag, capture_diff_slices};

use crate::align::Match;
use crate::checkpoint::escaped;
use crate::judge::Report;
use crate::report::style::{Style, Tone};

/// `old.name → new.name`; several sources joined by ` + `.
pub(super) fn line(report: &Report<'_>, m: &Match, style: &Style) -> String {
    let target = report.target.entries.get(m.target as usize).map_or("", |e| e.key.as_str());
    let sources: Vec<&str> =
        m.source.iter().filter_map(|&s| report.source.entries.get(s as usize)).map(|e| e.key.as_str()).collect();
    match sources.as_slice() {
        [source] => {
            let (source, target) = highlight(source, target, style);
            format!("{source} → {target}")
        }
        several => {
            let several: Vec<_> = several.iter().map(|s| escaped(s)).collect();
            format!("{} → {}", several.join(" + "), escaped(target))
        }
    }
}

/// How many segments of the target are not in the source: what a pair teaches.
pub(super) fn changed(report: &Report<'_>, m: &Match) -> usize {
    let Some(target) = report.target.entries.get(m.target as usize) else { return 0 };
    let source = m.source.first().and_then(|&s| report.source.entries.get(s as usize));
    let source: Vec<&str> = source.map_or_else(Vec::new, |e| e.key.segments().collect());
    target.key.segments().filter(|segment| !source.contains(segment)).count()
}

/// Both names with the segments that only one has in colour. Names are cut at `.` and `_`: by characters the diff of two
/// words is a rash of letters, by words there is nothing to see, since keys have no spaces.
pub(super) fn highlight(source: &str, target: &str, style: &Style) -> (String, String) {
    if !style.color {
        return (escaped(source).into_owned(), escaped(target).into_owned());
    }
    let (old, new) = (segments(source), segments(target));
    let (mut left, mut right) = (String::new(), String::new());
    for op in capture_diff_slices(Algorithm::Myers, &old, &new) {
        let (tag, a, b) = op.as_tag_tuple();
        let (a, b) = (old.get(a).unwrap_or(&[]).concat(), new.get(b).unwrap_or(&[]).concat());
        if tag == DiffTag::Equal {
            left.push_str(&escaped(&a));
            right.push_str(&escaped(&b));
        } else {
            left.push_str(&style.paint(Tone::Bad, &escaped(&a)));
            right.push_str(&style.paint(Tone::Good, &escaped(&b)));
        }
    }
    (left, right)
}

/// Cuts behind every `.` and `_`, so that the pieces joined give the name again.
fn segments(name: &str) -> Vec<&str> {
    name.split_inclusive(['.', '_']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_segments_that_changed_are_coloured() {
        let style = Style { color: true, ..Style::default() };
        let (old, new) = highlight("layers.0.attn.in_proj.weight", "layers.0.self_attn.in_proj.weight", &style);
        assert_eq!(old, "layers.0.attn.in_proj.weight");
        assert_eq!(new, "layers.0.\x1b[1m\x1b[32mself_\x1b[0mattn.in_proj.weight");
    }

    #[test]
    fn without_colour_a_pair_is_plain_text() {
        let (old, new) = highlight("a\x1b.b", "a.c", &Style::default());
        assert_eq!((old.as_str(), new.as_str()), ("a\\x1b.b", "a.c"));
    }
}
