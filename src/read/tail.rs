//! Downloads into space that was reserved beforehand: the file has its full length, and its end is zero bytes.

use super::input::Input;
use crate::checkpoint::Remark;

/// Less data than this is not worth suspecting, in bytes.
const LEAST: u64 = 4096;
/// How many places are looked at, where the last bytes are zero.
const PLACES: u64 = 64;
/// Bytes at each place.
const AT_EACH: u64 = 64;

/// The remark about data that begin like weights and end in zeros, from a quarter of them on.
///
/// The last bytes are read, and in nearly every file that is all; the values of tensors are looked at nowhere else.
pub(super) fn reserved(input: &mut Input, start: u64) -> Option<Remark> {
    let size = input.len.checked_sub(start).filter(|&size| size >= LEAST)?;
    let mut zero = |at: u64| input.read_range(at, AT_EACH).is_ok_and(|bytes| bytes.iter().all(|&b| b == 0));
    if !zero(start + size - AT_EACH) {
        return None;
    }
    let places: Vec<bool> = (0..PLACES).map(|n| zero(start + (size - AT_EACH) / PLACES * n)).collect();
    let tail = places.iter().rev().take_while(|&&zero| zero).count();
    let body = places.len() - tail;
    let holes = places.iter().take(body).filter(|&&zero| zero).count();
    // Some tensors are zero in sound files: the tail must be long, and little before it may be zero as well.
    if tail * 4 < places.len() || body < 8 || holes * 8 > body {
        return None;
    }
    let percent = tail * 100 / places.len();
    Some(Remark {
        code: "CK014",
        error: false,
        message: format!(
            "the last {percent} % of the data are zero bytes wherever one looks, as when a download into reserved space stopped"
        ),
        help: "compare its checksum with the server's, or download it again".into(),
        examples: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::read::input::{Named, open};

    fn said(data: &[u8]) -> Option<String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(data).unwrap();
        let Named::File(mut input) = open(file.path()).unwrap() else { panic!("no file") };
        reserved(&mut input, 0).map(|r| r.message)
    }

    #[test]
    fn an_end_of_zeros_behind_weights_is_remarked_on() {
        let mut data = vec![7; 60_000];
        data.resize(100_000, 0);
        assert!(said(&data).is_some_and(|m| m.contains("the last 39 %")), "{:?}", said(&data));
    }

    #[test]
    fn zeros_elsewhere_short_ends_and_small_files_are_not() {
        let mut short_end = vec![7; 90_000];
        short_end.resize(100_000, 0);
        let mut alternating = vec![7; 100_000];
        (0..10).for_each(|n| alternating[n * 10_000 + 5000..(n + 1) * 10_000].fill(0));
        for data in [&short_end[..], &alternating, &[0; 100_000], &[7; 100_000], &[0; 100]] {
            assert_eq!(said(data), None);
        }
    }
}
