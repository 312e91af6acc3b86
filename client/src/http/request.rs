//! A request of the API: its path by segments, its query, its body.

use super::{
    HttpClient,
    answer::{self, Answer},
};
use crate::{By, Error, Result};
use chrono::{DateTime, SecondsFormat, Utc};
use reqwest::{
    Method, Url,
    header::{ACCEPT, CONTENT_TYPE},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::time::Duration;

/// A request to send.
pub(super) struct Request<'a> {
    client: &'a HttpClient,
    method: Method,
    /// Or what is wrong with it.
    url: Result<Url>,
    body: Option<Value>,
}

impl HttpClient {
    /// A request of what is at these segments under `/v1`.
    pub(super) fn request(&self, method: Method, segments: &[&str]) -> Request<'_> {
        Request { client: self, method, url: self.at(segments), body: None }
    }

    pub(super) fn get(&self, segments: &[&str]) -> Request<'_> {
        self.request(Method::GET, segments)
    }

    pub(super) fn post(&self, segments: &[&str]) -> Request<'_> {
        self.request(Method::POST, segments)
    }

    pub(super) fn at(&self, segments: &[&str]) -> Result<Url> {
        // These stand for other paths in a URL, however they are encoded.
        if let Some(name) = segments.iter().find(|name| matches!(**name, "" | "." | "..")) {
            return Err(Error::invalid(
                format!("there is nothing with the name {name:?}"),
                "names begin with a lower-case letter",
            ));
        }
        let mut url = self.base.clone();
        match url.path_segments_mut() {
            Ok(mut path) => path.pop_if_empty().push("v1").extend(segments),
            Err(()) => {
                return Err(Error::invalid(
                    "the URL of the API has no path".to_owned(),
                    "use https://HOST",
                ));
            }
        };
        Ok(url)
    }
}

impl Request<'_> {
    /// Adds a parameter where there is a value.
    pub(super) fn query(mut self, name: &str, value: Option<impl ToString>) -> Self {
        if let (Ok(url), Some(value)) = (&mut self.url, value) {
            url.query_pairs_mut().append_pair(name, &value.to_string());
        }
        self
    }

    /// Adds a list, separated by commas; nothing for `None`.
    pub(super) fn query_list<T: ToString>(self, name: &str, values: Option<&[T]>) -> Self {
        let text =
            values.map(|values| values.iter().map(T::to_string).collect::<Vec<_>>().join(","));
        self.query(name, text)
    }

    /// Adds a time, as exact as the database keeps it.
    pub(super) fn query_time(self, name: &str, at: Option<DateTime<Utc>>) -> Self {
        self.query(name, at.map(|at| at.to_rfc3339_opts(SecondsFormat::Micros, true)))
    }

    /// Adds a duration in seconds.
    pub(super) fn query_seconds(self, name: &str, duration: Duration) -> Self {
        self.query(name, Some(duration.as_secs_f64()))
    }

    /// Sets the body.
    pub(super) fn json(mut self, body: &impl Serialize) -> Self {
        match serde_json::to_value(body) {
            Ok(body) => self.body = Some(body),
            Err(error) => {
                self.url = Err(Error::invalid(
                    format!("the request is not JSON: {error}"),
                    "see its types",
                ));
            }
        }
        self
    }

    /// Sets the body to who and why, with these keys more; keys without a value are left out.
    pub(super) fn by(self, by: By<'_>, more: &[(&str, Option<Value>)]) -> Self {
        let mut body = serde_json::Map::new();
        let own =
            [("reason", by.reason.map(|text| json!(text))), ("by", by.who.map(|text| json!(text)))];
        for (key, value) in own.into_iter().chain(more.iter().cloned()) {
            body.extend(value.map(|value| (key.to_owned(), value)));
        }
        self.json(&body)
    }

    /// Sends it and reads the answer.
    ///
    /// # Errors
    /// As the answer says, see [`answer`].
    pub(super) async fn send<T: DeserializeOwned>(self) -> Result<T> {
        self.answer().await?.into_result()
    }

    /// As [`Self::send`], for an answer that is one whatever its status.
    pub(super) async fn send_any<T: DeserializeOwned>(self) -> Result<T> {
        self.answer().await?.into_value()
    }

    async fn answer(self) -> Result<Answer> {
        let Self { client, method, url, body } = self;
        let url = url?;
        let name = format!("{method} {}", answer::shown(&url));
        let mut request = client.http.request(method, url).header(ACCEPT, "application/json");
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let away = |error| answer::away(&client.base, error);
        let response = request.send().await.map_err(away)?;
        Answer::read(name, response).await.map_err(away)
    }

    /// As [`Self::send`], for an answer in which nothing is said.
    pub(super) async fn done(self) -> Result<()> {
        self.send::<serde::de::IgnoredAny>().await.map(|_| ())
    }
}
