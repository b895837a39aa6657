//! Keys cut into tokens.

/// The tokens of `text`: runs of letters (cut where lower meets upper case) and runs of digits.
///
/// The flag is true for a token that begins a new segment (after `.` or `/`).
pub(crate) fn tokens(text: &str) -> Vec<(&str, bool)> {
    let bytes = text.as_bytes();
    let letter = |b: u8| b.is_ascii_alphabetic() || b >= 0x80;
    let mut out = Vec::with_capacity(12);
    let (mut i, mut segment) = (0, true);
    while i < bytes.len() {
        let start = i;
        if bytes[i].is_ascii_digit() {
            while i < bytes.len() && bytes[i].is_ascii_digit() {
                i += 1;
            }
        } else if letter(bytes[i]) {
            i += 1;
            while i < bytes.len() && letter(bytes[i]) {
                let (before, here) = (bytes[i - 1], bytes[i]);
                if before.is_ascii_lowercase() && here.is_ascii_uppercase() {
                    break;
                }
                // `LNorm` is `L` + `Norm`: an upper case letter in front of a lower case one begins a word.
                if before.is_ascii_uppercase() && here.is_ascii_lowercase() && i - start > 1 {
                    i -= 1;
                    break;
                }
                i += 1;
            }
        } else {
            segment |= bytes[i] == b'.' || bytes[i] == b'/';
            i += 1;
            continue;
        }
        out.push((&text[start..i], segment));
        segment = false;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<String> {
        tokens(text).into_iter().map(|(t, _)| t.to_owned()).collect()
    }

    #[test]
    fn names_are_cut_at_dots_underscores_digits_and_humps() {
        assert_eq!(cut("layer1.0.LayerNorm.in_proj"), ["layer", "1", "0", "Layer", "Norm", "in", "proj"]);
        assert_eq!(cut("res2_0_branch2b_bn_s"), ["res", "2", "0", "branch", "2", "b", "bn", "s"]);
        assert_eq!(cut("RDB1.W_q"), ["RDB", "1", "W", "q"]);
    }
}
