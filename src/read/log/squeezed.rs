//! A text without its white space, in lower case: error texts are found in it wherever a terminal broke them.

/// Every how many bytes a position of the original is kept.
const STEP: usize = 64;

/// The squeezed text and the way back to the original.
pub(super) struct Squeezed<'a> {
    /// The text it was made of.
    pub(super) clean: &'a str,
    /// The same without white space, ASCII letters in lower case.
    pub(super) low: Vec<u8>,
    /// Where in `clean` every [`STEP`]th byte of `low` stands.
    marks: Vec<u32>,
}

impl<'a> Squeezed<'a> {
    pub(super) fn new(clean: &'a str) -> Self {
        let mut low = Vec::with_capacity(clean.len());
        let mut marks = Vec::with_capacity(clean.len() / STEP + 1);
        for (at, &byte) in clean.as_bytes().iter().enumerate() {
            if byte.is_ascii_whitespace() {
                continue;
            }
            if low.len() % STEP == 0 {
                // The text is bounded far below 4 GiB; a place beyond would only lose its mark.
                marks.push(u32::try_from(at).unwrap_or(u32::MAX));
            }
            low.push(byte.to_ascii_lowercase());
        }
        Squeezed { clean, low, marks }
    }

    /// Where in `clean` the byte `at` of `low` stands; the end of the text where `at` is behind its last byte.
    pub(super) fn origin(&self, at: usize) -> usize {
        let Some(&mark) = self.marks.get(at / STEP) else { return self.clean.len() };
        let solid =
            self.clean.as_bytes().iter().enumerate().skip(mark as usize).filter(|(_, b)| !b.is_ascii_whitespace());
        solid.map(|(i, _)| i).nth(at % STEP).unwrap_or(self.clean.len())
    }

    /// Where in `clean` the bytes of `low` before `end` end: right behind the last of them.
    pub(super) fn origin_end(&self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.origin(end - 1) + 1).min(self.clean.len()) }
    }
}

/// What is written in a piece of text that a terminal may have broken: line breaks and the blanks around them are gone.
pub(super) fn joined(text: &str) -> String {
    if !text.contains('\n') {
        return text.trim().to_owned();
    }
    text.split('\n').map(str::trim).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_finds_its_way_back() {
        let text = " Size mis\n  match for ä.b: ".repeat(40);
        let squeezed = Squeezed::new(&text);
        let solid: Vec<usize> =
            text.bytes().enumerate().filter(|(_, b)| !b.is_ascii_whitespace()).map(|(i, _)| i).collect();
        assert_eq!(squeezed.low.len(), solid.len());
        for (at, &place) in solid.iter().enumerate() {
            assert_eq!(squeezed.origin(at), place);
        }
        assert_eq!(squeezed.origin(solid.len() + 100), text.len());
        assert_eq!(joined("layer1.con\n    v1.weight"), "layer1.conv1.weight");
    }
}
