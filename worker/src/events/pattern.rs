//! Patterns of event names: `payment.processed`, `payment.*`, `*`.

/// Words with dots between them; a last `*` stands for one or more words, another for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<String>);

impl Pattern {
    /// None: it can match no name.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let word = |word: &str| {
            word == "*"
                || word.starts_with(|c: char| c.is_ascii_lowercase())
                    && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        text.split('.').all(word).then(|| Self(text.split('.').map(str::to_owned).collect()))
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        let mut words = name.split('.');
        for (n, expected) in self.0.iter().enumerate() {
            match words.next() {
                None => return false,
                Some(_) if expected == "*" && n + 1 == self.0.len() => return true,
                Some(word) if expected != "*" && expected != word => return false,
                Some(_) => {}
            }
        }
        words.next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_by_words() {
        for (pattern, name, matches) in [
            ("payment.processed", "payment.processed", true),
            ("payment.processed", "payment.processed.late", false),
            ("payment.*", "payment.processed", true),
            ("payment.*", "payment.processed.late", true),
            ("payment.*", "payment", false),
            ("payment.*", "payments.processed", false),
            ("*", "payment.processed", true),
            ("*.processed", "payment.processed", true),
            ("*.processed", "payment.card.processed", false),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(name), matches, "{pattern} {name}");
        }
    }

    #[test]
    fn what_can_match_no_name_is_no_pattern() {
        for text in ["", "payment.", "Payment.*", "pay*", "a b", "**"] {
            assert_eq!(Pattern::parse(text), None, "{text}");
        }
    }
}
