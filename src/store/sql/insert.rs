//! Many rows by few statements.
//!
//! SQLite takes `values (…), (…)`, a few hundred rows at a time. PostgreSQL takes every column as one array, so any number
//! of rows is one statement and always the same text.
//!
//! Never here: which rows. To add a kind of column: its arm in [`columns`].

use sqlx::postgres::PgArguments;
use sqlx::{Arguments, AssertSqlSafe, QueryBuilder, Sqlite};

use super::failed;
use super::session::{Cell, Session};
use crate::store::StoreError;
use crate::store::postgres::outage::within;
use crate::store::row::corrupt;

/// Rows in one statement of SQLite. Where the gain of multi-row statements ends (`reference/performance.md` 8), and far
/// below the 32,766 parameters a statement may have.
const ROWS: usize = 200;

/// Where rows go: `insert into TABLE (COLUMNS) … TAIL`.
pub(super) struct Target {
    /// Table and columns.
    pub(super) table: &'static str,
    /// What happens with a row that is there already.
    pub(super) tail: &'static str,
}

/// Inserts rows.
pub(super) async fn insert<T, const N: usize>(
    on: &mut Session,
    into: Target,
    rows: &[T],
    cells: impl Fn(&T) -> [Cell; N],
) -> Result<(), StoreError> {
    for chunk in rows.chunks(if matches!(on, Session::Sqlite(_)) { ROWS } else { rows.len().max(1) }) {
        let done = match on {
            Session::Sqlite(tx) => {
                let mut query = by_values(&into, chunk.iter().map(&cells));
                // Only the full chunk comes again: the others would drive useful statements out of the cache.
                let statement = query.build().persistent(chunk.len() == ROWS);
                statement.execute(&mut **tx).await.map(drop)
            }
            Session::Postgres(tx, _) => {
                let (types, arguments) = columns(chunk.iter().map(&cells))?;
                let text = format!("insert into {} select * from unnest({types}) {}", into.table, into.tail);
                within("insert rows", sqlx::query_with(AssertSqlSafe(text), arguments).execute(&mut **tx)).await?.map(drop)
            }
        };
        done.map_err(failed("insert rows"))?;
    }
    Ok(())
}

fn by_values<const N: usize>(into: &Target, rows: impl Iterator<Item = [Cell; N]>) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::<Sqlite>::new(format!("insert into {} ", into.table));
    query.push_values(rows, |mut row, cells| {
        for cell in cells {
            match cell {
                Cell::Number(number) => row.push_bind(number),
                Cell::Bytes(bytes) => row.push_bind(bytes),
                Cell::Word(word) => row.push_bind(word),
            };
        }
    });
    query.push(" ").push(into.tail);
    query
}

/// One array per column, and the list of their types.
fn columns<const N: usize>(rows: impl Iterator<Item = [Cell; N]>) -> Result<(String, PgArguments), StoreError> {
    let mut columns: Vec<Column> = Vec::new();
    for row in rows {
        if columns.is_empty() {
            columns = row.iter().map(Column::of).collect();
        }
        for (column, cell) in columns.iter_mut().zip(row) {
            column.push(cell)?;
        }
    }
    let mut arguments = PgArguments::default();
    let mut types = Vec::new();
    for (column, number) in columns.into_iter().zip(1..) {
        let (bound, name) = match column {
            Column::Numbers(list) => (arguments.add(list), "bigint"),
            Column::Words(list) => (arguments.add(list), "text"),
            Column::Bytes(list) => (arguments.add(list), "bytea"),
        };
        bound.map_err(|error| corrupt(format!("a column cannot be bound: {error}")))?;
        types.push(format!("${number}::{name}[]"));
    }
    Ok((types.join(", "), arguments))
}

enum Column {
    Numbers(Vec<Option<i64>>),
    Words(Vec<Option<String>>),
    Bytes(Vec<Vec<u8>>),
}

impl Column {
    fn of(cell: &Cell) -> Self {
        match cell {
            Cell::Number(_) => Self::Numbers(Vec::new()),
            Cell::Word(_) => Self::Words(Vec::new()),
            Cell::Bytes(_) => Self::Bytes(Vec::new()),
        }
    }

    fn push(&mut self, cell: Cell) -> Result<(), StoreError> {
        match (self, cell) {
            (Self::Numbers(list), Cell::Number(number)) => list.push(number),
            (Self::Words(list), Cell::Word(word)) => list.push(word),
            (Self::Bytes(list), Cell::Bytes(bytes)) => list.push(bytes),
            _ => return Err(corrupt("a column has values of two kinds")),
        }
        Ok(())
    }
}
