//! Links: each internal one leads to a file, and to a heading if it names one.

use std::path::{Component, Path, PathBuf};

use testbed::project;

use super::assert_none;
use super::page::{Kind, Page};

/// The targets of a line's links, without the code in it.
fn targets(line: &str) -> Vec<String> {
    let text: String = line.split('`').step_by(2).collect();
    let links = text.split("](").skip(1);
    links.filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())).collect()
}

/// The path of a link's target from the project's folder.
fn resolve(page: &Page, target: &str) -> PathBuf {
    let mut path = PathBuf::from(&page.path);
    path.pop();
    for step in Path::new(target).components() {
        match step {
            Component::ParentDir => {
                path.pop();
            }
            step => path.push(step),
        }
    }
    path
}

/// Why a link leads nowhere.
fn broken(pages: &[Page], page: &Page, target: &str) -> Option<String> {
    let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let path = if file.is_empty() { PathBuf::from(&page.path) } else { resolve(page, file) };
    if !project().join(&path).exists() {
        return Some(format!("there is no {}", path.display()));
    }
    let anchor = anchor?;
    let Some(page) = pages.iter().find(|page| Path::new(&page.path) == path) else {
        return Some(format!("{} is no page", path.display()));
    };
    let anchors = page.anchors();
    (!anchors.iter().any(|known| known == anchor)).then(|| format!("{} has no #{anchor}", page.path))
}

#[test]
fn internal_links_lead_somewhere() {
    let pages = Page::all();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for page in &pages {
        for line in page.lines.iter().filter(|line| !matches!(line.kind, Kind::Code(_) | Kind::Fence)) {
            for target in targets(&line.text).iter().filter(|target| !target.contains("://")) {
                count += 1;
                wrong.extend(broken(&pages, page, target).map(|why| format!("{}: {why}", page.at(line.number))));
            }
        }
    }
    assert!(count > 100, "{count} links");
    assert_none(wrong);
}

#[test]
fn each_readme_can_be_reached_from_the_first() {
    let pages = Page::all();
    let mut reached = vec![PathBuf::from("README.md")];
    let mut n = 0;
    while let Some(path) = reached.get(n).cloned() {
        let page = pages.iter().find(|page| Path::new(&page.path) == path);
        let lines = page.into_iter().flat_map(|page| page.lines.iter().map(move |line| (page, line)));
        for (page, line) in lines {
            for target in targets(&line.text) {
                let path = resolve(page, target.split('#').next().unwrap());
                if path.extension().is_some_and(|extension| extension == "md") && !reached.contains(&path) {
                    reached.push(path);
                }
            }
        }
        n += 1;
    }
    let lost = pages.iter().filter(|page| !reached.contains(&PathBuf::from(&page.path)));
    assert_none(lost.map(|page| format!("no link leads to {}", page.path)).collect());
}
