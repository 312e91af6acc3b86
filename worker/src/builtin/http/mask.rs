//! Takes secrets out of what a server answers: results, errors, and logs are read by others than
//! who may use a secret.

use std::fmt::Write;

/// What stands in their place.
const STARS: &[u8] = b"***";
/// Parts of a secret that are shorter say nothing, and would take much of any text with them.
const LEAST: usize = 4;
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The forms in which secrets may come back.
#[derive(Default, Clone)]
pub(crate) struct Mask {
    /// The longest first, so that none leaves a part of another.
    forms: Vec<Vec<u8>>,
}

impl std::fmt::Debug for Mask {
    /// Without the secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mask").field("forms", &self.forms.len()).finish()
    }
}

impl Mask {
    /// Takes out this secret from now on.
    pub(crate) fn add(&mut self, secret: &str) {
        self.add_forms(secret.as_bytes());
        // `Basic`: servers say who they take the caller for.
        if let Some(decoded) = decode(secret.as_bytes()) {
            let (_, password) = split(&decoded);
            self.add_forms(&decoded);
            self.add_forms(password);
        }
    }

    fn add_forms(&mut self, value: &[u8]) {
        if value.is_empty() {
            return;
        }
        let text = String::from_utf8_lossy(value);
        let json = serde_json::Value::from(text.as_ref()).to_string();
        let json = json.trim_matches('"').to_owned();
        let mut forms =
            vec![value.to_vec(), json.replace('/', "\\/").into_bytes(), json.into_bytes()];
        for upper in [true, false] {
            let percent = percent(value, upper);
            forms.push(percent.replace("%20", "+").into_bytes());
            forms.push(percent.into_bytes());
        }
        let hex: String = value.iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").ok();
            hex
        });
        forms.extend([hex.to_ascii_uppercase().into_bytes(), hex.into_bytes()]);
        for shift in 0..3 {
            let coded = encoded_at(value, shift);
            if coded.len() >= LEAST {
                let url_safe = coded.iter().map(|c| if *c == b'+' { b'-' } else { *c });
                forms.push(url_safe.map(|c| if c == b'/' { b'_' } else { c }).collect());
                forms.push(coded);
            }
        }
        self.forms.append(&mut forms);
        self.forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        self.forms.dedup();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.forms.is_empty()
    }

    /// How much of a text has to be read beyond what is shown, so that no secret is cut in two.
    pub(crate) fn longest(&self) -> usize {
        self.forms.first().map_or(0, Vec::len)
    }

    /// The text without them. `cut`: it goes on behind its end.
    pub(crate) fn apply(&self, text: Vec<u8>, cut: bool) -> Vec<u8> {
        if self.is_empty() {
            return text;
        }
        let text = if text.contains(&b'\\') { plain_escapes(&text) } else { text };
        let mut masked = Vec::with_capacity(text.len());
        let mut at = 0;
        while let Some(&byte) = text.get(at) {
            let rest = &text[at..];
            if let Some(form) = self.forms.iter().find(|form| rest.starts_with(form)) {
                masked.extend_from_slice(STARS);
                at += form.len();
            } else if cut
                && rest.len() < self.longest()
                && self.forms.iter().any(|form| form.starts_with(rest))
            {
                break;
            } else {
                masked.push(byte);
                at += 1;
            }
        }
        masked
    }
}

/// `\u0041` as `A`: letters, digits, and signs that JSON need not escape.
fn plain_escapes(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let hex = text.get(at + 2..at + 6).and_then(|hex| std::str::from_utf8(hex).ok());
        let code = hex
            .filter(|_| text[at..].starts_with(b"\\u"))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code.filter(|code| (b' '..=b'~').contains(code) && !matches!(code, b'"' | b'\\')) {
            Some(code) => {
                plain.push(code);
                at += 6;
            }
            // An escaped backslash does not begin another escape.
            None => {
                let step = if text[at] == b'\\' { 2 } else { 1 };
                plain.extend_from_slice(&text[at..(at + step).min(text.len())]);
                at += step;
            }
        }
    }
    plain
}

fn percent(value: &[u8], upper: bool) -> String {
    value.iter().fold(String::new(), |mut text, &byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(byte))
            }
            _ if upper => write!(text, "%{byte:02X}").unwrap_or_default(),
            _ => write!(text, "%{byte:02x}").unwrap_or_default(),
        }
        text
    })
}

/// What base64 makes of the value with `shift` bytes before it: the letters that depend on nothing
/// else.
fn encoded_at(value: &[u8], shift: usize) -> Vec<u8> {
    let bits: Vec<u8> =
        value.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    // The first letter that begins within the value.
    let skip = (6 - shift * 8 % 6) % 6;
    let whole = bits.get(skip..).unwrap_or_default().chunks_exact(6);
    whole
        .map(|bits| BASE64[bits.iter().fold(0_usize, |n, bit| n << 1 | usize::from(*bit))])
        .collect()
}

/// Base64 of text; none where it is something else.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.strip_suffix(b"==").or(text.strip_suffix(b"=")).unwrap_or(text);
    let mut bits = Vec::with_capacity(text.len() * 6);
    for letter in text {
        let letter = match letter {
            b'-' => b'+',
            b'_' => b'/',
            other => *other,
        };
        let value = BASE64.iter().position(|known| *known == letter)?;
        bits.extend((0..6).rev().map(|bit| (value >> bit & 1) as u8));
    }
    let bytes: Vec<u8> =
        bits.chunks_exact(8).map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | bit)).collect();
    let readable = bytes.len() >= LEAST && bytes.iter().all(|byte| (b' '..=b'~').contains(byte));
    readable.then_some(bytes)
}

/// User and password.
fn split(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|byte| *byte == b':') {
        Some(at) if text.len() - at > LEAST => (&text[..at], &text[at + 1..]),
        _ => (text, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str, cut: bool) -> String {
        let mut mask = Mask::default();
        mask.add("s3cret/+\"key");
        String::from_utf8(mask.apply(text.as_bytes().to_vec(), cut)).unwrap()
    }

    #[test]
    fn a_secret_is_taken_out_in_every_form() {
        for text in [
            "s3cret/+\"key",
            "s3cret\\/+\\\"key",
            "s3cret/+\\\"key",
            "\\u00733\\u0063ret/\\u002b\\\"key",
            "s3cret%2F%2B%22key",
            "s3cret%2f%2b%22key",
            "7333637265742f2b226b6579",
        ] {
            assert_eq!(masked(&format!("<{text}>"), false), "<***>", "{text}");
        }
        // `x:s3cret/+"key` and so on in base64: what is left holds a letter of it at most.
        for (coded, left) in [
            ("czNjcmV0Lysia2V5", "***"),
            ("eDpzM2NyZXQvKyJrZXk=", "eDp"),
            ("eHg6czNjcmV0LysiK2tleQ==", ""),
        ] {
            let text = masked(coded, false);
            assert!(
                text.starts_with(left) && (left.is_empty() || text.contains("***")),
                "{coded}: {text}"
            );
        }
        assert_eq!(
            masked("nothing \\\\u0041 of \\u00e9 it", false),
            "nothing \\\\u0041 of \\u00e9 it"
        );
    }

    #[test]
    fn a_secret_that_is_cut_off_is_not_shown() {
        assert_eq!(masked("here: s3cret/", true), "here: ");
        assert_eq!(masked("here: s3cret/", false), "here: s3cret/");
    }

    #[test]
    fn a_password_is_taken_out_decoded() {
        let mut mask = Mask::default();
        mask.add("dXNlcjpwYXNzd29yZA==");
        let text = mask.apply(b"{\"user\": \"user\", \"password\": \"password\"}".to_vec(), false);
        assert!(!String::from_utf8(text).unwrap().contains(": \"password\""));
    }
}
