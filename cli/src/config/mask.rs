//! Secrets within texts that people see.

/// What stands in place of a secret.
pub const MASK: &str = "***";

/// Parts of names of parameters whose values are secrets.
const SECRET: [&str; 6] = ["pass", "secret", "token", "key", "sig", "auth"];

/// A URL without its password and without the values of its secret parameters; also one that is not
/// valid, in which case rather too much is masked. Other texts stay.
pub fn url(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return match text.contains('@') {
            true => MASK.to_owned(),
            false => text.to_owned(),
        };
    };
    // The password ends at the last @, as it may hold any sign where it was not encoded.
    let rest = match rest.rsplit_once('@') {
        Some((account, rest)) => match account.split_once(':') {
            Some((user, _)) => format!("{user}:{MASK}@{rest}"),
            None => format!("{account}@{rest}"),
        },
        // Perhaps the rest of it is missing.
        None => match rest.split_once(':') {
            Some((host, port)) if !port.starts_with(|c: char| c.is_ascii_digit()) => {
                format!("{host}:{MASK}")
            }
            _ => rest.to_owned(),
        },
    };
    let Some((address, parameters)) = rest.split_once('?') else {
        return format!("{scheme}://{rest}");
    };
    let parameters: Vec<String> = parameters
        .split('&')
        .map(|parameter| match parameter.split_once('=') {
            Some((name, _)) if is_secret(name) => format!("{name}={MASK}"),
            _ => parameter.to_owned(),
        })
        .collect();
    format!("{scheme}://{address}?{}", parameters.join("&"))
}

/// `sslkey` and the like name files.
fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    !name.starts_with("ssl") && SECRET.iter().any(|part| name.contains(part))
        || name == "sslpassword"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_masked_and_the_rest_of_a_url_is_not() {
        for (text, masked) in [
            (
                "postgres://me:secret@host:5432/db?sslmode=require",
                "postgres://me:***@host:5432/db?sslmode=require",
            ),
            ("postgres://me@host/db", "postgres://me@host/db"),
            (
                "postgres://host/db?user=me&password=secret",
                "postgres://host/db?user=me&password=***",
            ),
            ("postgres://host/db?sslkey=/k.pem", "postgres://host/db?sslkey=/k.pem"),
            ("https://host/jwks?access_token=secret&v=1", "https://host/jwks?access_token=***&v=1"),
            ("postgres://me:se@cr/et:@host/db", "postgres://me:***@host/db"),
            ("postgres://me:secret@", "postgres://me:***@"),
            ("postgres://me:secret", "postgres://me:***"),
            ("postgres://host:5432/db", "postgres://host:5432/db"),
            ("me:secret@host", "***"),
            ("https://tasker.example.com", "https://tasker.example.com"),
            ("30s", "30s"),
        ] {
            assert_eq!(url(text), masked);
        }
    }
}
