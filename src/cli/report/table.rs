//! Tables of text: columns as wide as their widest cell, whatever script and colour it is in.

/// Lines of cells under headings.
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

/// A column: its heading, and where its cells stand.
struct Column {
    heading: &'static str,
    right: bool,
}

impl Table {
    /// A table with these headings. One that begins with `>` is for figures, which stand to the right.
    pub(crate) fn new(headings: &[&'static str]) -> Self {
        let column = |heading: &'static str| match heading.strip_prefix('>') {
            Some(heading) => Column { heading, right: true },
            None => Column { heading, right: false },
        };
        Self { columns: headings.iter().copied().map(column).collect(), rows: Vec::new() }
    }

    /// One more line; it may be coloured.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table, every line after `indent`.
    pub(crate) fn render(&self, indent: &str) -> String {
        let headings: Vec<String> = self.columns.iter().map(|column| column.heading.to_owned()).collect();
        let mut widths = vec![0; self.columns.len()];
        for row in std::iter::once(&headings).chain(&self.rows) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(console::measure_text_width(cell));
            }
        }
        let mut text = String::new();
        for row in std::iter::once(&headings).chain(&self.rows) {
            let mut line = indent.to_owned();
            for ((column, width), cell) in self.columns.iter().zip(&widths).zip(row) {
                let padding = " ".repeat(width - console::measure_text_width(cell).min(*width));
                let (before, after) = if column.right { (padding.as_str(), "") } else { ("", padding.as_str()) };
                line.extend([before, cell, after, "  "]);
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_is_in_them() {
        let mut table = Table::new(&["HOST", ">SENT", "DETAIL"]);
        table.row(["10.0.0.1", "4.2 MB", "\u{1b}[32mdone\u{1b}[0m"].map(Into::into));
        table.row(["中文主机", "0 B", ""].map(Into::into));
        assert_eq!(table.render(""), "HOST        SENT  DETAIL\n10.0.0.1  4.2 MB  \u{1b}[32mdone\u{1b}[0m\n中文主机     0 B\n");
    }
}
