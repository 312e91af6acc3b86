//! Tables without borders: a header, columns, and nothing else.

use crate::{
    labels,
    output::{Look, safe},
};
use comfy_table::{ColumnConstraint, ContentArrangement, Table as Grid, Width, presets};

/// Between two columns.
pub const GAP: usize = 2;
/// A column that is wrapped is not made narrower: a line a letter is worse than a line that is too
/// long.
const NARROWEST: u16 = 10;

/// A table to print.
#[derive(Debug)]
pub struct Table {
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
    /// The numbers of the rows that are greyed.
    dim: Vec<usize>,
    look: Look,
    /// Columns before this one are never wrapped.
    wraps: usize,
    /// Columns behind these are left out if there is no room.
    keeps: usize,
}

impl Table {
    /// A table with these headings. On a narrow terminal the last column is wrapped.
    pub fn new(look: Look, headings: &[&str]) -> Self {
        let headings: Vec<String> = headings.iter().map(|&heading| heading.to_owned()).collect();
        Self {
            wraps: headings.len().saturating_sub(1),
            keeps: headings.len(),
            headings,
            rows: Vec::new(),
            dim: Vec::new(),
            look,
        }
    }

    /// A table of names and values, without headings.
    pub fn pairs(look: Look) -> Self {
        Self { headings: Vec::new(), rows: Vec::new(), dim: Vec::new(), look, wraps: 1, keeps: 2 }
    }

    /// On a narrow terminal, this column and all behind it are wrapped.
    pub fn wrap_from(mut self, column: usize) -> Self {
        self.wraps = column;
        self
    }

    /// On a narrow terminal, columns are left out from the end, down to this many.
    pub fn keep(mut self, columns: usize) -> Self {
        self.keeps = columns;
        self
    }

    pub fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.rows.push(cells.into_iter().map(|cell| safe(&cell.into()).into_owned()).collect());
    }

    /// Adds a row that is greyed on a terminal.
    pub fn dim_row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.dim.push(self.rows.len());
        self.row(cells);
    }

    /// The table as text, without a line end.
    pub fn render(mut self) -> String {
        let columns = self.columns_that_fit();
        self.headings.truncate(columns);
        let mut grid = Grid::new();
        grid.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        if let Some(width) = self.look.width {
            grid.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        let has_header = !self.headings.is_empty();
        let first = self
            .rows
            .iter()
            .filter_map(|row| row.first())
            .map(|cell| console::measure_text_width(cell));
        let first = first.max().unwrap_or(0);
        if has_header {
            grid.set_header(self.headings);
        }
        for mut row in self.rows {
            row.truncate(columns);
            grid.add_row(row);
        }
        let widest = grid.column_max_content_widths();
        for (index, column) in grid.column_iter_mut().enumerate() {
            column.set_padding((0, if index + 1 == columns { 0 } else { GAP as u16 }));
            if index < self.wraps {
                column.set_constraint(ColumnConstraint::ContentWidth);
            } else if let Some(&widest) = widest.get(index) {
                let least = NARROWEST.min(widest) + column.padding_width();
                column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least)));
            }
        }
        let mut row = None;
        let lines = grid.lines().enumerate().map(|(n, line)| {
            let line = line.trim_end();
            // The further lines of a row have nothing in the first column.
            if !(n == 0 && has_header) && line.chars().take(first).any(|c| c != ' ') {
                row = Some(row.map_or(0, |row| row + 1));
            }
            let is_dim = (n == 0 && has_header) || row.is_some_and(|row| self.dim.contains(&row));
            match self.look.terminal {
                true if is_dim => console::style(line).dim().to_string(),
                true => labels::paint(line),
                false => line.to_owned(),
            }
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    fn columns_that_fit(&self) -> usize {
        let all: Vec<&Vec<String>> = std::iter::once(&self.headings).chain(&self.rows).collect();
        let columns = all.iter().map(|row| row.len()).max().unwrap_or(0);
        let Some(limit) = self.look.width else { return columns };
        let width = |column: usize| {
            let cells = all.iter().filter_map(|row| row.get(column));
            cells.map(|cell| console::measure_text_width(cell)).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let fits = |n: usize| {
            widths[..n].iter().map(|width| width + GAP).sum::<usize>() <= usize::from(limit) + GAP
        };
        (self.keeps.min(columns)..=columns)
            .rev()
            .find(|&n| fits(n))
            .unwrap_or(self.keeps.min(columns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn narrow(width: u16) -> Look {
        Look { terminal: false, width: Some(width) }
    }

    #[test]
    fn columns_stand_two_spaces_apart_and_lines_end_with_text() {
        let mut table = Table::new(Look::PLAIN, &["NAME", "STATE"]);
        table.row(["orders", "complete"]);
        table.row(["x", ""]);
        assert_eq!(table.render(), "NAME    STATE\norders  complete\nx");
    }

    #[test]
    fn a_cell_cannot_steer_the_terminal() {
        let mut table = Table::pairs(Look::PLAIN);
        table.row(["key", "\u{1b}[31m\u{1b}[2J\u{202e}x"]);
        assert_eq!(table.render(), "key  \\u001b[31m\\u001b[2J\\u202ex");
    }

    #[test]
    fn a_narrow_terminal_wraps_the_last_column_only() {
        let mut table = Table::new(narrow(24), &["STEP", "ERROR"]);
        table.row(["  └ pack_it", "no answer from the host"]);
        let text = table.render();
        assert!(text.lines().all(|line| line.chars().count() <= 24), "{text}");
        assert!(text.contains("  └ pack_it  no answer"), "{text}");
    }

    #[test]
    fn a_column_is_not_wrapped_to_a_line_a_letter() {
        let mut table = Table::new(narrow(20), &["STEP", "AFTER", "ERROR"]).wrap_from(1);
        table.row(["a_step_of_some_length", "a", "no answer from the host"]);
        let text = table.render();
        assert!(text.lines().count() <= 4, "{text}");
    }

    #[test]
    fn what_has_no_room_is_left_out_from_the_end() {
        let render = |width| {
            let mut table =
                Table::new(narrow(width), &["TASK", "STATE", "TOOK"]).wrap_from(3).keep(2);
            table.row(["0123456789", "complete", "2.3 s"]);
            table.render()
        };
        assert_eq!(render(27), "TASK        STATE     TOOK\n0123456789  complete  2.3 s");
        assert_eq!(render(26), "TASK        STATE\n0123456789  complete");
        assert_eq!(render(5), render(26));
    }

    #[test]
    fn a_dim_row_is_greyed_with_all_its_lines() {
        let render = |terminal| {
            let look = Look { terminal, width: Some(24) };
            let mut table = Table::new(look, &["STEP", "AFTER"]);
            table.row(["a", ""]);
            table.dim_row(["  └ not_there", "one, two, three, four"]);
            table.row(["b", ""]);
            table.render()
        };
        console::set_colors_enabled(true);
        let text = render(true);
        let dim: Vec<bool> = text.lines().map(|line| line.starts_with("\u{1b}[2m")).collect();
        assert_eq!((dim[0], dim[1], dim.last()), (true, false, Some(&false)), "{text:?}");
        assert!(dim.len() > 4 && dim[2..dim.len() - 1].iter().all(|&dim| dim), "{text:?}");
        assert!(!render(false).contains('\u{1b}'));
    }
}
