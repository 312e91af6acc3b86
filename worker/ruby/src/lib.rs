//! The native module of the Ruby gem `pgtasker`: [`pgtasker_bridge::Bridge`] as a class. It gives
//! up the GVL wherever it waits, and turns panics into errors. All else is Ruby.

#![cfg(feature = "module")]
// magnus's macro makes a function without documentation of its own.
#![allow(missing_docs)]

mod gvl;

use gvl::without_gvl;
use magnus::{Error, Ruby, function, method, prelude::*};
use pgtasker_bridge::{Bridge, BridgeError};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

/// How long one wait lasts before Ruby's signals are looked at, should none have ended it.
const SLICE: Duration = Duration::from_millis(100);

/// A running worker or consumer.
#[magnus::wrap(class = "Tasker::Native", free_immediately)]
struct Native {
    bridge: Bridge,
}

fn told<T>(ruby: &Ruby, result: std::thread::Result<Result<T, BridgeError>>) -> Result<T, Error> {
    let class = ruby.exception_runtime_error();
    match result {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error @ BridgeError::Options(_))) => {
            Err(Error::new(ruby.exception_arg_error(), error.to_string()))
        }
        Ok(Err(error)) => Err(Error::new(class, error.to_string())),
        Err(_) => Err(Error::new(class, "a bug in pgtasker: its native module panicked")),
    }
}

fn caught<T>(f: impl FnOnce() -> T) -> std::thread::Result<T> {
    catch_unwind(AssertUnwindSafe(f))
}

impl Native {
    fn start(ruby: &Ruby, options: String) -> Result<Self, Error> {
        Ok(Self { bridge: told(ruby, caught(|| Bridge::start(&options)))? })
    }

    fn start_consumer(ruby: &Ruby, options: String) -> Result<Self, Error> {
        Ok(Self { bridge: told(ruby, caught(|| Bridge::start_consumer(&options)))? })
    }

    /// Waits without the GVL, in slices: nothing for as long as the answer is not `wanted`.
    fn waited<T>(
        ruby: &Ruby,
        wait: f64,
        wanted: impl Fn(&T) -> bool,
        f: impl Fn(Duration) -> Result<T, BridgeError>,
    ) -> Result<T, Error> {
        let wait = Duration::try_from_secs_f64(wait.clamp(0.0, 86_400.0)).unwrap_or_default();
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let value = told(ruby, without_gvl(ruby, || f(left.min(SLICE)))?)?;
            if wanted(&value) || left <= SLICE {
                return Ok(value);
            }
        }
    }

    fn started(ruby: &Ruby, this: &Self, wait: f64) -> Result<bool, Error> {
        Self::waited(ruby, wait, |started| *started, |slice| this.bridge.started(slice))
    }

    fn poll(ruby: &Ruby, this: &Self, max: usize, wait: f64) -> Result<Vec<String>, Error> {
        let has_items = |items: &Vec<String>| !items.is_empty();
        Self::waited(ruby, wait, has_items, |slice| this.bridge.poll(max, slice))
    }

    fn complete(ruby: &Ruby, this: &Self, answers: Vec<(u64, String)>) -> Result<usize, Error> {
        let answers = || answers.iter().map(|(id, text)| (*id, text.as_str()));
        told(ruby, caught(|| this.bridge.complete(answers())))
    }

    fn ask(
        ruby: &Ruby,
        this: &Self,
        id: u64,
        what: String,
        arguments: String,
    ) -> Result<String, Error> {
        told(ruby, without_gvl(ruby, || this.bridge.ask(id, &what, &arguments))?)
    }

    fn shutdown(ruby: &Ruby, this: &Self) -> Result<(), Error> {
        told(ruby, caught(|| this.bridge.shutdown()))
    }

    fn wait(ruby: &Ruby, this: &Self, wait: f64) -> Result<bool, Error> {
        Self::waited(ruby, wait, |ended| *ended, |slice| this.bridge.wait(slice))
    }

    fn health(ruby: &Ruby, this: &Self) -> Result<String, Error> {
        told(ruby, caught(|| this.bridge.health()))
    }

    fn metrics(ruby: &Ruby, this: &Self) -> Result<String, Error> {
        told(ruby, caught(|| this.bridge.metrics()))
    }

    fn id(ruby: &Ruby, this: &Self) -> Result<Option<String>, Error> {
        Ok(told(ruby, caught(|| this.bridge.id()))?.map(|id| id.to_string()))
    }
}

#[magnus::init]
fn init(ruby: &Ruby) -> Result<(), Error> {
    let class = ruby.define_module("Tasker")?.define_class("Native", ruby.class_object())?;
    class.define_singleton_method("start", function!(Native::start, 1))?;
    class.define_singleton_method("start_consumer", function!(Native::start_consumer, 1))?;
    class.define_method("started", method!(Native::started, 1))?;
    class.define_method("poll", method!(Native::poll, 2))?;
    class.define_method("complete", method!(Native::complete, 1))?;
    class.define_method("ask", method!(Native::ask, 3))?;
    class.define_method("shutdown", method!(Native::shutdown, 0))?;
    class.define_method("wait", method!(Native::wait, 1))?;
    class.define_method("health", method!(Native::health, 0))?;
    class.define_method("metrics", method!(Native::metrics, 0))?;
    class.define_method("id", method!(Native::id, 0))?;
    Ok(())
}
