//! The native module of the TypeScript package `pgtasker`: [`pgtasker_bridge::Bridge`] as a class,
//! for Node, Bun, and Deno. What waits is a promise; panics become errors. All else is TypeScript.

#![cfg(feature = "module")]
// napi's macros make functions without documentation of their own, and calls that are unsafe.
#![allow(missing_docs, unsafe_code)]

use napi::{
    Env,
    bindgen_prelude::{Error, Object, Result},
};
use napi_derive::napi;
use pgtasker_bridge::{Bridge, BridgeError};
use std::{sync::Arc, time::Duration};

/// A running worker or consumer.
#[napi]
pub struct Native {
    bridge: Arc<Bridge>,
}

fn told<T>(result: std::result::Result<T, BridgeError>) -> Result<T> {
    result.map_err(|error| Error::from_reason(error.to_string()))
}

/// The ids of a session stay far below 2^53, which a double holds.
fn id(id: f64) -> u64 {
    id as u64
}

#[napi]
impl Native {
    #[napi(factory, catch_unwind)]
    pub fn start(options: String) -> Result<Self> {
        Ok(Self { bridge: Arc::new(told(Bridge::start(&options))?) })
    }

    #[napi(factory, catch_unwind)]
    pub fn start_consumer(options: String) -> Result<Self> {
        Ok(Self { bridge: Arc::new(told(Bridge::start_consumer(&options))?) })
    }

    #[napi(catch_unwind)]
    pub fn started(&self) -> Result<bool> {
        told(self.bridge.started(Duration::ZERO))
    }

    /// A promise that a thread of the bridge keeps, with no other runtime between.
    #[napi(catch_unwind)]
    pub fn poll<'env>(&self, env: &'env Env, max: u32, wait_ms: u32) -> Result<Object<'env>> {
        let (deferred, promise) = env.create_deferred()?;
        let wait = Duration::from_millis(wait_ms.into());
        let then = move |polled| deferred.resolve(move |_| told(polled));
        self.bridge.poll_then(max as usize, wait, then);
        Ok(promise)
    }

    #[napi(catch_unwind)]
    pub fn complete(&self, ids: Vec<f64>, texts: Vec<String>) -> Result<u32> {
        let answers = ids.into_iter().map(id).zip(texts.iter().map(String::as_str));
        Ok(u32::try_from(told(self.bridge.complete(answers))?).unwrap_or(u32::MAX))
    }

    /// The answer comes as an item `reply` with the id that this returns.
    #[napi(catch_unwind)]
    pub fn ask_later(&self, step: f64, what: String, arguments: String) -> Result<f64> {
        Ok(told(self.bridge.ask_later(id(step), &what, &arguments))? as f64)
    }

    #[napi(catch_unwind)]
    pub fn shutdown(&self) -> Result<()> {
        told(self.bridge.shutdown())
    }

    #[napi(catch_unwind)]
    pub fn health(&self) -> Result<String> {
        told(self.bridge.health())
    }

    #[napi(catch_unwind)]
    pub fn metrics(&self) -> Result<String> {
        told(self.bridge.metrics())
    }

    #[napi(catch_unwind)]
    pub fn id(&self) -> Result<Option<String>> {
        Ok(told(self.bridge.id())?.map(|id| id.to_string()))
    }
}
