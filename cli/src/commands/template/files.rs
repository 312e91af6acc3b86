//! The files of the command line, and of folders in it, in the order in which their versions are to
//! be applied.

use super::{Input, identity};
use crate::error::{Error, Result};
use pgtasker_core::template::TemplateFile;
use std::{cmp::Ordering, fs, io::Read, path::Path};

/// Every file, read and parsed as far as it can be. A folder's files are in the order of their
/// versions, so that the newest is applied last and becomes current.
pub(super) fn read_all(names: &[String]) -> Result<Vec<Input>> {
    let mut all = Vec::new();
    for name in names {
        if !Path::new(name).is_dir() {
            all.push(read(name)?);
            continue;
        }
        let mut inputs = folder(name)?.iter().map(|name| read(name)).collect::<Result<Vec<_>>>()?;
        if inputs.is_empty() {
            return Err(Error::new(format!("there is no .yaml or .yml file in the folder {name}")));
        }
        inputs.sort_by(in_turn);
        all.extend(inputs);
    }
    Ok(all)
}

/// The templates in a folder, not in those below it, by name.
fn folder(name: &str) -> Result<Vec<String>> {
    let cannot = |error: std::io::Error| Error::from(error).context(format!("cannot read {name}"));
    let mut files = Vec::new();
    for entry in fs::read_dir(name).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if path.is_file() && ["yaml", "yml"].contains(&ending) {
            files.push(path.to_string_lossy().into_owned());
        }
    }
    files.sort();
    Ok(files)
}

fn read(name: &str) -> Result<Input> {
    let text =
        text(name).map_err(|error| Error::from(error).context(format!("cannot read {name}")))?;
    let name = if name == "-" { "<stdin>" } else { name };
    let (parsed, problems) = match TemplateFile::parse(name, &text) {
        Ok(file) => (Some(file), Vec::new()),
        Err(problems) => (None, problems),
    };
    Ok(Input { name: name.to_owned(), parsed, problems, warnings: Vec::new() })
}

fn text(name: &str) -> std::io::Result<String> {
    if name != "-" {
        return fs::read_to_string(name);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

/// By template, then by version: 1.9 before 1.10, and 2.0.0-rc1 before 2.0.0.
fn in_turn(a: &Input, b: &Input) -> Ordering {
    let of = |input: &Input| input.parsed.as_ref().map(|file| identity(file).map(str::to_owned));
    match (of(a), of(b)) {
        (Some([a_namespace, a_name, a]), Some([b_namespace, b_name, b])) => {
            (a_namespace, a_name).cmp(&(b_namespace, b_name)).then_with(|| compare_versions(&a, &b))
        }
        // What cannot be read is refused anyway.
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}

/// Numbers as numbers, words as words; what follows a hyphen comes before the version without it.
fn compare_versions(a: &str, b: &str) -> Ordering {
    let split = |version: &str| -> (Vec<String>, Option<String>) {
        let (main, pre) =
            version.split_once('-').map_or((version, None), |(main, pre)| (main, Some(pre)));
        (main.split('.').map(str::to_owned).collect(), pre.map(str::to_owned))
    };
    let part = |a: &String, b: &String| match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => a.cmp(b),
    };
    let parts = |a: &[String], b: &[String]| {
        let different = a.iter().zip(b).map(|(a, b)| part(a, b)).find(|order| order.is_ne());
        different.unwrap_or_else(|| a.len().cmp(&b.len()))
    };
    let ((a_main, a_pre), (b_main, b_pre)) = (split(a), split(b));
    parts(&a_main, &b_main).then_with(|| match (a_pre, b_pre) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) => {
            let of = |pre: &str| pre.split('.').map(str::to_owned).collect::<Vec<_>>();
            parts(&of(&a), &of(&b))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_the_order_that_people_count_in() {
        let mut versions =
            ["1.10", "1.9", "2.0.0", "2.0.0-rc.2", "2.0.0-rc.10", "1.9.1", "10", "v2", "1"];
        versions.sort_by(|a, b| compare_versions(a, b));
        assert_eq!(
            versions,
            ["1", "1.9", "1.9.1", "1.10", "2.0.0-rc.2", "2.0.0-rc.10", "2.0.0", "10", "v2"]
        );
    }

    #[test]
    fn a_folder_is_its_templates_in_the_order_of_their_versions() {
        let folder = std::env::temp_dir().join(format!("tasker-templates-{}", std::process::id()));
        fs::create_dir_all(folder.join("below")).unwrap();
        for (file, version) in
            [("a.yaml", "1.10"), ("b.yml", "1.9"), ("c.txt", "1.11"), ("below/d.yaml", "1")]
        {
            fs::write(
                folder.join(file),
                format!("namespace: n\nname: t\nversion: \"{version}\"\n"),
            )
            .unwrap();
        }
        let inputs = read_all(&[folder.to_string_lossy().into_owned()]).unwrap();
        let versions: Vec<&str> =
            inputs.iter().map(|input| identity(input.parsed.as_ref().unwrap())[2]).collect();
        assert_eq!(versions, ["1.9", "1.10"]);
        fs::remove_dir_all(&folder).unwrap();
    }
}
