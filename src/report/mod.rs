//! Views of the stream: terminal, JUnit, summary. Pure functions of events.
