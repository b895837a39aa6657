//! The page as text; what it does is tried in a browser by the interop test.

use crate::report::subject::Sheet;
use crate::report::subject::tests::{failing, mixed, written};

#[test]
fn a_name_cannot_end_the_element_that_holds_it() {
    let page = written(Sheet::Html, &[failing("</script><script>alert(1)</script><!--{{data}}")]);
    assert_eq!(page.matches("<script").count(), 3, "subjects, one subject, the program");
    assert!(!page.contains("alert(1)</script>") && !page.contains("<!--"));
    assert!(page.contains(r"\u003c/script>"));
}

#[test]
fn the_title_is_text() {
    let page = written(Sheet::Html, &[failing("<b>&\u{202e}")]);
    assert!(page.contains("<title>&lt;b&gt;&amp;\\u{202e} · ckdiff</title>"), "{}", &page[..1200]);
}

#[test]
fn the_page_asks_for_nothing_outside_itself() {
    let page = written(Sheet::Html, &mixed());
    let marks = page.matches("{{").count();
    assert_eq!(marks, 0, "every mark of the template is filled");
    for word in ["src=", "@import", "fetch(", "XMLHttpRequest", "url(", "import("] {
        assert!(!page.contains(word), "{word}");
    }
    // The one address is a name of a vocabulary, within the icon.
    assert_eq!(page.matches("http").count(), page.matches("http://www.w3.org/2000/svg").count() + 1);
}
