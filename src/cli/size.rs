//! A number of bytes as people write it.

/// Parses `100MB`, `1.5 GiB`, `4096`. A unit with an `i` counts in 1024s, one without in 1000s.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let usual = "a size is a number with a unit: 500kB, 100MB, 1.5GB, 2GiB";
    let text = text.trim();
    let cut = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, unit) = text.split_at(cut);
    let number: f64 = digits.parse().map_err(|_| usual.to_owned())?;
    let unit = unit.trim().to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let (step, power) = match unit.strip_suffix('i') {
        Some(prefix) => (1024f64, prefix),
        None => (1000f64, unit),
    };
    let power = match power {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return Err(usual.to_owned()),
    };
    Ok((number * step.powi(power)).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_read_with_and_without_units() {
        let read = |text| size(text).unwrap();
        assert_eq!(
            [read("4096"), read("500kB"), read("100MB"), read("1.5 GB")],
            [4096, 500_000, 100_000_000, 1_500_000_000]
        );
        assert_eq!([read("1KiB"), read("2 GiB"), read("1g")], [1024, 2 << 30, 1_000_000_000]);
    }

    #[test]
    fn what_is_no_size_is_refused_with_examples() {
        for text in ["", "MB", "12 parsecs", "1.2.3", "-1"] {
            assert!(size(text).unwrap_err().contains("100MB"), "{text}");
        }
    }
}
