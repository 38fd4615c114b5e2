//! The shelf of fetched lists: which authorities' keys it knows, and who sees what is put there.

use super::revocation::{authority, list};
use super::*;
use crate::tls::certificate::names_and_key;
use crate::tls::crl::RevocationList;
use crate::tls::pem;
use crate::tls::shelf::{ListShelf, ListSources};

fn shelf(urls: &[&str], urls_max: usize) -> ListShelf {
    let urls = urls.iter().map(|url| (*url).into()).collect();
    ListShelf::new(ListSources { urls, from_chains: true, private: false, urls_max })
}

fn read(text: &str) -> Arc<RevocationList> {
    let lists = pem::lists_of("x.crl".as_ref(), text.as_bytes().to_vec()).expect("a list");
    Arc::new(RevocationList::parse(&lists[0]).expect("a list"))
}

#[test]
fn a_list_is_signed_by_an_authority_of_its_name_that_stays_known_while_it_is_of_use() {
    let (one, other) = (authority("one"), authority("other"));
    let of = |ca: &CertifiedIssuer<'static, KeyPair>| names_and_key(ca.der()).expect("a certificate");
    let ((name, key), (other_name, _)) = (of(&one), of(&other));
    let list = read(&list(&one, &[], false));
    let shelf = shelf(&[], 1_024);
    shelf.note_key(&other_name, &key);
    assert_eq!(shelf.signer(&list), None, "the key has another name");
    shelf.note_key(&name, &key);
    for number in 0..1_000_u32 {
        shelf.note_key(b"some", &number.to_be_bytes());
    }
    assert_eq!(shelf.signer(&list).as_ref(), Some(&key), "each URL may have an authority of its own");
    for number in 0..3_000_u32 {
        shelf.note_key(b"more", &number.to_be_bytes());
        if number % 500 == 0 {
            shelf.note_key(&name, &key);
        }
    }
    assert_eq!(shelf.signer(&list).as_ref(), Some(&key), "its chains are presented again and again");
    for number in 0..3_000_u32 {
        shelf.note_key(b"most", &number.to_be_bytes());
    }
    assert_eq!(shelf.signer(&list), None, "there is a bound");
}

#[test]
fn a_chain_that_was_assessed_before_the_list_was_there_is_older_than_it() {
    let shelf = shelf(&["http://x/"], 1);
    let clock = || {
        assert!(shelf.list("http://x/").is_some(), "the clock was read before the list was there");
        NOW
    };
    shelf.put("http://x/", read(&list(&authority("one"), &[], false)), clock);
    assert!(shelf.has_changed_since(NOW) && !shelf.has_changed_since(UnixMillis(NOW.0 + 1)));
}

#[test]
fn what_is_put_on_the_last_shelf_is_on_the_next_one_if_the_sources_are_the_same() {
    let some = || read(&list(&authority("one"), &[], false));
    for (urls, shared) in [(&["http://x/"][..], true), (&["http://x/", "http://y/"], false)] {
        let (last, next) = (shelf(&["http://x/"], 1), shelf(urls, 1));
        last.present("http://z/", NOW);
        next.inherit(&last);
        assert_eq!(next.is_one_with(&last), shared);
        last.put("http://x/", some(), || NOW);
        assert_eq!(next.list("http://x/").is_some(), shared);
        next.inherit(&last);
        assert!(next.list("http://x/").is_some() && next.presented().len() == 1);
    }
}
