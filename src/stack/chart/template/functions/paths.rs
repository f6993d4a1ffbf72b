//! Functions on slash-separated paths and URLs.

use super::{Function, Value, pure, text_arg};

pub(super) static FUNCTIONS: &[Function] = &[
    pure("base", 1, 1, |a| Ok(Value::text(base(text_arg(a, 0)?)))),
    pure("osBase", 1, 1, |a| Ok(Value::text(base(text_arg(a, 0)?)))),
    pure("dir", 1, 1, |a| Ok(Value::text(dir(text_arg(a, 0)?)))),
    pure("osDir", 1, 1, |a| Ok(Value::text(dir(text_arg(a, 0)?)))),
    pure("clean", 1, 1, |a| Ok(Value::text(clean(text_arg(a, 0)?)))),
    pure("osClean", 1, 1, |a| Ok(Value::text(clean(text_arg(a, 0)?)))),
    pure("ext", 1, 1, |a| Ok(Value::text(ext(text_arg(a, 0)?)))),
    pure("osExt", 1, 1, |a| Ok(Value::text(ext(text_arg(a, 0)?)))),
    pure("isAbs", 1, 1, |a| {
        Ok(Value::Bool(text_arg(a, 0)?.starts_with('/')))
    }),
    pure("osIsAbs", 1, 1, |a| {
        Ok(Value::Bool(text_arg(a, 0)?.starts_with('/')))
    }),
];

pub(super) fn base(path: &str) -> &str {
    if path.is_empty() {
        return ".";
    }
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() {
        return "/";
    }
    trimmed.rsplit('/').next().unwrap_or(trimmed)
}

fn dir(path: &str) -> String {
    clean(&path[..path.rfind('/').map_or(0, |slash| slash + 1)])
}

fn ext(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rfind('.').map_or("", |dot| &name[dot..])
}

fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.join("/")) {
        (true, path) => format!("/{path}"),
        (false, path) if path.is_empty() => ".".into(),
        (false, path) => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart_as_in_go() {
        assert_eq!((base("a/b.c/"), base(""), base("//")), ("b.c", ".", "/"));
        assert_eq!(
            (dir("a/b/c"), dir("/x"), dir("x")),
            ("a/b".into(), "/".into(), ".".into())
        );
        assert_eq!((ext("a.b/c.tar.gz"), ext("a.b/c")), (".gz", ""));
        assert_eq!(clean("a/./b//../../../c"), "../c");
        assert_eq!(clean("/../a/"), "/a");
    }
}
