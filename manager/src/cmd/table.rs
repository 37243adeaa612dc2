//! Aligned columns.

/// Rows of `N` cells under a header; every column is as wide as its widest cell.
pub(crate) struct Table<const N: usize> {
    header: [&'static str; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// A table without rows. A header that begins with `>` aligns its column to the right.
    pub(crate) fn new(header: [&'static str; N]) -> Self {
        Self {
            header,
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: [String; N]) {
        self.rows
            .push(cells.map(|cell| if cell.is_empty() { "-".into() } else { cell }));
    }

    /// The text, indented by `indent` spaces, without spaces at line ends.
    pub(crate) fn render(&self, indent: usize) -> String {
        let heads: Vec<&str> = self
            .header
            .iter()
            .map(|head| head.strip_prefix('>').unwrap_or(head))
            .collect();
        let mut widths: Vec<usize> = heads.iter().map(|head| head.chars().count()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let mut text = String::new();
        let mut line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut line = " ".repeat(indent);
            for ((cell, width), head) in cells.zip(&widths).zip(&self.header) {
                line += &match head.starts_with('>') {
                    true => format!("{cell:>width$}  "),
                    false => format!("{cell:<width$}  "),
                };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        };
        line(&mut heads.iter().copied());
        for row in &self.rows {
            line(&mut row.iter().map(String::as_str));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_empty_cells_are_dashes() {
        let mut table = Table::new(["NAME", ">READY", "NOTE"]);
        table.row(["web".into(), "2/3".into(), "fine".into()]);
        table.row(["a-longer-name".into(), "10/10".into(), String::new()]);
        let text = "\
NAME           READY  NOTE
web              2/3  fine
a-longer-name  10/10  -
";
        assert_eq!(table.render(0), text);
    }
}
