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
    book.hide(vec!["of the next".into()]);
    for line in ["one", "two", "the s3cret! s3cret!!", "four"] {
        book.push(Some(Slot::First), LogSource::Stdout, line.as_bytes());
    }
    let lines = book.read(10, None);
    let texts: Vec<_> = lines.iter().map(|line| line.line.as_str()).collect();
    assert_eq!(texts, ["two", "the ***! ***", "four"]);
    assert_eq!(book.read(1, Some(lines[0].cursor)), [lines[1].clone()]);
    assert_eq!(book.since(0, Slot::First, 1), [lines[2].clone()]);
    assert_eq!(book.since(0, Slot::Second, 9), []);
    assert_eq!(book.cursor(), lines[2].cursor);
    assert_eq!(
        receiver.try_recv().map(|(_, line)| line.line).as_deref(),
        Ok("one")
    );
}

#[test]
fn what_a_standby_wrote_stands_before_what_it_writes_once_it_plays() {
    let id = ServerId::new("x").expect("valid");
    let book = |events| LogBook::new(id.clone(), 10, events);
    let (main, standby) = (
        Arc::new(book(broadcast::Sender::new(16))),
        book(broadcast::Sender::new(16)),
    );
    let say = |book: &LogBook, of, line: &str| {
        book.push(Some(of), LogSource::Stdout, line.as_bytes());
    };
    main.hide(vec!["t0ken".into()]);
    say(&standby, Slot::Second, "loading with t0ken");
    say(&main, Slot::First, "last words");
    let cursor = main.cursor();
    standby.divert(&main);
    say(&main, Slot::First, "a hanging line");
    say(&standby, Slot::Second, "playing");
    let lines = main.since(cursor, Slot::Second, 9);
    let texts: Vec<_> = lines.iter().map(|line| line.line.as_str()).collect();
    assert_eq!(texts, ["loading with ***", "playing"]);
    let all = main.read(9, None);
    let texts: Vec<_> = all.iter().map(|line| line.line.as_str()).collect();
    assert_eq!(
        texts,
        [
            "last words",
            "loading with ***",
            "a hanging line",
            "playing"
        ]
    );
    assert!(standby.read(9, None).is_empty());
}
