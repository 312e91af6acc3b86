//! Which modules of a crate import each other in a circle. A circle is read as one piece, so it
//! must not grow: what all parts use stands apart from the code that starts them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// Modules in the largest circle of each crate. Others have none. Lower a number when you can.
const LARGEST: [(&str, usize); 5] = [
    ("api", 3),
    ("cli", 3),
    ("core", 2),
    ("embedded", 2),
    // A handler gets the context, which leads to the handlers, as do publishers of events.
    ("worker", 4),
];

type Name = Vec<String>;

#[derive(Default)]
struct Module {
    /// Paths it uses, in `use` and elsewhere.
    uses: Vec<Name>,
    /// What it passes on by `pub use`: where that comes from, by name.
    exports: BTreeMap<String, Name>,
    /// Its modules for tests.
    tests: Vec<String>,
}

type Modules = BTreeMap<Name, Module>;

#[test]
fn no_circle_of_modules_grows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the workspace");
    let mut found = Vec::new();
    let mut crates = 0;
    for entry in fs::read_dir(root).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.join("Cargo.toml").exists() || !folder.join("src").exists() {
            continue;
        }
        crates += 1;
        let name = folder.file_name().unwrap().to_str().unwrap();
        let largest = LARGEST.iter().find(|(of, _)| *of == name).map_or(1, |(_, size)| *size);
        let mut modules = Modules::new();
        read(&folder.join("src"), &[], &mut modules);
        for circle in circles(&modules).into_iter().filter(|circle| circle.len() > largest) {
            found.push(format!("{name}: {} modules, {largest} allowed:", circle.len()));
            found.extend(circle);
        }
    }
    assert!(crates > LARGEST.len(), "only {crates} crates were read");
    assert!(found.is_empty(), "modules import each other in a circle:\n{}", found.join("\n"));
}

#[test]
fn a_circle_is_found_also_through_re_exports() {
    let text = [
        ("", "mod a; mod b; mod c; pub use a::A;"),
        ("a", "use crate::{b::{self, B as Other}, c::C}; struct A;"),
        ("b", "pub use d::D; mod d; // use crate::c::C;\nconst TEXT: &str = \"crate::c::C\";"),
        ("b::d", "fn d(_: crate::A) { super::super::c::c(); } struct D;"),
        ("c", "struct C; #[cfg(test)] mod tests { use crate::A; }"),
    ];
    let modules = |changed: &str| -> Modules {
        let module = |(name, text): (&str, &str)| {
            let name = name.split("::").filter(|part| !part.is_empty()).map(str::to_owned);
            (name.collect(), parse(if text.contains("B as Other") { changed } else { text }))
        };
        text.into_iter().map(module).collect()
    };
    let none = "use crate::c::C; struct A;";
    assert_eq!(circles(&modules(none)), Vec::<Vec<String>>::new());
    for circle in ["use crate::b::D;", "fn a() { crate::b::d::d() }", "use crate::{c::C, b::{D}};"]
    {
        assert_eq!(circles(&modules(circle)), [["  a -> b::d", "  b::d -> a"]], "{circle}");
    }
}

/// Reads the modules in a folder, but those for tests and other programs.
fn read(folder: &Path, name: &[String], modules: &mut Modules) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let is_root = name.is_empty() && ["lib", "main"].contains(&stem.as_str());
        let own = match is_root || stem == "mod" {
            true => name.to_vec(),
            false => [name, &[stem]].concat(),
        };
        if path.is_dir() {
            if own != ["bin"] {
                read(&path, &own, modules);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            modules.insert(own, parse(&fs::read_to_string(&path).unwrap()));
        }
    }
    let tests: Vec<Name> = modules
        .iter()
        .flat_map(|(name, module)| {
            module.tests.iter().map(|test| [&name[..], std::slice::from_ref(test)].concat())
        })
        .collect();
    modules.retain(|name, _| !tests.iter().any(|test| name.starts_with(test)));
}

/// The circles, each as its arrows.
fn circles(modules: &Modules) -> Vec<Vec<String>> {
    let mut arrows: BTreeMap<&Name, BTreeSet<Name>> = BTreeMap::new();
    for (name, module) in modules {
        let targets = module.uses.iter().filter_map(|path| target(modules, name, path, 0));
        arrows.insert(name, targets.filter(|target| target != name).collect());
    }
    let reached = |from: &Name| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(name) = next.pop() {
            next.extend(arrows[&name].iter().filter(|name| seen.insert((*name).clone())).cloned());
        }
        seen
    };
    let reached: BTreeMap<&Name, BTreeSet<Name>> =
        modules.keys().map(|name| (name, reached(name))).collect();
    let mut circles: BTreeSet<Vec<&Name>> = BTreeSet::new();
    for name in modules.keys().filter(|name| reached[name].contains(*name)) {
        let with = |other: &&Name| reached[name].contains(*other) && reached[other].contains(name);
        circles.insert(modules.keys().filter(with).collect());
    }
    let line = |circle: &[&Name], name: &Name| {
        let to = arrows[name].iter().filter(|name| circle.contains(name));
        let to: Vec<String> = to.map(|name| name.join("::")).collect();
        format!("  {} -> {}", name.join("::"), to.join(", "))
    };
    circles.iter().map(|all| all.iter().map(|name| line(all, name)).collect()).collect()
}

/// The module in which what this path names is defined. None: outside of the crate.
fn target(modules: &Modules, from: &Name, path: &[String], depth: usize) -> Option<Name> {
    let (mut at, mut rest) = match path.first()?.as_str() {
        "crate" => (Vec::new(), &path[1..]),
        "self" => (from.clone(), &path[1..]),
        "super" => {
            let up = path.iter().take_while(|part| *part == "super").count();
            (from[..from.len().checked_sub(up)?].to_vec(), &path[up..])
        }
        _ => (from.clone(), path),
    };
    let is_relative = rest.len() == path.len();
    while let Some(part) = rest.first() {
        let inner = [&at[..], std::slice::from_ref(part)].concat();
        if modules.contains_key(&inner) {
            (at, rest) = (inner, &rest[1..]);
            continue;
        }
        if is_relative && rest.len() == path.len() {
            return None;
        }
        // So long for one that comes from itself.
        let export = modules.get(&at)?.exports.get(part).filter(|_| depth < 10);
        return match export {
            Some(source) => {
                target(modules, &at, &[source, &rest[1..]].concat(), depth + 1).or(Some(at))
            }
            None => Some(at),
        };
    }
    Some(at)
}

fn parse(text: &str) -> Module {
    let (mut module, words) = (Module::default(), words(text));
    let is = |at: usize, word: &str| words.get(at).is_some_and(|there| there == word);
    let (mut at, mut is_pub) = (0, false);
    while at < words.len() {
        let word = words[at].as_str();
        if word == "#" && words[at..].starts_with(&TEST.map(str::to_owned)) {
            let start = (at..words.len()).find(|at| is(*at, "mod") || is(*at, "{") || is(*at, ";"));
            let start = start.unwrap_or(words.len());
            if is(start, "mod") && is(start + 2, ";") {
                module.tests.push(words[start + 1].clone());
            } else if is(start, "mod") {
                at = end_of_block(&words, start + 2);
                continue;
            }
        }
        if word == "use" {
            let end = (at..words.len()).find(|at| is(*at, ";")).unwrap_or(words.len());
            for (path, name) in tree(&words[at + 1..end]) {
                match is_pub {
                    true => drop(module.exports.insert(name, path)),
                    false => module.uses.push(path),
                }
            }
            (at, is_pub) = (end, false);
            continue;
        }
        if is(at + 1, "::") && !(at > 0 && is(at - 1, "::")) {
            let parts = (at + 2..words.len()).step_by(2).take_while(|at| is(at - 1, "::"));
            let rest = parts.map(|at| words[at].clone());
            module.uses.push([word.to_owned()].into_iter().chain(rest).collect());
        }
        is_pub =
            word == "pub" || is_pub && ["(", ")", "crate", "super", "self", "in"].contains(&word);
        at += 1;
    }
    module
}

const TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];

/// The place behind the block that begins here.
fn end_of_block(words: &[String], start: usize) -> usize {
    let mut depth = 0;
    for (at, word) in words.iter().enumerate().skip(start) {
        depth += usize::from(word == "{");
        depth -= usize::from(word == "}");
        if depth == 0 {
            return at + 1;
        }
    }
    words.len()
}

/// The paths of a `use`, each with the name it gets.
fn tree(words: &[String]) -> Vec<(Name, String)> {
    let Some(open) = words.iter().position(|word| word == "{") else {
        let mut parts = words.split(|word| word == "as");
        let path = parts.next().unwrap_or_default().iter().filter(|word| *word != "::").cloned();
        let mut path: Name = path.collect();
        if path.len() > 1 && path.last().is_some_and(|last| last == "self" || last == "*") {
            path.pop();
        }
        let name = parts.next().and_then(<[_]>::first).or(path.last()).cloned().unwrap_or_default();
        return vec![(path, name)];
    };
    let before: Vec<String> = words[..open].iter().filter(|word| *word != "::").cloned().collect();
    let (mut all, mut start) = (Vec::new(), open + 1);
    let mut depth = 0_usize;
    for at in open + 1..words.len() {
        let word = words[at].as_str();
        if depth == 0 && (word == "," || word == "}") && at > start {
            let with_before = |(path, name)| ([before.clone(), path].concat(), name);
            all.extend(tree(&words[start..at]).into_iter().map(with_before));
        }
        match word {
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            "," if depth == 0 => start = at + 1,
            _ => {}
        }
    }
    all
}

/// Words, `::`, and signs; without comments and strings.
fn words(text: &str) -> Vec<String> {
    let (mut all, mut rest) = (Vec::new(), text);
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if first == 'r' && rest[1..].trim_start_matches('#').starts_with('"') {
            let hashes = rest[1..].find('"').unwrap_or_default();
            let end = format!("\"{}", "#".repeat(hashes));
            let begin = hashes + 2;
            rest[begin..].find(&end).map_or(rest.len(), |at| begin + at + end.len())
        } else if first == '"' {
            end_of_string(rest)
        } else if rest.starts_with("'\\") {
            2 + rest[3..].find('\'').map_or(0, |at| at + 2)
        } else if first == '\'' && rest.chars().nth(2) == Some('\'') {
            rest.char_indices().nth(3).map_or(rest.len(), |(at, _)| at)
        } else if first.is_whitespace() {
            first.len_utf8()
        } else {
            let length = match is_word(first) {
                true => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
                false if rest.starts_with("::") => 2,
                false => first.len_utf8(),
            };
            all.push(rest[..length].to_owned());
            length
        };
        rest = &rest[skip..];
    }
    all
}

fn end_of_string(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}
