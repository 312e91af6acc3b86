//! What a command for people asks Tasker by: the HTTP API where one is named, else the database.

use crate::{
    database::{Database, PATIENCE},
    error::{Error, Result},
    globals::Globals,
    own_key,
};
use pgtasker_client::{Client, DatabaseClient, HttpClient};
use sqlx::postgres::PgConnectOptions;
use std::sync::Arc;

impl Globals {
    /// The client that the options and the environment name.
    ///
    /// # Errors
    /// The URL or the key is invalid, or the database is unreachable or has another schema version.
    pub async fn client(&self) -> Result<Arc<dyn Client>> {
        match self.http_client()? {
            Some(client) => Ok(Arc::new(client)),
            None => Ok(Arc::new(DatabaseClient::new(Database::open(self).await?))),
        }
    }

    /// As [`Globals::client`], whatever schema the database has.
    ///
    /// # Errors
    /// The URL or the key is invalid, or the database is unreachable.
    pub async fn client_of_any_schema(&self) -> Result<Arc<dyn Client>> {
        match self.http_client()? {
            Some(client) => Ok(Arc::new(client)),
            None => {
                let pool = Database::resolve(self)?.connect("tasker", 2, PATIENCE).await?;
                Ok(Arc::new(DatabaseClient::new(pool)))
            }
        }
    }

    /// What is asked, for people: without user and password.
    pub fn target(&self) -> String {
        let database = || -> Option<String> {
            let options: PgConnectOptions = Database::resolve(self).ok()?.url.parse().ok()?;
            let name = options.get_database().unwrap_or_default().to_owned();
            Some(format!("database {name} at {}:{}", options.get_host(), options.get_port()))
        };
        match self.http_client() {
            Ok(Some(client)) => client.url().to_owned(),
            _ => database().unwrap_or_else(|| "database".to_owned()),
        }
    }

    /// That of the API, where one is named; nothing is sent yet.
    fn http_client(&self) -> Result<Option<HttpClient>> {
        let Some(url) = self.api.as_deref().filter(|url| !url.is_empty()) else { return Ok(None) };
        let mut builder =
            HttpClient::builder(url).connect_timeout(PATIENCE).plain_http(self.api_plain_http);
        // A project's file must not have the user's key sent to an address of its own, nor an
        // address get another's key.
        if let Some((api, key)) =
            self.api_origins.as_ref().filter(|(api, key)| api.is_file() != key.is_file())
        {
            let problem =
                format!("the address of the HTTP API comes from {api}, and its key from {key}");
            return Err(Error::new(problem)
                .or_hint("give both in one place: in the file, or with variables and options"));
        }
        if let Some(key) =
            self.api_key.clone().filter(|key| !key.is_empty()).or_else(|| own_key::of(url))
        {
            builder = builder.key(&key);
        }
        if let Some(file) = self.api_ca.as_deref().filter(|file| !file.is_empty()) {
            let pem = std::fs::read(file).map_err(|error| {
                Error::from(error).context(format!("cannot read {file} (--api-ca)"))
            })?;
            builder = builder.ca_pem(&pem);
        }
        Ok(Some(builder.build()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globals(url: &str) -> Globals {
        Globals {
            api: Some(url.to_owned()),
            api_key: Some("tk_secret".to_owned()),
            ..Globals::default()
        }
    }

    #[test]
    fn an_api_is_asked_where_one_is_named() {
        assert!(globals("https://tasker.example").http_client().unwrap().is_some());
        assert!(globals("").http_client().unwrap().is_none());
        assert!(Globals::default().http_client().unwrap().is_none());
    }

    #[test]
    fn what_is_refused_names_no_key() {
        let missing =
            Globals { api_ca: Some("/nowhere/ca.pem".to_owned()), ..globals("https://h") };
        for globals in [globals("http://tasker.example"), globals("x"), missing] {
            let error = format!("{:?}", globals.http_client().unwrap_err());
            assert!(!error.contains("tk_secret"), "{error}");
        }
        assert!(!format!("{:?}", globals("https://h")).contains("tk_secret"));
        let plain = Globals { api_plain_http: true, ..globals("http://tasker.example") };
        assert!(plain.http_client().unwrap().is_some());
    }
}
