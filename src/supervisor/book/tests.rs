//! Lines are bounded, paged, and hide secrets.

use super::*;

#[test]
fn a_line_that_was_cut_within_a_secret_shows_no_part_of_it() {
    let secrets = ["s3cret-value".to_owned()];
    assert_eq!(mask("x s3cret-va".into(), &secrets, true), "x ***");
    assert_eq!(mask("x s3cret-va".into(), &secrets, false), "x s3cret-va");
    assert_eq!(mask("x".into(), &secrets, true), "x");
}

#[test]
fn lines_are_bounded_paged_and_hide_the_secret() {
    let (events, mut receiver) = broadcast::channel(16);
    let book = LogBook::new(ServerId::new("x").expect("valid"), 3, events);
    book.hide(vec!["s3cret".into(), "s3cret!!".into(), String::new()]);
    for line in ["one", "two", "the s3cret! s3cret!!", "four"] {
        book.push(LogSource::Stdout, line.as_bytes());
    }
    let lines = book.read(10, None);
    let texts: Vec<_> = lines.iter().map(|line| line.line.as_str()).collect();
    assert_eq!(texts, ["two", "the ***! ***", "four"]);
    assert_eq!(book.read(1, Some(lines[0].cursor)), [lines[1].clone()]);
    assert_eq!(book.since(0, 1), [lines[2].clone()]);
    assert_eq!(book.cursor(), lines[2].cursor);
    assert_eq!(
        receiver.try_recv().map(|(_, line)| line.line).as_deref(),
        Ok("one")
    );
}
