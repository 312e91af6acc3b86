//! The full name of a template, as it is written on the command line.

use std::str::FromStr;

/// A template by its full name, `namespace.name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateName {
    pub namespace: String,

    pub name: String,
}

impl FromStr for TemplateName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(['.', '/']) {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
                Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
            }
            _ => Err("write it as NAMESPACE.NAME, such as orders.fulfil".to_owned()),
        }
    }
}

impl std::fmt::Display for TemplateName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.namespace, self.name)
    }
}
