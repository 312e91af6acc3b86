//! A release build carries the SQL: it is built again when a file is added to, removed from, or
//! changed in its folders. A debug build reads them when it runs.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        println!("cargo::rerun-if-changed=../migrations");
        println!("cargo::rerun-if-changed=../sql");
    }
}
