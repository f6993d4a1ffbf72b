//! The few shapes of XML that a report needs. Whatever is written goes through here, and is made
//! harmless here.

use std::io::{self, Write};

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

use crate::report::text;

/// More than this of one attribute is left out; consumers show attributes on one line.
const ATTRIBUTE_BYTES: usize = 4 * 1024;
/// More than this of one text is left out; the whole is in the stream.
const TEXT_BYTES: usize = 64 * 1024;

/// Writes XML piece by piece.
pub struct Xml<W: Write> {
    writer: Writer<W>,
}

impl<W: Write> Xml<W> {
    /// Starts a document.
    pub fn new(out: W) -> io::Result<Self> {
        let mut writer = Writer::new_with_indent(out, b' ', 2);
        writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
        Ok(Self { writer })
    }

    /// Opens an element.
    pub fn open(&mut self, name: &str, attributes: &[(&str, &str)]) -> io::Result<()> {
        self.writer
            .write_event(Event::Start(start(name, attributes)))
    }

    /// Closes the element.
    pub fn close(&mut self, name: &str) -> io::Result<()> {
        self.writer.write_event(Event::End(BytesEnd::new(name)))
    }

    /// An element without content.
    pub fn empty(&mut self, name: &str, attributes: &[(&str, &str)]) -> io::Result<()> {
        self.writer
            .write_event(Event::Empty(start(name, attributes)))
    }

    /// An element with text.
    pub fn text(&mut self, name: &str, attributes: &[(&str, &str)], text: &str) -> io::Result<()> {
        let plain = text::plain(text);
        if plain.is_empty() {
            return self.empty(name, attributes);
        }
        self.open(name, attributes)?;
        let limited = text::limited(&plain, TEXT_BYTES);
        self.writer
            .write_event(Event::Text(BytesText::new(&limited)))?;
        self.close(name)
    }

    /// Ends the document.
    pub fn finish(mut self) -> io::Result<()> {
        self.writer.get_mut().write_all(b"\n")?;
        self.writer.get_mut().flush()
    }
}

fn start<'a>(name: &'a str, attributes: &[(&str, &str)]) -> BytesStart<'a> {
    let mut element = BytesStart::new(name);
    for (name, value) in attributes {
        let line = text::one_line(value);
        element.push_attribute((*name, text::limited(&line, ATTRIBUTE_BYTES)));
    }
    element
}
