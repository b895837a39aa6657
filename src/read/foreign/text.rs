//! Texts that stand where a checkpoint should: pointers, pages, error messages, source code.

use super::{Named, Naming};
use crate::read::input::Input;

/// Pointer files, which stand in a repository for the file itself.
pub(super) fn pointer(input: &mut Input) -> Option<Named> {
    // Both kinds are a few lines; anything longer is something else.
    let head = std::str::from_utf8(input.head.get(..1024).unwrap_or(&input.head)).ok()?;
    let value = |name: &str| head.lines().find_map(|l| l.strip_prefix(name)).map(str::trim);
    if is_lfs(head.as_bytes()) {
        let size = value("size ").and_then(|s| s.parse::<u64>().ok());
        let size = size.map_or(String::new(), |s| format!(" of {s} bytes"));
        let what = format!("a git-lfs pointer ({} bytes) that stands for a file{size}", input.len);
        return Some((what, "run `git lfs install` and `git lfs pull`, or download the file from the web page".into()));
    }
    if head.starts_with("# xet version") {
        let size = value("filesize =").and_then(|s| s.parse::<u64>().ok());
        let size = size.map_or(String::new(), |s| format!(" of {s} bytes"));
        let what = format!("a git-xet pointer that stands for a file{size}");
        return Some((what, "install git-xet and check the file out again, or download it from the web page".into()));
    }
    None
}

/// Whether a text begins as the pointers of git-lfs do.
pub(super) fn is_lfs(head: &[u8]) -> bool {
    [&b"version https://git-lfs.github.com/"[..], b"version https://hawser.github.com/"]
        .iter()
        .any(|m| head.starts_with(m))
}

/// Web pages and error messages in markup.
pub(super) fn page(input: &mut Input) -> Option<Named> {
    let head = input.head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&input.head);
    let head = head.trim_ascii_start();
    if !head.starts_with(b"<") {
        return None;
    }
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    let again = "download it again; log in first where the model is gated";
    if text.contains("virus scan warning") || text.contains("drive.google.com") || text.contains("can't scan this file")
    {
        let what = "Google Drive's page about virus scans, saved instead of the file".to_owned();
        return Some((what, "download it with gdown, or press \"Download anyway\" in a browser".into()));
    }
    if text.contains("<code>accessdenied") || text.contains("<code>nosuchkey") || text.contains("<code>expired") {
        return Some(("an error message of a storage server (XML), saved instead of the file".into(), again.into()));
    }
    if text.contains("<html") || text.starts_with("<!doctype html") || text.contains("<head") || text.contains("<body")
    {
        return Some(("a web page (HTML), saved instead of the file".into(), again.into()));
    }
    let markup = text.starts_with("<?xml") || text.starts_with("<!doctype") || text.starts_with("<svg");
    markup.then(|| ("an XML text, not a checkpoint".into(), again.into()))
}

/// Other texts, once the readers have had their turn.
pub(super) fn name(input: &mut Input) -> Option<Naming> {
    let head = &input.head;
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") || every_other_is_zero(head) {
        return Some(Naming::Is("a text in UTF-16".into(), "save it as UTF-8".into()));
    }
    let text = std::str::from_utf8(head).or_else(|e| {
        // The last character may be cut where the head ends.
        let whole = head.get(..e.valid_up_to()).unwrap_or_default();
        if e.error_len().is_none() { std::str::from_utf8(whole) } else { Err(e) }
    });
    let text = text.ok().filter(|t| !t.chars().any(|c| c.is_control() && !c.is_whitespace() && c != '\u{1b}'))?;
    let is = |what: &str, remedy: &str| Some(Naming::Is(what.into(), remedy.into()));
    let lines = || text.lines().map(str::trim_start);
    if text.contains("Traceback (most recent call last)") || text.contains("Error(s) in loading state_dict") {
        return is("a log with an error text", "explain it: ckdiff explain FILE");
    }
    if lines()
        .any(|l| l.starts_with("import ") || l.starts_with("from ") || l.starts_with("def ") || l.starts_with("class "))
    {
        return is("Python source code", "hand over the checkpoint, not the code of the model");
    }
    if text.contains("model_checkpoint_path:") {
        return is("the list of a folder of TensorFlow checkpoints", "convert the checkpoint to PyTorch first");
    }
    if ["OrderedDict(", "odict_keys(", "dict_keys(", "tensor(", "torch.Size("].iter().any(|w| text.contains(w)) {
        return is(
            "Python's repr of a state_dict, not JSON",
            "write it with json.dump: {k: {\"dtype\": str(v.dtype), \"shape\": list(v.shape)} for k, v in state_dict.items()}",
        );
    }
    if text.trim().is_empty() {
        return is("a text of white space only", "download it again");
    }
    is("a text, not a checkpoint", "hand over the checkpoint; a list of expected keys must be JSON")
}

/// UTF-16 without a mark: text in which every other byte is zero.
fn every_other_is_zero(head: &[u8]) -> bool {
    let head = head.get(..256).unwrap_or(head);
    let zeros = |offset: usize| head.iter().skip(offset).step_by(2).filter(|&&b| b == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    let half = head.len() / 2;
    half >= 8 && ((odd == half && even == 0) || (even == half && odd == 0))
}
