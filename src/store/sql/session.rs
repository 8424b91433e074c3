//! One statement on either database: its text, what is bound to it, what comes back.
//!
//! A text is written once, with `$1` for parameters. Three words in it are spelled by the database it goes to, so that a
//! list of any length is one parameter and one text:
//!
//! | word | SQLite | PostgreSQL |
//! |---|---|---|
//! | `in list($1)` | `in (select value from json_each($1))` | `= any($1)` |
//! | `not in list($1)` | `not in (select value from json_each($1))` | `<> all($1)` |
//! | `pairs($1)`: rows of `number`, `word`, `place` | `json_each` | `json_array_elements` |
//!
//! Columns are 64-bit integers, texts and bytes, and nothing else.
//!
//! Never here: what a statement is for. To add a kind of parameter: a variant of [`Cell`] or [`List`], and how each database takes it.

use std::borrow::Cow;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, FromRow, Postgres, Sqlite, Transaction};

use super::failed;
use crate::domain::host::Address;
use crate::store::StoreError;
use crate::store::postgres::outage::{Server, within};
use crate::store::row::{corrupt, json};

/// A transaction.
pub(in crate::store) enum Session {
    /// Of SQLite.
    Sqlite(Transaction<'static, Sqlite>),
    /// Of PostgreSQL, and the server it is on.
    Postgres(Transaction<'static, Postgres>, Arc<Server>),
}

/// What a column holds.
pub(in crate::store) enum Cell {
    Number(Option<i64>),
    Word(Option<String>),
    Bytes(Vec<u8>),
}

/// Many values as one parameter.
pub(in crate::store) enum List {
    /// For `in list(…)`.
    Numbers(Vec<i64>),
    /// For `in list(…)`.
    Words(Vec<String>),
    /// For `pairs(…)`, as JSON.
    Pairs(String),
}

enum Value {
    Cell(Cell),
    List(List),
}

/// A row that either database can give.
pub(in crate::store) trait Record:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

impl<T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin> Record for T {}

/// A statement with its parameters.
pub(in crate::store) struct Query {
    sqlite: Cow<'static, str>,
    postgres: Cow<'static, str>,
    values: Vec<Value>,
}

/// A statement that both databases understand.
pub(in crate::store) fn query(text: &'static str) -> Query {
    either(text, text)
}

/// A statement that has to be said differently.
pub(in crate::store) fn either(sqlite: &'static str, postgres: &'static str) -> Query {
    Query { sqlite: sqlite.into(), postgres: postgres.into(), values: Vec::new() }
}

impl Query {
    /// The next piece of the text; a `?` in it is the next parameter, which is bound right after.
    pub(in crate::store) fn push(&mut self, piece: &'static str) -> &mut Self {
        self.push_either(piece, piece)
    }

    /// [`Query::push`] of a piece that has to be said differently.
    pub(in crate::store) fn push_either(&mut self, sqlite: &'static str, postgres: &'static str) -> &mut Self {
        let parameter = format!("${}", self.values.len() + 1);
        self.sqlite.to_mut().push_str(&sqlite.replace('?', &parameter));
        self.postgres.to_mut().push_str(&postgres.replace('?', &parameter));
        self
    }

    /// The value of the parameter that was pushed last.
    pub(in crate::store) fn value(&mut self, cell: impl Into<Cell>) -> &mut Self {
        self.values.push(Value::Cell(cell.into()));
        self
    }

    /// The same for `in list(?)`.
    pub(in crate::store) fn values(&mut self, list: List) -> &mut Self {
        self.values.push(Value::List(list));
        self
    }

    pub(in crate::store) fn bind(mut self, cell: impl Into<Cell>) -> Self {
        self.values.push(Value::Cell(cell.into()));
        self
    }

    pub(in crate::store) fn list(mut self, list: List) -> Self {
        self.values.push(Value::List(list));
        self
    }

    /// How many rows it changed. `what` was tried.
    pub(in crate::store) async fn execute(self, on: &mut Session, what: &'static str) -> Result<u64, StoreError> {
        let done = match on {
            Session::Sqlite(tx) => {
                let query = sqlx::query_with(AssertSqlSafe(for_sqlite(&self.sqlite)), sqlite_arguments(self.values)?);
                query.execute(&mut **tx).await.map(|done| done.rows_affected())
            }
            Session::Postgres(tx, _) => {
                let query = sqlx::query_with(AssertSqlSafe(for_postgres(&self.postgres)), postgres_arguments(self.values)?);
                within(what, query.execute(&mut **tx)).await?.map(|done| done.rows_affected())
            }
        };
        done.map_err(failed(what))
    }

    /// All rows, each turned into what it stands for as it comes in.
    pub(in crate::store) async fn each<T: Record, U: Send>(
        self,
        on: &mut Session,
        what: &'static str,
        read: impl Fn(T) -> Result<U, StoreError> + Send + Sync,
    ) -> Result<Vec<U>, StoreError> {
        let rows = match on {
            Session::Sqlite(tx) => {
                let arguments = sqlite_arguments(self.values)?;
                sqlx::query_as_with(AssertSqlSafe(for_sqlite(&self.sqlite)), arguments).fetch(&mut **tx).boxed()
            }
            Session::Postgres(tx, _) => {
                let arguments = postgres_arguments(self.values)?;
                sqlx::query_as_with(AssertSqlSafe(for_postgres(&self.postgres)), arguments).fetch(&mut **tx).boxed()
            }
        };
        within(what, rows.map(|row| row.map_err(failed(what)).and_then(&read)).try_collect()).await?
    }

    /// All rows.
    pub(in crate::store) async fn all<T: Record>(self, on: &mut Session, what: &'static str) -> Result<Vec<T>, StoreError> {
        self.each(on, what, Ok).await
    }

    /// The only row, if there is one.
    pub(in crate::store) async fn optional<T: Record>(
        self,
        on: &mut Session,
        what: &'static str,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.all(on, what).await?.pop())
    }

    /// The only value of the only row.
    pub(in crate::store) async fn one<T>(self, on: &mut Session, what: &'static str) -> Result<T, StoreError>
    where
        (T,): Record,
    {
        let row: Option<(T,)> = self.optional(on, what).await?;
        row.map(|(value,)| value).ok_or_else(|| corrupt(format!("{what}: there is no row")))
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Self::Number(Some(number))
    }
}

impl From<Option<i64>> for Cell {
    fn from(number: Option<i64>) -> Self {
        Self::Number(number)
    }
}

impl From<String> for Cell {
    fn from(word: String) -> Self {
        Self::Word(Some(word))
    }
}

impl From<&str> for Cell {
    fn from(word: &str) -> Self {
        Self::Word(Some(word.to_owned()))
    }
}

impl From<Vec<u8>> for Cell {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

/// Ids for `in list(…)`.
pub(in crate::store) fn words<T: ToString>(items: impl IntoIterator<Item = T>) -> List {
    List::Words(items.into_iter().map(|item| item.to_string()).collect())
}

/// Numbers for `in list(…)`.
pub(in crate::store) fn numbers(items: impl IntoIterator<Item = i64>) -> List {
    List::Numbers(items.into_iter().collect())
}

/// Rows for `pairs(…)`.
pub(in crate::store) fn pairs(items: impl IntoIterator<Item = (i64, String)>) -> Result<List, StoreError> {
    Ok(List::Pairs(json("a list", &items.into_iter().collect::<Vec<_>>())?))
}

/// Hosts for `pairs(…)`: cloud and address.
pub(in crate::store) fn hosts(hosts: &[Address]) -> Result<List, StoreError> {
    pairs(hosts.iter().map(|host| (host.cloud, host.ip.to_string())))
}

fn unbound(error: impl std::fmt::Display) -> StoreError {
    corrupt(format!("a value cannot be bound: {error}"))
}

fn sqlite_arguments(values: Vec<Value>) -> Result<SqliteArguments, StoreError> {
    let mut arguments = SqliteArguments::default();
    for value in values {
        let bound = match value {
            Value::Cell(Cell::Number(number)) => arguments.add(number),
            Value::Cell(Cell::Word(word)) => arguments.add(word),
            Value::Cell(Cell::Bytes(bytes)) => arguments.add(bytes),
            Value::List(List::Numbers(list)) => arguments.add(json("a list", &list)?),
            Value::List(List::Words(list)) => arguments.add(json("a list", &list)?),
            Value::List(List::Pairs(list)) => arguments.add(list),
        };
        bound.map_err(unbound)?;
    }
    Ok(arguments)
}

fn postgres_arguments(values: Vec<Value>) -> Result<PgArguments, StoreError> {
    let mut arguments = PgArguments::default();
    for value in values {
        let bound = match value {
            Value::Cell(Cell::Number(number)) => arguments.add(number),
            Value::Cell(Cell::Word(word)) => arguments.add(word),
            Value::Cell(Cell::Bytes(bytes)) => arguments.add(bytes),
            Value::List(List::Numbers(list)) => arguments.add(list),
            Value::List(List::Words(list)) => arguments.add(list),
            Value::List(List::Pairs(list)) => arguments.add(list),
        };
        bound.map_err(unbound)?;
    }
    Ok(arguments)
}

fn for_sqlite(text: &str) -> String {
    let text = spelled(text, "in list(", "in (select value from json_each(", "))");
    spelled(&text, "pairs(", "(select value ->> 0 as number, value ->> 1 as word, key as place from json_each(", "))")
}

fn for_postgres(text: &str) -> String {
    let text = spelled(text, "not in list(", "<> all(", ")");
    let text = spelled(&text, "in list(", "= any(", ")");
    let pairs = "(select (pair ->> 0)::bigint as number, pair ->> 1 as word, place from json_array_elements((";
    spelled(&text, "pairs(", pairs, ")::json) with ordinality as listed (pair, place))")
}

/// Writes `open` and `close` around the parameter of a word, wherever it stands.
fn spelled(text: &str, word: &str, open: &str, close: &str) -> String {
    let mut spelled = String::with_capacity(text.len());
    let mut parts = text.split(word);
    spelled.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (parameter, rest) = part.split_once(')').unwrap_or((part, ""));
        spelled.extend([open, parameter, close, rest]);
    }
    spelled
}

/// Runs work that only computes (sealing ten thousand credentials) away from the tasks that must answer.
pub(in crate::store) async fn computed<T, F>(work: F) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, StoreError> + Send + 'static,
{
    let stopped = |error| StoreError::Unavailable { what: "computation".into(), source: Box::new(error) };
    tokio::task::spawn_blocking(work).await.map_err(stopped)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_database_reads_lists_and_pairs_its_own_way() {
        let text = "select 1 from pairs($1) asked cross join t where a not in list($2) and b in list($3)";
        assert_eq!(
            for_sqlite(text),
            "select 1 from (select value ->> 0 as number, value ->> 1 as word, key as place from json_each($1)) asked \
             cross join t where a not in (select value from json_each($2)) and b in (select value from json_each($3))"
        );
        assert_eq!(
            for_postgres(text),
            "select 1 from (select (pair ->> 0)::bigint as number, pair ->> 1 as word, place from \
             json_array_elements(($1)::json) with ordinality as listed (pair, place)) asked \
             cross join t where a <> all($2) and b = any($3)"
        );
    }

    #[test]
    fn a_text_without_such_words_goes_out_as_it_is() {
        let text = "select count(*) from t where a in (1, 2)";
        assert_eq!((for_sqlite(text).as_str(), for_postgres(text).as_str()), (text, text));
    }
}
