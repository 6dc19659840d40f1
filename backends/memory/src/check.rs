//! What is refused before it is proposed, from `server/etcdserver/api/v3rpc/key.go`.

use std::collections::BTreeSet;

use portolan_core::waist::{DeleteRange, Key, KeyRange, Op, Put, Range, StoreError, Txn};

/// Row K3.
pub(crate) fn range(request: &Range) -> Result<(), StoreError> {
    key(&request.keys.key)
}

/// Rows K3 and K4.
pub(crate) fn put(request: &Put) -> Result<(), StoreError> {
    key(&request.key)?;
    if request.ignore_value && !request.value.is_empty() {
        return Err(StoreError::ValueProvided);
    }
    if request.ignore_lease && request.lease.is_some() {
        return Err(StoreError::LeaseProvided);
    }
    Ok(())
}

/// Row K3.
pub(crate) fn delete(request: &DeleteRange) -> Result<(), StoreError> {
    key(&request.keys.key)
}

/// Rows T5, T6 and K3; `max_ops` is what the level above has left over.
pub(crate) fn txn(request: &Txn, max_ops: usize) -> Result<(), StoreError> {
    operations(request, max_ops)?;
    writes(&request.then)?;
    writes(&request.or_else)?;
    Ok(())
}

fn key(key: &Key) -> Result<(), StoreError> {
    if key.is_empty() { Err(StoreError::KeyNotProvided) } else { Ok(()) }
}

fn operations(request: &Txn, max_ops: usize) -> Result<(), StoreError> {
    let size = request.compares.len().max(request.then.len()).max(request.or_else.len());
    let left = max_ops.checked_sub(size).ok_or(StoreError::TooManyOps)?;
    for compare in &request.compares {
        key(&compare.keys.key)?;
    }
    for op in request.then.iter().chain(&request.or_else) {
        match op {
            Op::Range(request) => range(request)?,
            Op::Put(request) => put(request)?,
            Op::Delete(request) => delete(request)?,
            Op::Txn(request) => operations(request, left)?,
        }
    }
    Ok(())
}

/// What a list of operations writes, nested ones included.
#[derive(Default)]
struct Writes<'a> {
    puts: BTreeSet<&'a Key>,
    deletes: Vec<&'a KeyRange>,
}

impl<'a> Writes<'a> {
    fn deletes(&self, key: &Key) -> bool {
        // etcd keeps a delete "from this key on" as an interval that ends before it begins, so it
        // is never found here.
        self.deletes.iter().any(|keys| *keys.end != [0] && keys.contains(key))
    }

    fn put(&mut self, key: &'a Key, excused: &BTreeSet<&'a Key>) -> Result<(), StoreError> {
        if self.puts.contains(key) && !excused.contains(key) || self.deletes(key) {
            return Err(StoreError::DuplicateKey);
        }
        self.puts.insert(key);
        Ok(())
    }
}

/// Row T6. Deletes of this level are known before its nested transactions are looked at, and
/// those before its puts. So a nested delete of what an earlier nested one puts is let through.
fn writes(ops: &[Op]) -> Result<Writes<'_>, StoreError> {
    let nobody = BTreeSet::new();
    let mut all = Writes::default();
    for op in ops {
        match op {
            Op::Delete(delete) => all.deletes.push(&delete.keys),
            Op::Range(_) | Op::Put(_) | Op::Txn(_) => {}
        }
    }
    for op in ops {
        match op {
            Op::Txn(nested) => {
                let then = writes(&nested.then)?;
                let or_else = writes(&nested.or_else)?;
                for &key in &then.puts {
                    all.put(key, &nobody)?;
                }
                for &key in &or_else.puts {
                    // Only one of the two branches runs.
                    all.put(key, &then.puts)?;
                }
                all.deletes.extend(then.deletes);
                all.deletes.extend(or_else.deletes);
            }
            Op::Range(_) | Op::Put(_) | Op::Delete(_) => {}
        }
    }
    for op in ops {
        match op {
            Op::Put(put) => all.put(&put.key, &nobody)?,
            Op::Range(_) | Op::Delete(_) | Op::Txn(_) => {}
        }
    }
    Ok(all)
}
