//! Opens sled and reads everything once: a state that is damaged must be found before it is used.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;

use super::{Inner, LOADING, POSITION, State, position_of, record};
use crate::types::decode;

/// Opens the state, or says what is wrong with it.
pub(super) fn open_checked(dir: &Path) -> Result<State, String> {
    // sled panics on some kinds of damage.
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let db = State::raw(dir).map_err(|e| format!("it can't be opened: {e}"))?;
        if db.contains_key(LOADING).map_err(|e| e.to_string())? {
            return Err("a snapshot was loaded into it and didn't end".to_owned());
        }
        let inner = read_all(&db)?;
        Ok(State {
            db,
            inner: Mutex::new(inner),
            frozen: Mutex::default(),
        })
    }));
    opened.unwrap_or_else(|_| Err("it is damaged beyond what sled can tell".to_owned()))
}

/// Reads and checks everything, and gathers what is kept in memory.
pub(super) fn read_all(db: &sled::Db) -> Result<Inner, String> {
    let mut inner = Inner::default();
    let (mut records, mut bytes) = (0, 0);
    for pair in db.iter() {
        let (key, value) = pair.map_err(|e| format!("it can't be read: {e}"))?;
        let checked = match key.first() {
            Some(b'r') => check_record(db, &key, &value).map(|size| {
                records += 1;
                bytes += size;
            }),
            Some(b'a') => keep_answer(&key, &value, &mut inner),
            _ => Ok(()),
        };
        checked.map_err(|e| e.to_string())?;
    }
    if let Some(position) = db.get(POSITION).map_err(|e| e.to_string())? {
        inner.position = position_of(&position).map_err(|e| e.to_string())?;
    } else if !db.is_empty() {
        return Err("it has records and no position".to_owned());
    }
    let told = (inner.position.records, inner.position.bytes);
    if told != (records, bytes) {
        let (were, of) = told;
        return Err(format!(
            "it has {records} records of {bytes} bytes, and {were} of {of} were written"
        ));
    }
    Ok(inner)
}

/// The bytes of the record's value.
fn check_record(db: &sled::Db, key: &[u8], value: &[u8]) -> Result<u64, crate::StoreError> {
    let head: record::Head = decode(value)?;
    record::whole(db, record::path_of(key)?, value)?;
    Ok(head.bytes)
}

fn keep_answer(key: &[u8], value: &[u8], inner: &mut Inner) -> Result<(), crate::StoreError> {
    let (request, answer) = decode(value)?;
    let index = key
        .get(1..)
        .and_then(|k| k.try_into().ok())
        .map(u64::from_be_bytes);
    inner
        .answered
        .push_back((index.unwrap_or_default(), request));
    inner.answers.insert(request, answer);
    Ok(())
}
