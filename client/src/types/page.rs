//! What many calls take or give: pages of lists, and who acts.

use serde::{Deserialize, Serialize};

/// Who acts, and why: for the audit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct By<'a> {
    /// A person; none: the role that is logged in.
    pub who: Option<&'a str>,
    /// For calls that record one: `prune`, `apply_template`, and `set_setting` record none, and the
    /// notes of a dead letter are its own.
    pub reason: Option<&'a str>,
}

/// Which part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// [`Listed::next`] of the page before; none: the first page.
    pub after: Option<String>,
    /// Items at most, from 1 to 10,000.
    pub limit: u32,
}

impl Page {
    /// The first page.
    pub fn first(limit: u32) -> Self {
        Self { after: None, limit }
    }

    /// One more than is given, to see whether there is more.
    pub(crate) fn asked(&self) -> i32 {
        i32::try_from(self.limit.saturating_add(1)).unwrap_or(i32::MAX)
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Listed<T> {
    /// In the order of the list.
    pub items: Vec<T>,
    /// Where the next page begins; none: there is no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl<T> Listed<T> {
    pub(crate) fn new(mut items: Vec<T>, page: &Page, key: impl Fn(&T) -> String) -> Self {
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(key);
        Self { items, next }
    }
}
