//! How much of a list is shown: the first page, or all of it.

use crate::{
    error::{Error, Result},
    output,
};
use clap::Args;
use pgtasker_client::{Listed, Page};
use pgtasker_core::bounds::PAGE;
use std::str::FromStr;

/// Options of every command that lists.
#[derive(Debug, Clone, Copy, Args)]
pub struct PageArgs {
    /// How many to show at most: a number, or all.
    #[arg(long, value_name = "N", default_value = "20")]
    limit: Limit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    AtMost(u32),
    All,
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(limit) if limit > 0 => Ok(Self::AtMost(limit)),
            _ if text == "all" => Ok(Self::All),
            _ => Err("write a number from 1, or all".to_owned()),
        }
    }
}

impl PageArgs {
    /// Lists page by page; says on standard error when there is more.
    ///
    /// # Errors
    /// What `list` gives.
    pub async fn collect<T, F>(self, list: impl Fn(Page) -> F) -> Result<Vec<T>>
    where
        F: Future<Output = pgtasker_client::Result<Listed<T>>>,
    {
        let mut all: Vec<T> = Vec::new();
        let mut after = None;
        loop {
            let limit = match self.limit {
                Limit::All => PAGE.most,
                Limit::AtMost(limit) => {
                    PAGE.most.min(limit.saturating_sub(u32::try_from(all.len())?))
                }
            };
            let page = list(Page { after, limit }).await.map_err(Error::from)?;
            all.extend(page.items);
            after = page.next;
            match (self.limit, &after) {
                (_, None) => return Ok(all),
                (Limit::AtMost(limit), Some(_)) if all.len() as u64 >= u64::from(limit) => {
                    output::note(&format!(
                        "these are the first {limit}, there are more: --limit N, or --limit all"
                    ));
                    return Ok(all);
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers up to `total`, in pages of at most `longest`.
    async fn collected(limit: &str, total: usize, longest: usize) -> Vec<usize> {
        let args = PageArgs { limit: limit.parse().unwrap() };
        let list = |page: Page| async move {
            let from = page.after.map_or(0, |after| after.parse::<usize>().unwrap());
            let end = total.min(from + longest.min(page.limit as usize));
            let next = (end < total).then(|| end.to_string());
            Ok(Listed { items: (from..end).collect(), next })
        };
        args.collect(list).await.unwrap()
    }

    #[tokio::test]
    async fn as_many_are_listed_as_asked_for_whatever_a_page_holds() {
        assert_eq!(collected("20", 45, 1000).await, (0..20).collect::<Vec<_>>());
        assert_eq!(collected("20", 45, 7).await.len(), 20);
        assert_eq!(collected("2500", 2400, 1000).await.len(), 2400);
        assert_eq!(collected("all", 2400, 1000).await, (0..2400).collect::<Vec<_>>());
        assert!(collected("all", 0, 10).await.is_empty());
    }

    #[test]
    fn a_limit_is_a_number_or_all() {
        assert_eq!("all".parse(), Ok(Limit::All));
        for bad in ["0", "-1", "", "some", "99999999999"] {
            assert!(bad.parse::<Limit>().is_err(), "{bad}");
        }
    }
}
