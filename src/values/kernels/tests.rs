use proptest::prelude::*;

use super::*;

const FAST: [Real; 7] = [Real::F32, Real::F16, Real::BF16, Real::E4M3, Real::E5M2, Real::E4M3Fnuz, Real::E5M2Fnuz];

/// Every set of kernels that there is for a format on this machine.
fn every(real: Real) -> Vec<Kernels> {
    [pick(real), plain(real)].into_iter().flatten().filter_map(|k| Kernels::with(real, k)).collect()
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-5 * a.abs().max(b.abs())
}

/// What differs between the sums of the fast and of the slow way.
fn unlike(fast: &Sums, slow: &Sums) -> Option<String> {
    let counted = |s: &Sums| (s.finite, s.nan, s.inf, s.torn);
    let exact =
        counted(fast) == counted(slow) && close(fast.max_abs, slow.max_abs) && close(fast.max_rel, slow.max_rel);
    // The product of the two may cancel out: it is as exact as its parts are large.
    let ab = (fast.ab - slow.ab).abs() <= 1e-5 * (slow.aa * slow.bb).sqrt();
    let sums = [(fast.dd, slow.dd), (fast.aa, slow.aa), (fast.bb, slow.bb)].iter().all(|&(a, b)| close(a, b));
    (!exact || !ab || !sums).then(|| format!("{fast:?}\n{slow:?}"))
}

fn check(real: Real, a: &[u8], b: &[u8]) -> Result<(), String> {
    let mut wanted = Sums::default();
    slow(real, a, b, &mut wanted);
    for kernels in every(real) {
        let mut found = Sums::default();
        kernels.add(a, b, &mut found);
        if let Some(why) = unlike(&found, &wanted) {
            return Err(format!("{real:?}: {why}"));
        }
        let (mut alone, mut equal) = (Sums::default(), Sums::default());
        kernels.add_equal(a, &mut alone);
        slow(real, a, a, &mut equal);
        if let Some(why) = unlike(&alone, &equal) {
            return Err(format!("{real:?} alone: {why}"));
        }
    }
    Ok(())
}

/// Bytes that any format may have, from a seed.
fn noise(count: usize, mut seed: u64) -> Vec<u8> {
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 32) as u8
    };
    (0..count).map(|_| next()).collect()
}

#[test]
fn ordinary_singles_of_many_blocks_have_the_sums_that_doubles_give() {
    let numbers =
        |step: f32| (0..5003).flat_map(|i| ((i as f32 * step).sin() * 0.02).to_le_bytes()).collect::<Vec<u8>>();
    check(Real::F32, &numbers(0.37), &numbers(0.371)).unwrap();
}

#[test]
fn the_largest_relative_difference_is_found_in_whichever_block_it_is() {
    // In every block one pair differs more than all before it, or less.
    let b: Vec<u8> = (0..20 * BLOCK).flat_map(|i| (1.0 + (i % 7) as f32).to_le_bytes()).collect();
    for order in [|block: usize| block, |block| 20 - block] {
        let mut a = b.clone();
        for block in 0..20 {
            let at = (block * BLOCK + 37 * block) * 4;
            a[at..at + 4].copy_from_slice(&(10.0 + order(block) as f32).to_le_bytes());
        }
        check(Real::F32, &a, &b).unwrap();
    }
}

#[test]
fn what_single_precision_cannot_square_is_done_in_double_precision() {
    for size in [1e-25f32, 1e-40, 3e30] {
        let numbers =
            |step: f32| (0..1030).flat_map(|i| ((i as f32 * step).sin() * size).to_le_bytes()).collect::<Vec<u8>>();
        check(Real::F32, &numbers(0.37), &numbers(0.371)).unwrap();
        // A small difference between large numbers as well.
        let near: Vec<u8> = (0..1030).flat_map(|i| (1.0f32 + (i % 3) as f32 * f32::EPSILON).to_le_bytes()).collect();
        check(Real::F32, &near, &1.0f32.to_le_bytes().repeat(1030)).unwrap();
    }
}

#[test]
fn nan_and_infinity_are_counted_and_left_out_of_the_sums() {
    let mut a: Vec<u8> = (0..3000).flat_map(|i| (i as f32 * 0.1).cos().to_le_bytes()).collect();
    let b = a.clone();
    for (at, x) in [(5, f32::NAN), (1500, f32::INFINITY), (2999, f32::NEG_INFINITY)] {
        a[at * 4..at * 4 + 4].copy_from_slice(&x.to_le_bytes());
    }
    check(Real::F32, &a, &b).unwrap();
    let mut sums = Sums::default();
    Kernels::of(Real::F32).unwrap().add(&a, &b, &mut sums);
    assert_eq!((sums.finite, sums.nan, sums.inf, sums.torn), (2997, [1, 0], [2, 0], 3));
    assert!(sums.max_abs == 0.0 && !sums.equal());
}

#[test]
fn a_single_code_for_nan_among_ordinary_numbers_is_noticed_on_either_side() {
    for (real, code) in [(Real::E4M3, 0x7f), (Real::E4M3, 0xff), (Real::E4M3Fnuz, 0x80), (Real::E5M2Fnuz, 0x80)] {
        // Up to the largest numbers, of both signs, but for the code itself.
        let ordinary: Vec<u8> = (0..6000u32).map(|i| (i * 7 % 127) as u8 | (i as u8 & 1) << 7).collect();
        let ordinary: Vec<u8> = ordinary.into_iter().map(|x| if x == 0x80 { 0 } else { x }).collect();
        let mut torn = ordinary.clone();
        torn[4500] = code;
        for (a, b) in [(&ordinary, &torn), (&torn, &ordinary), (&ordinary, &ordinary), (&torn, &torn)] {
            check(real, a, b).unwrap();
            let mut sums = Sums::default();
            Kernels::of(real).unwrap().add(a, b, &mut sums);
            assert_eq!(sums.nan, [a, b].map(|side| u64::from(side[4500] == code)), "{real:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn fast_and_slow_agree_on_every_code_of_every_format(which in 0usize..7, count in 0usize..2600, seed in 1u64..) {
        let real = FAST[which];
        let mut a = noise(count * real.bytes(), seed);
        let mut b = noise(count * real.bytes(), seed ^ 0x5555);
        // Most blocks of a real file have no NaN: half of the cases keep away from the largest exponents.
        if seed % 2 == 0 {
            let high = real.bytes() - 1;
            for x in [&mut a, &mut b] {
                x.iter_mut().skip(high).step_by(real.bytes()).for_each(|byte| *byte &= 0xbf);
            }
        }
        prop_assert_eq!(check(real, &a, &b), Ok(()));
    }
}
