//! Rows and columns: a table that fits the terminal, or plain aligned lines where there are too many rows for one.

use std::io::{self, Write};

use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, Row, Table, Width, presets};
use unicode_width::UnicodeWidthStr as _;

use crate::report::style::{Style, pad};

/// Rows from which on lines are written one by one: laying a table out needs all of it in memory, twice.
const TABLE_ROWS: usize = 2000;
/// Columns before a row.
const INDENT: usize = 2;

/// Writes rows of the same number of cells. Cells may carry colours; keys in them must be escaped already.
/// `numbers` says which columns are right-aligned.
pub(in crate::report) fn write<const N: usize>(
    rows: &[[String; N]],
    numbers: [bool; N],
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    if style.wrap && rows.len() <= TABLE_ROWS {
        laid_out(rows, numbers, style, out)
    } else {
        aligned(rows, numbers, out)
    }
}

/// Fits the terminal: long cells wrap within their column.
fn laid_out<const N: usize>(
    rows: &[[String; N]],
    numbers: [bool; N],
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut table = Table::new();
    // The terminal was asked once, by `Style`; the library would ask again, and differently.
    table.force_no_tty().load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(style.width.saturating_sub(INDENT)).unwrap_or(u16::MAX));
    for cells in rows {
        table.add_row(Row::from(cells.iter().map(Cell::new).collect::<Vec<_>>()));
    }
    for (column, number) in table.column_iter_mut().zip(numbers) {
        column.set_padding((0, 2));
        if number {
            column.set_cell_alignment(CellAlignment::Right);
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(4)));
        }
    }
    for line in table.lines() {
        writeln!(out, "{:INDENT$}{}", "", line.trim_end())?;
    }
    Ok(())
}

/// One line a row, whatever its length, so that a pipe can be cut and searched.
fn aligned<const N: usize>(rows: &[[String; N]], numbers: [bool; N], out: &mut dyn Write) -> io::Result<()> {
    let mut widths = [0; N];
    for cells in rows {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = (*width).max(visible(cell));
        }
    }
    for cells in rows {
        let mut line = " ".repeat(INDENT);
        for ((cell, width), number) in cells.iter().zip(widths).zip(numbers) {
            let gap = width.saturating_sub(visible(cell));
            if number {
                line.push_str(&pad("", gap));
                line.push_str(cell);
            } else {
                line.push_str(cell);
                line.push_str(&pad("", gap));
            }
            line.push_str("  ");
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// The width of a cell without its colours.
fn visible(cell: &str) -> usize {
    if cell.contains('\x1b') { anstream::adapter::strip_str(cell).to_string().width() } else { cell.width() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(rows: &[[String; 2]], style: &Style) -> String {
        let mut out = Vec::new();
        write(rows, [false, true], style, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn rows() -> Vec<[String; 2]> {
        vec![["模型.weight".into(), "12".into()], ["bias".into(), "3".into()]]
    }

    #[test]
    fn columns_line_up_under_wide_characters() {
        assert_eq!(text(&rows(), &Style::default()), "  模型.weight  12\n  bias          3\n");
    }

    #[test]
    fn colours_do_not_count_as_width() {
        let style = Style { color: true, ..Style::default() };
        let mut colored = rows();
        colored[1][0] = "\x1b[31mbias\x1b[0m".into();
        assert_eq!(text(&colored, &style), "  模型.weight  12\n  \x1b[31mbias\x1b[0m          3\n");
    }

    #[test]
    fn a_narrow_terminal_wraps_within_the_column() {
        let style = Style { wrap: true, width: 20, ..Style::default() };
        let rows = [["a".repeat(30), "12".into()], ["b".into(), "3".into()]];
        let text = text(&rows, &style);
        assert!(text.lines().all(|l| l.width() <= 20), "{text}");
        assert_eq!(text.matches('a').count(), 30);
    }
}
