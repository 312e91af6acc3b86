//! Who stands behind a command, for the audit.

/// The name given, else that of the user of this machine; none: the database role is recorded.
pub fn who(given: Option<String>) -> Option<String> {
    let variable = |name| std::env::var(name).ok();
    given
        .or_else(|| variable("USER"))
        .or_else(|| variable("LOGNAME"))
        .filter(|name| !name.is_empty())
}
