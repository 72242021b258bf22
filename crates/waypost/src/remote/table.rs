//! Plain-text tables.

/// Rows of cells. The first row is the head.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    /// The right-aligned columns.
    right: Vec<usize>,
}

impl Table {
    /// A table with this head. A cell that begins with `>` makes its column right-aligned.
    pub(super) fn new(head: &[&str]) -> Self {
        let mut table = Self::default();
        let cells = head
            .iter()
            .enumerate()
            .map(|(at, cell)| match cell.strip_prefix('>') {
                Some(cell) => {
                    table.right.push(at);
                    cell.to_owned()
                }
                None => (*cell).to_owned(),
            });
        let cells = cells.collect();
        table.rows.push(cells);
        table
    }

    pub(super) fn row<C: ToString>(&mut self, cells: impl IntoIterator<Item = C>) {
        self.rows
            .push(cells.into_iter().map(|cell| cell.to_string()).collect());
    }

    /// Renders the rows, with two spaces between columns and none at the ends of lines.
    pub(super) fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let pad = " ".repeat(widths[column] - cell.chars().count());
                if self.right.contains(&column) {
                    line.push_str(&pad);
                    line.push_str(cell);
                } else {
                    line.push_str(cell);
                    line.push_str(&pad);
                }
                line.push_str("  ");
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
    fn numbers_are_right_aligned_and_lines_are_trimmed() {
        let mut table = Table::new(&["ROUTE", ">WEIGHT", "NOTE"]);
        table.row(["users", "5", "näher"]);
        table.row(["a", "100", ""]);
        assert_eq!(
            table.text(),
            "ROUTE  WEIGHT  NOTE\nusers       5  näher\na         100\n"
        );
    }
}
