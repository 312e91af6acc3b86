//! The installer as one SQL script for a DBA: `tasker migrate --print`. Plain SQL, for any client.

use super::{
    BOOTSTRAP, Bundle, DROP, Migration, Object, RECORD, SESSION, UNCHECKED, VALIDATE, lock,
};

impl Bundle {
    /// One transaction that does what [`Bundle::migrate`] does, on an empty database or one already
    /// migrated, and leaves the same records.
    pub fn script(&self) -> String {
        let mut script = self.header();
        script.push_str(
            "begin isolation level read committed;\nset local client_encoding = 'UTF8';\n",
        );
        push_block(&mut script, SESSION);
        push_block(&mut script, lock::BY_ROW);
        push_block(&mut script, BOOTSTRAP);
        push_block(&mut script, &self.refuse_newer());
        push_block(&mut script, DROP);
        for migration in &self.migrations {
            push_block(&mut script, &guarded(migration));
        }
        push_block(&mut script, UNCHECKED);
        for object in &self.objects {
            push_block(&mut script, &titled(object));
        }
        push_block(&mut script, VALIDATE);
        push_block(&mut script, &self.heads.sql());
        for object in &self.last {
            push_block(&mut script, &titled(object));
        }
        push_block(&mut script, &self.recorded());
        push_block(&mut script, RECORD);
        script.push_str("\ncommit;\n");
        script
    }

    fn header(&self) -> String {
        format!(
            "-- Tasker {version}: schema tasker {schema}. Made by: tasker migrate --print\n\
             --\n\
             -- Before this script, pgmq 1.8 or newer must be in the same database, by one of\n\
             --   create extension pgmq;          where the server offers that extension\n\
             --   pgmq's SQL-only install         https://github.com/pgmq/pgmq, file \
             pgmq-extension/sql/pgmq.sql\n\
             -- and the two queues of the orchestrators:\n\
             --   select pgmq.create('orchestration_task_requests');\n\
             --   select pgmq.create('orchestration_step_results');\n\
             --\n\
             -- Run it as the role that shall own the schema, for example: psql -v \
             ON_ERROR_STOP=1 -f tasker.sql\n\
             -- It may be run again: what is applied stays, functions, views, and triggers are \
             recreated.\n\n",
            version = self.tasker_version,
            schema = self.version(),
        )
    }

    /// The comparison of `standing.rs`, in SQL.
    fn refuse_newer(&self) -> String {
        format!(
            "do $tasker$\n\
             begin\n\
             \x20   if exists (select from tasker.schema_info i\n\
             \x20               where i.migration > {migration}\n\
             \x20                  or (i.migration = {migration} and i.sql_hash <> {hash}\n\
             \x20                      and {installed} > {ours})) then\n\
             \x20       raise exception 'schema tasker in this database is newer than this \
             script: use a newer tasker';\n\
             \x20   end if;\n\
             end\n\
             $tasker$;",
            migration = self.migration(),
            hash = quote(&self.sql_hash),
            installed = release("i.tasker_version"),
            ours = release(&quote(&self.tasker_version)),
        )
    }

    fn recorded(&self) -> String {
        format!(
            "insert into tasker.schema_info (migration, sql_hash, tasker_version) values ({}, {}, \
             {})\n\
             on conflict (singleton) do update\n\
             \x20  set migration = excluded.migration, sql_hash = excluded.sql_hash,\n\
             \x20      tasker_version = excluded.tasker_version, installed_at = \
             excluded.installed_at;",
            self.migration(),
            quote(&self.sql_hash),
            quote(&self.tasker_version),
        )
    }
}

fn titled(object: &Object) -> String {
    format!("-- sql/{}\n{}", object.path, object.sql)
}

/// A migration that runs only where it has not been applied. As a string, because a statement of
/// its own cannot be skipped in plain SQL.
fn guarded(migration: &Migration) -> String {
    let Migration { version, name, sql, checksum } = migration;
    let (name, checksum) = (quote(name), quote(checksum));
    let (outer, inner) = (tag("do", sql), tag("migration", sql));
    format!(
        "-- migrations/{file}.sql\n\
         do {outer}\n\
         begin\n\
         \x20   if not exists (select from tasker.schema_migrations where version = {version}) \
         then\n\
         execute {inner}\n\
         {sql}\n\
         {inner};\n\
         \x20       insert into tasker.schema_migrations (version, name, checksum) values \
         ({version}, {name}, {checksum});\n\
         \x20   elsif not exists (select from tasker.schema_migrations where version = {version} \
         and checksum = {checksum}) then\n\
         \x20       raise exception 'migration % was applied to this database with other \
         content', {name}\n\
         \x20           using hint = 'A migration never changes once applied: use the script it \
         came from, or begin with an empty database.';\n\
         \x20   end if;\n\
         end\n\
         {outer};",
        file = migration.name,
        sql = sql.trim_end(),
    )
}

/// A dollar quote that does not occur in the text.
fn tag(word: &str, text: &str) -> String {
    let mut tag = format!("${word}$");
    while text.contains(&tag) {
        tag.insert(tag.len() - 1, '_');
    }
    tag
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// An SQL expression that orders versions: their numbers, then final before its pre-releases.
fn release(version: &str) -> String {
    format!(
        "(string_to_array(split_part(split_part({version}, '+', 1), '-', 1), '.')::int[], \
         position('-' in split_part({version}, '+', 1)) = 0)"
    )
}

fn push_block(script: &mut String, block: &str) {
    script.push('\n');
    script.push_str(block.trim_end());
    script.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dollar_quote_never_occurs_in_what_it_quotes() {
        assert_eq!(tag("do", "select 1"), "$do$");
        assert_eq!(tag("do", "$do$ $do_$"), "$do__$");
    }

    #[test]
    fn the_script_is_one_transaction_and_names_what_comes_before() {
        let migrations = [("0001_a.sql".to_owned(), "create table tasker.a ();".to_owned())];
        let objects = [
            ("grants.sql".to_owned(), "grant usage on schema tasker to public;".to_owned()),
            ("views/v.sql".to_owned(), "create view tasker.v as select 1;".to_owned()),
        ];
        let script = Bundle::new(&migrations, &objects, "0.1.0").unwrap().script();
        let place = |text: &str| {
            script.find(text).unwrap_or_else(|| panic!("{text} is missing in {script}"))
        };
        assert!(place("create extension pgmq") < place("\nbegin"));
        assert!(place("create table tasker.a") < place("create view tasker.v"));
        assert!(place("create view tasker.v") < place("grant usage"));
        assert!(script.ends_with("\ncommit;\n"));
    }
}
