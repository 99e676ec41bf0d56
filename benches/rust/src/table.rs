//! The tables, as Markdown that reads well as it is.

use std::fmt;

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};

use crate::LOOPS;
use crate::plan::{Kind, Row};

/// What was measured so far.
#[derive(Default)]
pub struct Report {
    rows: Vec<(&'static Row, Vec<Vec<f64>>)>,
}

impl Report {
    /// Adds a row: for each loop its readings, round by round. Gives a line that says what came out.
    pub fn add(&mut self, row: &'static Row, readings: Vec<Vec<f64>>) -> String {
        let line = format!("{}: {}", row.name, cells(&readings).join("  "));
        self.rows.push((row, readings));
        line
    }

    fn table(&self, title: &str, is_in: impl Fn(&Row) -> bool) -> Option<Table> {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        let ratios = LOOPS[1..].iter().map(|name| format!("{name} / riata"));
        let names = LOOPS.iter().map(|name| String::from(*name));
        table.set_header([String::from(title)].into_iter().chain(names).chain(ratios));
        for (row, readings) in self.rows.iter().filter(|(row, _)| is_in(row)) {
            let mut cells = cells(readings);
            cells.insert(0, row.name.into());
            table.add_row(cells);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        (table.row_count() > 0).then_some(table)
    }

    /// What grows with how many there are, and by how much since the first of its case.
    fn growth(&self) -> Option<Table> {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        let [ours, other, ..] = LOOPS;
        table.set_header([
            String::from("CPU ns each, as they grow"),
            ours.into(),
            other.into(),
            format!("{other} / {ours}"),
            format!("{ours} grows"),
            format!("{other} grows"),
        ]);
        let rows = || self.rows.iter().filter(|(row, _)| row.is_growth);
        for (row, readings) in rows() {
            let first = rows().find(|(it, _)| it.case == row.case)?;
            let [ours, other] = [0, 1].map(|index| median(&readings[index]));
            let grown = |index: usize| median(&readings[index]) / median(&first.1[index]);
            table.add_row([
                String::from(row.name),
                format!("{ours:.1}"),
                format!("{other:.1}"),
                cells(readings).swap_remove(LOOPS.len()),
                format!("{:.2}", grown(0)),
                format!("{:.2}", grown(1)),
            ]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        (table.row_count() > 0).then_some(table)
    }

    /// The geometric mean of tokio's medians over riata's, over what must be faster.
    fn mean(&self) -> Option<f64> {
        let logarithms: Vec<f64> = self
            .rows
            .iter()
            .filter(|(row, _)| is_speed(row))
            .filter_map(|(_, readings)| {
                Some((median(readings.get(1)?) / median(&readings[0])).ln())
            })
            .collect();
        let count = logarithms.len();
        (count > 0).then(|| (logarithms.iter().sum::<f64>() / count as f64).exp())
    }
}

fn is_speed(row: &Row) -> bool {
    !row.is_growth && matches!(row.kind, Kind::Time | Kind::Echo | Kind::Hello)
}

fn is_bytes(row: &Row) -> bool {
    matches!(row.kind, Kind::Bytes | Kind::IdleConnection)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(table) = self.table("CPU ns each", is_speed) {
            writeln!(f, "{table}\n")?;
        }
        if let Some(mean) = self.mean() {
            writeln!(f, "tokio / riata, geometric mean: {mean:.2}\n")?;
        }
        if let Some(table) = self.table("bytes each", is_bytes) {
            writeln!(f, "{table}\n")?;
        }
        if let Some(table) = self.growth() {
            writeln!(f, "{table}")?;
        }
        Ok(())
    }
}

/// Medians, then the others' ratios to riata: of medians, and the smallest and largest of a round.
fn cells(readings: &[Vec<f64>]) -> Vec<String> {
    let missing = || String::from("-");
    let medians = (0..LOOPS.len()).map(|index| match readings.get(index) {
        Some(readings) => format!("{:.1}", median(readings)),
        None => missing(),
    });
    let ratios = (1..LOOPS.len()).map(|index| match readings.get(index) {
        Some(other) => {
            let ours = &readings[0];
            let rounds = other.iter().zip(ours).map(|(other, ours)| other / ours);
            let (least, most) = rounds.fold((f64::INFINITY, 0_f64), |(least, most), ratio| {
                (least.min(ratio), most.max(ratio))
            });
            let ratio = median(other) / median(ours);
            format!("{ratio:.2} ({least:.2} to {most:.2})")
        }
        None => missing(),
    });
    medians.chain(ratios).collect()
}

fn median(readings: &[f64]) -> f64 {
    let mut sorted = readings.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        0 => (sorted[middle - 1] + sorted[middle]) / 2.0,
        _ => sorted[middle],
    }
}
