//! What the calls take and give, in a module for each subject: the same over the database and over
//! HTTP.

mod analytics;
mod dead_letters;
mod events;
mod page;
mod steps;
mod system;
mod tasks;
mod templates;

pub use analytics::*;
pub use dead_letters::*;
pub use events::*;
pub use page::*;
pub use steps::*;
pub use system::*;
pub use tasks::*;
pub use templates::*;
