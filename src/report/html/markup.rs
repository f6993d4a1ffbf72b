//! The few shapes of HTML that a page needs. Text goes in through here alone, and is made harmless here;
//! markup is only what stands in this program.

use std::borrow::Cow;
use std::io::Write;

use anyhow::Result;
use quick_xml::escape::escape;

use crate::report::text;

/// More than this of one attribute is left out.
const ATTRIBUTE_BYTES: usize = 1024;
/// More than this of one text is left out; the whole is in the stream.
const TEXT_BYTES: usize = 16 * 1024;

/// Writes HTML piece by piece. What is opened is closed, by construction.
pub struct Html<'a> {
    out: &'a mut dyn Write,
}

/// Names and values; values are made harmless when they are written.
pub type Attributes<'a> = &'a [(&'static str, &'a str)];

impl<'a> Html<'a> {
    /// A page that goes there.
    pub fn new(out: &'a mut dyn Write) -> Self {
        Self { out }
    }

    /// Markup of this program's own.
    pub fn literal(&mut self, markup: &'static str) -> Result<()> {
        Ok(self.out.write_all(markup.as_bytes())?)
    }

    /// An element around what `inside` writes.
    pub fn within(
        &mut self,
        name: &'static str,
        attributes: Attributes<'_>,
        inside: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        self.start(name, attributes)?;
        inside(self)?;
        Ok(write!(self.out, "</{name}>")?)
    }

    /// An element with text.
    pub fn element(
        &mut self,
        name: &'static str,
        attributes: Attributes<'_>,
        text: &str,
    ) -> Result<()> {
        self.within(name, attributes, |html| html.text(text))
    }

    /// An element that cannot have content.
    pub fn void(&mut self, name: &'static str, attributes: Attributes<'_>) -> Result<()> {
        self.start(name, attributes)
    }

    /// Text.
    pub fn text(&mut self, text: &str) -> Result<()> {
        let plain = text::plain(text);
        let limited = text::limited(&plain, TEXT_BYTES);
        Ok(self.out.write_all(escape(&*limited).as_bytes())?)
    }

    /// A link, where the address is one that a click may follow; else its text alone.
    pub fn link(&mut self, address: &str, text: &str) -> Result<()> {
        let followed = ["https://", "http://", "#"];
        if !followed.iter().any(|start| address.starts_with(start)) {
            return self.text(text);
        }
        self.element("a", &[("href", address), ("rel", "noreferrer")], text)
    }

    fn start(&mut self, name: &'static str, attributes: Attributes<'_>) -> Result<()> {
        write!(self.out, "<{name}")?;
        for (name, value) in attributes {
            if value.is_empty() {
                write!(self.out, " {name}")?;
            } else {
                write!(self.out, " {name}=\"{}\"", attribute(value))?;
            }
        }
        Ok(self.out.write_all(b">")?)
    }
}

fn attribute(value: &str) -> String {
    let line = text::one_line(value);
    let limited: Cow<'_, str> = text::limited(&line, ATTRIBUTE_BYTES);
    escape(limited).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn made(make: impl FnOnce(&mut Html<'_>) -> Result<()>) -> String {
        let mut out = Vec::new();
        make(&mut Html::new(&mut out)).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_and_attributes_cannot_leave_their_place() {
        let hostile = "\"'></p><script>alert(1)</script>&amp;\u{1b}[31m";
        let html = made(|html| html.element("p", &[("title", hostile)], hostile));
        let harmless = "&quot;&apos;&gt;&lt;/p&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;";
        assert_eq!(html, format!("<p title=\"{harmless}\">{harmless}</p>"));
    }

    #[test]
    fn only_addresses_of_the_web_and_of_the_page_are_links() {
        for (address, is_link) in [
            ("https://docs.scs.community", true),
            ("#checks", true),
            ("javascript:alert(1)", false),
            ("data:text/html,x", false),
            ("//elsewhere", false),
        ] {
            let html = made(|html| html.link(address, "text"));
            assert_eq!(html.starts_with("<a "), is_link, "{html}");
            assert!(html.contains("text"));
        }
    }

    proptest! {
        #[test]
        fn no_text_has_markup(text in any::<String>()) {
            let html = made(|html| html.element("p", &[("title", &text)], &text));
            let html = html.strip_prefix("<p").unwrap().strip_suffix("</p>").unwrap();
            prop_assert_eq!(html.matches(['<', '\'']).count(), 0);
            prop_assert_eq!(html.matches('>').count(), 1);
            let quotes = html.matches('"').count();
            prop_assert!(quotes == 2 || quotes == 0, "{}", html);
        }
    }
}
