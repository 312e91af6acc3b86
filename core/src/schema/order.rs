//! The order of creation: types first, then by path, and what an object requires before it.

use super::{head, object::Object};
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};

/// Sorts by `-- requires:` lines; stable, so that the same files give the same script everywhere.
pub(super) fn sort(objects: Vec<Object>) -> Result<Vec<Object>> {
    let mut waiting: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let is_type = |path: &str| path.starts_with("types/");
    for object in &objects {
        let mut requires: BTreeSet<String> =
            head::values(object, "requires")?.into_iter().collect();
        if !is_type(&object.path) {
            requires.extend(objects.iter().map(|o| o.path.clone()).filter(|path| is_type(path)));
        }
        waiting.insert(object.path.clone(), requires);
    }
    for (path, needs) in &waiting {
        if let Some(unknown) = needs.iter().find(|need| !waiting.contains_key(*need)) {
            return Err(Error::Schema(format!(
                "sql/{path} requires {unknown}, which is not in sql/"
            )));
        }
    }
    let mut objects: BTreeMap<String, Object> =
        objects.into_iter().map(|o| (o.path.clone(), o)).collect();
    let mut sorted = Vec::with_capacity(objects.len());
    while let Some(next) =
        waiting.iter().find(|(_, needs)| needs.is_empty()).map(|(path, _)| path.clone())
    {
        waiting.remove(&next);
        for needs in waiting.values_mut() {
            needs.remove(&next);
        }
        sorted.extend(objects.remove(&next));
    }
    match waiting.keys().next() {
        None => Ok(sorted),
        Some(start) => {
            Err(Error::Schema(format!("cycle of requires in sql/: {}", cycle(&waiting, start))))
        }
    }
}

/// Every file left waits for another one that is left, so following them must come round.
fn cycle(waiting: &BTreeMap<String, BTreeSet<String>>, start: &str) -> String {
    let mut path = vec![start];
    loop {
        let last = path[path.len() - 1];
        let Some(next) = waiting.get(last).and_then(|needs| needs.iter().next()) else {
            return path.join(" → ");
        };
        if let Some(first) = path.iter().position(|seen| seen == next) {
            path.push(next);
            return path[first..].join(" → ");
        }
        path.push(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(path: &str, sql: &str) -> Object {
        Object { path: path.to_owned(), sql: sql.to_owned() }
    }

    fn sorted(objects: Vec<Object>) -> Result<Vec<String>, String> {
        sort(objects).map(|o| o.into_iter().map(|o| o.path).collect()).map_err(|e| e.to_string())
    }

    #[test]
    fn what_is_required_comes_first_and_the_rest_by_path() {
        let objects = vec![
            object("d.sql", ""),
            object(
                "a.sql",
                "-- Why.\n\n-- requires: views/z.sql, c.sql\n-- requires: d.sql\nselect 1;",
            ),
            object("views/z.sql", "-- requires: d.sql\n"),
            object("c.sql", "select 1;"),
            object("b.sql", ""),
            object("types/t.sql", ""),
        ];
        assert_eq!(
            sorted(objects),
            Ok(["types/t.sql", "b.sql", "c.sql", "d.sql", "views/z.sql", "a.sql"]
                .map(String::from)
                .to_vec())
        );
    }

    #[test]
    fn a_cycle_is_shown() {
        let objects = vec![
            object("a.sql", "-- requires: b.sql"),
            object("b.sql", "-- requires: c.sql"),
            object("c.sql", "-- requires: b.sql"),
        ];
        assert_eq!(
            sorted(objects).unwrap_err(),
            "cycle of requires in sql/: b.sql → c.sql → b.sql"
        );
        let alone = sorted(vec![object("a.sql", "-- requires: a.sql")]).unwrap_err();
        assert_eq!(alone, "cycle of requires in sql/: a.sql → a.sql");
    }

    #[test]
    fn an_unknown_file_is_an_error() {
        let error = sorted(vec![object("a.sql", "-- requires: x.sql")]).unwrap_err();
        assert_eq!(error, "sql/a.sql requires x.sql, which is not in sql/");
    }
}
