//! Rebuilds when a file is added to, removed from, or changed in the folders that are embedded.

fn main() {
    println!("cargo::rerun-if-changed=../migrations");
    println!("cargo::rerun-if-changed=../sql");
}
