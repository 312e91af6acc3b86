//! Configuration: flags over variables over the file over defaults. The options of clap are the
//! settings; the layers below the command line are given to clap before it parses, so that a value
//! means the same wherever it comes from.

mod file;
mod layers;
pub mod mask;
mod parse;
pub mod reference;
mod settings;
mod suggest;

pub use layers::{Config, Origin, tell_warnings};
pub use parse::parse;
pub use settings::{SETTINGS, Setting};
