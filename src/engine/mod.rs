//! Where clusters come from; the only room that knows which engine is at work.
