//! Renderers: from a [`crate::judge::Report`] to text or JSON. None of them prints.
