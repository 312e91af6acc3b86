//! Patterns of event names: `payment.processed`, `payment.*`, `*`.

use std::{fmt, str::FromStr};

/// Words with dots between them. A last `*` stands for one or more words, one before it for exactly
/// one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPattern(Vec<String>);

impl EventPattern {
    /// Whether an event's name matches.
    pub fn matches(&self, name: &str) -> bool {
        let words: Vec<&str> = name.split('.').collect();
        let rest_is_free = self.0.last().is_some_and(|word| word == "*");
        let fits = |(pattern, word): (&String, &&str)| pattern == "*" || pattern == word;
        (words.len() == self.0.len() || rest_is_free && words.len() > self.0.len())
            && self.0.iter().zip(&words).all(fits)
    }
}

impl FromStr for EventPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_word = |word: &str| {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            word == "*"
                || word.starts_with(|c: char| c.is_ascii_lowercase()) && word.chars().all(plain)
        };
        match text.split('.').all(is_word) {
            true => Ok(Self(text.split('.').map(str::to_owned).collect())),
            false => Err(format!(
                "{text:?} can match no event: write words of lower-case letters, digits, and _ \
                 with dots between them, * for a whole word, such as payment.*"
            )),
        }
    }
}

impl fmt::Display for EventPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_whole_words() {
        for (pattern, name, matches) in [
            ("payment.processed", "payment.processed", true),
            ("payment.processed", "payment.processed.late", false),
            ("payment.*", "payment.processed", true),
            ("payment.*", "payment.processed.late", true),
            ("payment.*", "payment", false),
            ("payment.*", "payments.processed", false),
            ("*", "payment", true),
            ("*", "payment.processed", true),
            ("*.processed", "payment.processed", true),
            ("*.processed", "payment.card.processed", false),
            ("*.card.*", "payment.card.processed", true),
        ] {
            assert_eq!(
                pattern.parse::<EventPattern>().unwrap().matches(name),
                matches,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn what_can_match_no_name_is_refused_with_the_form() {
        for text in ["", ".", "payment.", "Payment.*", "pay*", "a b", "**", "7.a"] {
            let problem = text.parse::<EventPattern>().unwrap_err();
            assert!(problem.contains("such as payment.*"), "{text}: {problem}");
        }
        assert_eq!("a.*".parse::<EventPattern>().unwrap().to_string(), "a.*");
    }
}
