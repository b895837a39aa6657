//! "Did you mean": the nearest of the names that would have been right.

/// The candidate that a mistyped `word` most likely stands for; `None` where nothing is near.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|c| (strsim::jaro_winkler(&word.to_lowercase(), &c.to_lowercase()), c))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, c)| c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised_and_another_word_is_not() {
        let names = ["state_dict", "model_ema", "optimizer"];
        assert_eq!(nearest("statedict", names), Some("state_dict"));
        assert_eq!(nearest("Model_EMA", names), Some("model_ema"));
        assert_eq!(nearest("generator", names), None);
    }
}
