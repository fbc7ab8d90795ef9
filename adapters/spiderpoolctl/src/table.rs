//! Tables for people: columns as wide as their widest cell, three spaces apart.
//!
//! Called by every command that lists. Invariant: no line ends with white space
//! (`columns_are_aligned`).

/// Rows under a head.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|name| (*name).to_owned()).collect()] }
    }

    /// Adds a row; an empty cell is shown as `-`.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells = cells.into_iter();
        self.rows
            .push(cells.map(|cell| if cell.is_empty() { "-".to_owned() } else { cell }).collect());
    }

    /// Whether there is no row under the head.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() <= 1
    }

    /// The table as text, each line after `indent` spaces.
    pub(crate) fn print(&self, indent: usize) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|at| {
                let cells = self.rows.iter().filter_map(|row| row.get(at));
                cells.map(|cell| visible(cell)).max().unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = " ".repeat(indent);
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.push_str(&" ".repeat(width.saturating_sub(visible(cell)) + 3));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// How many columns a cell takes: escape sequences for colours take none.
fn visible(cell: &str) -> usize {
    let mut parts = cell.split('\x1b');
    let plain = parts.next().map_or(0, |part| part.chars().count());
    plain + parts.map(|part| part.chars().skip_while(|c| *c != 'm').skip(1).count()).sum::<usize>()
}

/// A number and its noun, with an `s` unless it is one.
pub(crate) fn counted(count: impl TryInto<u64>, noun: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    let ending = match (count, noun.ends_with('s')) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{count} {noun}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["NAME", "N"]);
        table.row(["a".to_owned(), String::new()]);
        table.row(["longer".to_owned(), "12".to_owned()]);
        assert_eq!(table.print(1), " NAME     N\n a        -\n longer   12\n");
    }

    #[test]
    fn colours_take_no_columns() {
        let mut table = Table::new(&["A", "B"]);
        table.row(["\x1b[31mred\x1b[0m".to_owned(), "x".to_owned()]);
        assert_eq!(table.print(0), "A     B\n\x1b[31mred\x1b[0m   x\n");
    }

    #[test]
    fn nouns_agree() {
        assert_eq!(counted(1_usize, "address"), "1 address");
        assert_eq!(counted(2_usize, "address"), "2 addresses");
        assert_eq!(counted(0_u64, "block"), "0 blocks");
    }
}
