//! Suggestions for misspelled names.

/// Names less alike than this are other names.
const ALIKE: f64 = 0.8;

/// `: did you mean …?`, or nothing where no name is like it.
pub fn suggestion<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let leaf = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let alike = |known: &str| {
        // The right key in a wrong section, or at the top.
        let moved = if leaf(known) == leaf(name) { 0.95 } else { 0.0 };
        strsim::jaro_winkler(&known.to_lowercase(), &name.to_lowercase()).max(moved)
    };
    known
        .into_iter()
        .map(|known| (alike(known), known))
        .filter(|(likeness, known)| *likeness >= ALIKE && !known.is_empty())
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or_else(String::new, |(_, known)| format!(": did you mean {known}?"))
}
