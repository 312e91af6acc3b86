//! What a client refuses to be made of, and what it keeps to itself.

use super::*;

fn refused(builder: HttpClientBuilder) -> String {
    match builder.build() {
        Err(Error::Invalid { message, hint }) => format!("{message}; {hint}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_path_is_kept_and_segments_are_encoded() {
    for (url, expected) in [
        ("http://localhost:8410", "http://localhost:8410/v1/templates/a/b%20c%2Fd%3F"),
        ("http://127.0.0.1:8410/", "http://127.0.0.1:8410/v1/templates/a/b%20c%2Fd%3F"),
        (
            "https://example.com/ops/tasker/",
            "https://example.com/ops/tasker/v1/templates/a/b%20c%2Fd%3F",
        ),
        ("https://example.com/ops/v1", "https://example.com/ops/v1/templates/a/b%20c%2Fd%3F"),
    ] {
        let client = HttpClient::new(url, None).unwrap();
        assert_eq!(client.at(&["templates", "a", "b c/d?"]).unwrap().as_str(), expected);
        // Not another path's.
        assert!(client.at(&["templates", "..", "x"]).is_err());
    }
}

#[test]
fn a_key_goes_to_another_machine_encrypted_only() {
    for url in ["http://tasker.example", "http://10.0.0.7:8410", "http://[2001:db8::1]:8410"] {
        let text = refused(HttpClient::builder(url).key("tk_secret"));
        assert!(
            text.contains("the key") && text.contains("https") && !text.contains("tk_secret"),
            "{text}"
        );
        assert!(HttpClient::builder(url).key("tk_secret").plain_http(true).build().is_ok());
    }
    for url in
        ["http://localhost:8410", "http://127.0.0.2", "http://[::1]:8410", "https://tasker.example"]
    {
        assert!(HttpClient::new(url, Some("tk_secret\n")).is_ok(), "{url}");
    }
    // No host of this machine's, whatever its name begins with.
    assert!(HttpClient::new("http://127.0.0.1.example.com", None).is_err());
}

#[test]
fn what_is_no_url_of_an_api_is_refused_without_its_secrets() {
    for url in [
        "",
        "tasker.example",
        "ftp://tasker.example",
        "https://u:tk_secret@h",
        "https://h/?key=tk_secret",
    ] {
        let text = refused(HttpClient::builder(url));
        assert!(text.contains("URL of the API") && !text.contains("tk_secret"), "{text}");
    }
    let text = refused(HttpClient::builder("https://h").key("tk_\u{1}secret"));
    assert!(!text.contains("secret"), "{text}");
    assert!(
        refused(HttpClient::builder("https://h").ca_pem(b"no certificate")).contains("CERTIFICATE")
    );
}

#[test]
fn the_key_is_in_no_debug_output() {
    let builder = HttpClient::builder("https://tasker.example").key("tk_secret");
    let texts = format!("{builder:?} {:?}", builder.clone().build().unwrap());
    assert!(!texts.contains("tk_secret") && texts.contains("tasker.example"), "{texts}");
}
